import type { ReactNode } from "react";
import { classes } from "./classes.ts";

export type BadgeTone = "good" | "bad" | "info" | "wait" | "warn" | "plain";

const tones: Record<BadgeTone, string> = {
  good: "bg-good-soft text-good",
  bad: "bg-bad-soft text-bad",
  info: "bg-info-soft text-info",
  wait: "bg-wait-soft text-wait",
  warn: "bg-warn-soft text-warn",
  plain: "bg-sunken text-muted",
};

export function Badge({ tone = "plain", live = false, children }: { tone?: BadgeTone; live?: boolean; children: ReactNode }) {
  return (
    <span className={classes("inline-flex h-5 items-center gap-1.5 rounded-full px-2 text-xs font-medium whitespace-nowrap", tones[tone])}>
      <span aria-hidden="true" className={classes("size-1.5 rounded-full bg-current", live && "animate-pulse-dot")} />
      {children}
    </span>
  );
}

/** A word that is no state: tags, kinds, streams. */
export function Chip({ children, className }: { children: ReactNode; className?: string }) {
  return (
    <span
      className={classes(
        "inline-flex h-5 max-w-full items-center truncate rounded border border-line bg-sunken px-1.5 font-mono text-2xs text-muted",
        className,
      )}
    >
      {children}
    </span>
  );
}
