import type { ReactNode } from "react";
import { classes } from "./classes.ts";

export function Card({
  title,
  actions,
  children,
  flush = false,
  className,
}: {
  title?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  /** The content brings its own padding. */
  flush?: boolean;
  className?: string;
}) {
  return (
    <section className={classes("min-w-0 rounded-lg border border-line bg-surface shadow-card", className)}>
      {title === undefined ? null : (
        <header className="flex min-h-10 flex-wrap items-center justify-between gap-x-3 gap-y-1 border-b border-line px-3.5 py-1.5">
          <h2 className="text-sm font-semibold">{title}</h2>
          {actions === undefined ? null : <div className="flex items-center gap-1.5 text-xs text-muted">{actions}</div>}
        </header>
      )}
      <div className={flush ? "overflow-clip rounded-b-lg" : "p-3.5"}>{children}</div>
    </section>
  );
}

/** Names and values of one thing. */
export function Facts({ items, columns = 2 }: { items: readonly (readonly [string, ReactNode] | undefined)[]; columns?: 1 | 2 | 4 }) {
  const grid = { 1: "grid-cols-1", 2: "grid-cols-1 sm:grid-cols-2", 4: "grid-cols-2 lg:grid-cols-4" }[columns];
  return (
    <dl className={classes("grid gap-x-6 gap-y-3 text-sm", grid)}>
      {items.flatMap((item) =>
        item === undefined
          ? []
          : [
              <div key={item[0]} className="min-w-0">
                <dt className="text-xs text-muted">{item[0]}</dt>
                <dd className="mt-0.5 min-w-0 break-words">{item[1]}</dd>
              </div>,
            ],
      )}
    </dl>
  );
}
