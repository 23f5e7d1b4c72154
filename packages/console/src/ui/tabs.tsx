import type { ReactNode } from "react";
import { AppLink } from "./app-link.tsx";
import { classes } from "./classes.ts";

export interface Tab {
  key: string;
  label: ReactNode;
  count?: number | undefined;
}

/** Tabs are links: the address says which one is open. The first one needs no mention there. */
export function Tabs({ label, tabs, active, param = "tab" }: { label: string; tabs: readonly Tab[]; active: string; param?: string }) {
  return (
    <nav aria-label={label} className="flex gap-4 overflow-x-auto shadow-[inset_0_-1px_0_var(--line)]">
      {tabs.map((tab, index) => (
        <AppLink
          key={tab.key}
          search={(before) => ({ ...before, [param]: index === 0 ? "" : tab.key })}
          replace
          resetScroll={false}
          aria-current={tab.key === active ? "page" : undefined}
          className={classes(
            "flex items-center gap-1.5 border-b-2 px-0.5 py-2 text-sm whitespace-nowrap",
            tab.key === active ? "border-accent font-medium text-ink" : "border-transparent text-muted hover:text-ink",
          )}
        >
          {tab.label}
          {tab.count === undefined ? null : <span className="rounded-full bg-sunken px-1.5 text-2xs text-muted">{tab.count}</span>}
        </AppLink>
      ))}
    </nav>
  );
}
