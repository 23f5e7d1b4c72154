/** The query of the address: filters, tabs and searches live there, so that a page can be shared and the back button works. */
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback } from "react";
import type { SearchParams } from "../util/search-params.ts";

export function useQueryText(): SearchParams {
  return useSearch({ strict: false }) as SearchParams;
}

/** Replaces the entry in the history: going back leaves the page, not the last letter that was typed. */
export function useSetQueryText(): (change: SearchParams) => void {
  const navigate = useNavigate();
  return useCallback(
    (change) => {
      const search = (before: SearchParams) => ({ ...before, ...change });
      void navigate({ to: ".", search, replace: true, resetScroll: false } as unknown as Parameters<typeof navigate>[0]);
    },
    [navigate],
  );
}
