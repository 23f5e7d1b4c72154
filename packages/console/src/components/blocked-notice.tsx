import type { Blocked } from "@helmr/protocol/api";
import { Hourglass } from "lucide-react";

/** Why something does not run: the server's sentence, and what would change it. */
export function BlockedNotice({ blocked }: { blocked: Blocked }) {
  const release = blocked.details["released_by"];
  return (
    <div role="status" className="mb-4 flex items-start gap-3 rounded-lg border border-warn/30 bg-warn-soft px-3.5 py-3 text-sm">
      <Hourglass className="mt-0.5 size-4 shrink-0 text-warn" aria-hidden="true" />
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
