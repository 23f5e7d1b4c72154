/** A link inside the console. Addresses come from util/paths.ts; without one the page stays and only its query changes. */
import { Link, type LinkComponentProps } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { SearchParams } from "../util/search-params.ts";

export interface AppLinkProps {
  href?: string;
  search?: SearchParams | ((before: SearchParams) => SearchParams);
  replace?: boolean;
  resetScroll?: boolean;
  className?: string;
  children?: ReactNode;
  onClick?: LinkComponentProps["onClick"];
  "aria-current"?: "page" | undefined;
  "aria-label"?: string;
  "data-tip"?: string;
}

export function AppLink({ href = ".", search, ...rest }: AppLinkProps) {
  // The router's types know routes, not addresses.
  const props = { ...rest, to: href, ...(search === undefined ? {} : { search }) } as unknown as LinkComponentProps;
  return <Link {...props} activeProps={undefined} />;
}
