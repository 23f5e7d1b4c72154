import type { RunEvent } from "@helmr/protocol/api";
import { useLayoutEffect, useRef } from "react";
import { classes } from "../ui/classes.ts";
import { stripAnsi } from "../util/ansi.ts";
import { clockTime } from "../util/time.ts";
import { EmptyState } from "./list-states.tsx";

/** Steps of a build with the lines they wrote. The end stays in sight while it grows, unless someone has scrolled up. */
export function BuildLog({ events }: { events: readonly RunEvent[] }) {
  const frame = useRef<HTMLOListElement>(null);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    const element = frame.current;
    if (element && atEnd.current) element.scrollTop = element.scrollHeight;
  }, [events]);
  if (events.length === 0) return <EmptyState title="The build has not begun" />;
  return (
    <ol
      ref={frame}
      aria-label="Build"
      tabIndex={0}
      onScroll={({ currentTarget: element }) => {
        atEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
      }}
      className="max-h-[60vh] overflow-y-auto bg-log py-1.5 font-mono text-xs focus-visible:-outline-offset-2"
    >
      {events.map((event) => (
        <Line key={event.id} event={event} />
      ))}
    </ol>
  );
}

function Line({ event }: { event: RunEvent }) {
  const isStep = event.kind !== "deployment.build.log";
  const tone = event.severity === "error" ? "text-bad" : event.severity === "warn" ? "text-warn" : isStep ? "text-ink" : "text-muted";
  return (
    <li className={classes("flex gap-3 px-3.5 py-0.5", isStep && "mt-1 font-medium")}>
      <span className="w-24 shrink-0 text-2xs leading-[17px] font-normal text-faint select-none">{clockTime(Date.parse(event.at))}</span>
      <span className={classes("min-w-0 break-words whitespace-pre-wrap", tone)}>{stripAnsi(event.message)}</span>
    </li>
  );
}
