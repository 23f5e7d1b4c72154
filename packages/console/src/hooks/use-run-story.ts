import type { Run, RunEvent } from "@helmr/protocol/api";
import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { urlOf } from "../api/call.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { addEvents, emptyStory, isTerminalKind, type RunStory } from "../util/run-story.ts";
import { useFollow } from "./use-follow.ts";

/** The events of a run, live. What they change is read again at once, so that status and pending wait follow them. Mount it with the run's id as key. */
export function useRunStory(scope: Scope, runId: string, sessionId: string | undefined) {
  const client = useQueryClient();
  const [story, setStory] = useState<RunStory>(emptyStory);
  const over = useRef(false);
  const { state, error } = useFollow({
    url: urlOf("runs.events", { scope, params: { id: runId } }),
    onEvents(frames) {
      const events = frames.map(({ data }) => JSON.parse(data) as RunEvent);
      if (events.some(({ kind }) => isTerminalKind(kind))) over.current = true;
      setStory((before) => addEvents(before, events));
      if (events.every(({ kind }) => kind.startsWith("log"))) return;
      void client.invalidateQueries({ queryKey: [...scopeKey(scope), "run", runId] });
      if (sessionId !== undefined) void client.invalidateQueries({ queryKey: [...scopeKey(scope), "session", sessionId] });
    },
    isOver: () => over.current,
  });
  return { story, state, error };
}

export function isLive(run: Run): boolean {
  return run.status === "queued" || run.status === "running" || run.status === "waiting";
}
