import type { ReactNode } from "react";
import { AppLink } from "./app-link.tsx";
import { classes } from "./classes.ts";

export interface Column<Row> {
  key: string;
  title: string;
  render: (row: Row) => ReactNode;
  /** From which width on it is shown; the first columns should always be. */
  from?: "sm" | "md" | "lg";
  align?: "right";
  /** Takes what is left. */
  grow?: boolean;
}

const shown = { sm: "hidden sm:table-cell", md: "hidden md:table-cell", lg: "hidden lg:table-cell" } as const;

export interface TableProps<Row> {
  label: string;
  rows: readonly Row[];
  columns: readonly Column<Row>[];
  keyOf: (row: Row) => string;
  /** The whole row is a link; the first column holds it for keyboards and screen readers. */
  hrefOf?: (row: Row) => string;
  actions?: (row: Row) => ReactNode;
}

export function Table<Row>({ label, rows, columns, keyOf, hrefOf, actions }: TableProps<Row>) {
  return (
    <div className="relative overflow-x-auto">
      <table aria-label={label} className="w-full border-collapse text-sm">
        <thead>
          <tr className="border-b border-line text-left text-xs text-muted">
            {columns.map((column) => (
              <th key={column.key} scope="col" className={classes(cellClasses(column), "h-8 font-medium")}>
                {column.title}
              </th>
            ))}
            {actions ? (
              <th scope="col" className="w-px px-3">
                <span className="sr-only">Actions</span>
              </th>
            ) : null}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const href = hrefOf?.(row);
            return (
              <tr key={keyOf(row)} className="relative border-b border-line last:border-0 hover:bg-hover/60">
                {columns.map((column, index) => (
                  <td key={column.key} className={classes(cellClasses(column), "h-10")}>
                    {index === 0 && href !== undefined ? (
                      <AppLink
                        href={href}
                        className="before:absolute before:inset-0 focus-visible:outline-none focus-visible:before:outline-2 focus-visible:before:-outline-offset-2 focus-visible:before:outline-[var(--focus)]"
                      >
                        {column.render(row)}
                      </AppLink>
                    ) : (
                      column.render(row)
                    )}
                  </td>
                ))}
                {actions ? (
                  <td className="px-2 py-1">
                    <div className="relative z-10 flex items-center justify-end gap-1">{actions(row)}</div>
                  </td>
                ) : null}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

/** A name and what tells it apart: one line where there is room, two on a phone. */
export function TwoPart({ first, second }: { first: string; second: string }) {
  return (
    <span className="flex min-w-0 flex-col sm:flex-row sm:items-baseline sm:gap-2">
      <span className="font-medium">{first}</span>
      <span className="font-mono text-xs text-muted">{second}</span>
    </span>
  );
}

function cellClasses<Row>({ from, align, grow }: Column<Row>): string {
  return classes(
    "px-3.5 py-1.5",
    from && shown[from],
    align === "right" && "text-right",
    grow ? "w-full max-w-0 truncate" : "whitespace-nowrap",
  );
}
