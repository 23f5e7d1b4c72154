import { useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Scope } from "../api/scope.ts";

/** Project and environment of the address. */
export function useScope(): Scope {
  const { project = "", environment = "" } = useParams({ strict: false }) as Partial<Scope>;
  return useMemo(() => ({ project, environment }), [project, environment]);
}

export function useParam(name: string): string {
  const params = useParams({ strict: false }) as Record<string, string | undefined>;
  return params[name] ?? "";
}
