import { useCallback, useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

/** Also read by public/theme.js, before anything else runs. */
const storageKey = "helmr-theme";
const listeners = new Set<() => void>();

function current(): Theme {
  const chosen = document.documentElement.dataset["theme"];
  return chosen === "light" || chosen === "dark" ? chosen : "system";
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useTheme(): [Theme, (theme: Theme) => void] {
  const theme = useSyncExternalStore(subscribe, current);
  const choose = useCallback((next: Theme) => {
    if (next === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = next;
    try {
      if (next === "system") localStorage.removeItem(storageKey);
      else localStorage.setItem(storageKey, next);
    } catch {
      // Storage can be forbidden: the choice lasts until the page is left.
    }
    for (const listener of listeners) listener();
  }, []);
  return [theme, choose];
}
