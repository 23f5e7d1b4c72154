import { useNavigate } from "@tanstack/react-router";
import { useCallback } from "react";
import type { SearchParams } from "../util/search-params.ts";

/** To an address of util/paths.ts. */
export function useGo(): (href: string, options?: { replace?: boolean; search?: SearchParams }) => void {
  const navigate = useNavigate();
  return useCallback((href, options) => void navigate({ to: href, ...options } as unknown as Parameters<typeof navigate>[0]), [navigate]);
}
