import type { LogRecord } from "@helmr/protocol/api";
import { useEffect, useRef, useState } from "react";
import { urlOf } from "../api/call.ts";
import type { Scope } from "../api/scope.ts";
import { LogBuffer } from "../util/log-buffer.ts";
import { useFollow } from "./use-follow.ts";

const drawMs = 80;
/** Old records follow at once when a stream has opened; after this long without any there are none. */
const firstRecordMs = 400;

/** All log records of a run, live. They arrive by the thousand: the page is told about them a dozen times a second. */
export function useLogs(scope: Scope, runId: string, live: boolean) {
  const [buffer] = useState(() => new LogBuffer());
  const waiting = useRef<LogRecord[]>([]);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const flush = () => {
    clearTimeout(timer.current);
    timer.current = undefined;
    const records = waiting.current;
    waiting.current = [];
    if (records.length > 0) buffer.append(records);
    setCaughtUp(true);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  const [caughtUp, setCaughtUp] = useState(false);
  const { state, error } = useFollow({
    url: urlOf("runs.logs", { scope, params: { id: runId }, query: { format: "records" } }),
    onEvents(frames) {
      for (const { data } of frames) waiting.current.push(JSON.parse(data) as LogRecord);
      timer.current ??= setTimeout(flush, drawMs);
    },
    isOver: () => !live,
  });
  useEffect(() => {
    if (caughtUp || state === "connecting") return undefined;
    const quiet = setTimeout(() => setCaughtUp(true), state === "open" ? firstRecordMs : 0);
    return () => clearTimeout(quiet);
  }, [state, caughtUp]);
  return { buffer, caughtUp, error };
}
