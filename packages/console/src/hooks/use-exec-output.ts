import type { Chunk, Exec } from "@helmr/protocol/api";
import { useEffect, useRef, useState } from "react";
import type { StreamEvent } from "../api/event-stream.ts";
import { urlOf } from "../api/call.ts";
import { isExecOver } from "../api/rules.ts";
import type { Scope } from "../api/scope.ts";
import { bytesOfBase64 } from "../util/base64.ts";
import { LineSplitter } from "../util/line-splitter.ts";
import { LogBuffer } from "../util/log-buffer.ts";
import { useFollow } from "./use-follow.ts";

type Name = "stdout" | "stderr";

/** What a process writes, live, as lines of a log. Mount it with the exec's id as key. */
export function useExecOutput(scope: Scope, exec: Exec) {
  const [buffer] = useState(() => new LogBuffer());
  const stdout = useOutput({ scope, exec, name: "stdout", buffer });
  const stderr = useOutput({ scope, exec, name: "stderr", buffer });
  return { buffer, caughtUp: stdout.caughtUp && stderr.caughtUp, error: stdout.error ?? stderr.error };
}

function useOutput({ scope, exec, name, buffer }: { scope: Scope; exec: Exec; name: Name; buffer: LogBuffer }) {
  const splitter = useRef(new LineSplitter());
  const over = useRef(false);
  const last = useRef(0);
  const add = (lines: readonly string[], at: string) => {
    if (lines.length === 0) return;
    buffer.append(lines.map((message) => ({ id: `${name}-${(last.current += 1)}`, at, stream: name, message })));
  };
  const take = ({ event, data }: StreamEvent) => {
    if (event === "workspace_stream_chunk") {
      const chunk = JSON.parse(data) as Chunk;
      add(splitter.current.take(bytesOfBase64(chunk.data)), chunk.observed_at);
    } else if (!over.current) {
      over.current = true;
      add(splitter.current.end(), new Date().toISOString());
    }
  };
  const params = { id: exec.workspace_id, execID: exec.id };
  const { state, error } = useFollow({
    url: urlOf(`execs.${name}`, { scope, params, query: { follow: "1" } }),
    onEvents: (events) => events.forEach(take),
    isOver: () => over.current,
  });
  const [caughtUp, setCaughtUp] = useState(false);
  const settled = state === "done" || (state === "open" && !isExecOver(exec));
  useEffect(() => {
    if (settled) setCaughtUp(true);
  }, [settled]);
  return { caughtUp, error };
}
