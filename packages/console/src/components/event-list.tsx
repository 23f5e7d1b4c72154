import type { RunEvent } from "@helmr/protocol/api";
import { useState } from "react";
import { classes } from "../ui/classes.ts";
import { Chip } from "../ui/badge.tsx";
import { clockTime, durationText, exactTime } from "../util/time.ts";
import { JsonTree } from "./json-tree.tsx";

const dots: Record<RunEvent["severity"], string> = { debug: "bg-line-strong", info: "bg-accent", warn: "bg-warn", error: "bg-bad" };

/** Events in their order; one that carries something opens. */
export function EventList({ events, label }: { events: readonly RunEvent[]; label: string }) {
  const start = Date.parse(events[0]?.at ?? "");
  return (
    <ol aria-label={label} className="divide-y divide-line">
      {events.map((event) => (
        <EventRow key={event.id} event={event} start={start} />
      ))}
    </ol>
  );
}

function EventRow({ event, start }: { event: RunEvent; start: number }) {
  const [open, setOpen] = useState(false);
  const at = Date.parse(event.at);
  const attributes = event.attributes;
  const hasMore = typeof attributes === "object" && attributes !== null && Object.keys(attributes).length > 0;
  const isKind = event.message === event.kind;
  return (
    <li>
      <button
        type="button"
        aria-expanded={hasMore ? open : undefined}
        onClick={() => hasMore && setOpen(!open)}
        className={classes(
          "flex w-full items-center gap-3 px-3.5 py-2 text-left text-sm",
          hasMore ? "hover:bg-hover/60" : "cursor-default",
        )}
      >
        <span aria-hidden="true" className={classes("size-1.5 shrink-0 rounded-full", dots[event.severity])} />
        <span data-tip={exactTime(at)} className="w-24 shrink-0 font-mono text-2xs text-faint">
          {clockTime(at)}
        </span>
        <span className="min-w-0 grow truncate">
          <span className={classes("font-mono text-xs", isKind ? "text-ink" : "text-muted")}>{event.kind}</span>
          {isKind ? null : <span className="ml-2">{event.message}</span>}
          {isKind ? <span className="ml-2 text-xs text-muted">{summaryOf(event)}</span> : null}
        </span>
        {event.attempt_number === undefined ? null : <Chip className="max-sm:hidden">attempt {event.attempt_number}</Chip>}
        <span className="w-16 shrink-0 text-right text-2xs text-faint tabular-nums">+{durationText(at - start)}</span>
      </button>
      {open ? (
        <div className="bg-sunken/60 px-3.5 py-2.5 pl-10">
          <JsonTree value={attributes} label="Attributes" />
        </div>
      ) : null}
    </li>
  );
}

/** The one thing worth saying without opening the event. */
function summaryOf({ attributes }: RunEvent): string {
  if (typeof attributes !== "object" || attributes === null || Array.isArray(attributes)) return "";
  const { reason, message, failure_kind: failure, kind, exit_code: code } = attributes;
  if (typeof failure === "string") return failure;
  if (typeof message === "string") return message;
  if (typeof reason === "string") return reason;
  if (typeof kind === "string") return kind;
  return typeof code === "number" ? `exit code ${code}` : "";
}
