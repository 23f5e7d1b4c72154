import type { Blocked } from "@helmr/protocol/api";
import { Hourglass } from "lucide-react";
import { classes } from "../ui/classes.ts";

/** Passing in the blink of an eye, as a rule: nothing to be alarmed about. */
const passing: ReadonlySet<string> = new Set(["placement_pending", "resume_pending"]);

/** Why something does not run: the server's sentence, and what would change it. */
export function BlockedNotice({ blocked }: { blocked: Blocked }) {
  const isPassing = passing.has(blocked.code);
  const release = blocked.details["released_by"];
  return (
    <div
      role="status"
      className={classes(
        "mb-4 flex items-start gap-3 rounded-lg border px-3.5 py-3 text-sm",
        isPassing ? "border-line bg-sunken" : "border-warn/30 bg-warn-soft",
      )}
    >
      <Hourglass className={classes("mt-0.5 size-4 shrink-0", isPassing ? "text-muted" : "text-warn")} aria-hidden="true" />
      <div className="min-w-0">
        <p className="font-medium break-words">{upperFirst(blocked.message)}</p>
        {typeof release === "string" ? <p className="mt-0.5 text-muted">Goes on when {release}.</p> : null}
        <p className="mt-1 font-mono text-2xs text-muted">{blocked.code}</p>
      </div>
    </div>
  );
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
