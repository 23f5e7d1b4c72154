import type { RunEvent } from "@helmr/protocol/api";
import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { urlOf } from "../api/call.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useFollow } from "./use-follow.ts";

const endKinds = new Set(["deployment.deployed", "deployment.failed"]);

/** The events of a build, live. Mount it with the deployment's id as key. */
export function useBuildEvents(scope: Scope, deploymentId: string) {
  const client = useQueryClient();
  const [events, setEvents] = useState<readonly RunEvent[]>([]);
  const over = useRef(false);
  const { state, error } = useFollow({
    url: urlOf("deployments.events", { scope, params: { id: deploymentId } }),
    onEvents(frames) {
      const added = frames.map(({ data }) => JSON.parse(data) as RunEvent);
      if (added.some(({ kind }) => endKinds.has(kind))) over.current = true;
      setEvents((before) => [...before, ...added.filter(({ id }) => Number(id) > Number(before.at(-1)?.id ?? 0))]);
      void client.invalidateQueries({ queryKey: [...scopeKey(scope), "deployment", deploymentId] });
    },
    isOver: () => over.current,
  });
  return { events, state, error };
}
