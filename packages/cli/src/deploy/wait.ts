/** From an uploaded deployment to its end (cli §5.2): its events, then what it became. */
import type { Deployment, RunEvent } from "@helmr/protocol/api";
import { unreachable } from "../assert.ts";
import { withDeadline } from "../clock.ts";
import { Failure } from "../failure.ts";
import { followEvents } from "../follow/event-stream.ts";
import type { ApiClient } from "../http/api-client.ts";
import { isOneOf, terminalDeploymentEventKinds } from "../http/terminal-states.ts";

export interface DeploymentWait {
  api: ApiClient;
  id: string;
  /** None: no limit. */
  timeoutMs: number | undefined;
  signal: AbortSignal;
  onEvent: (event: RunEvent) => Promise<void>;
}

/** Returns the deployed deployment; one that failed is an error. */
export async function waitForDeployment(wait: DeploymentWait): Promise<Deployment> {
  const { api, id } = wait;
  const end = await withDeadline({ ms: wait.timeoutMs, signal: wait.signal, prefix: `wait for deployment ${id}: ` }, (signal) =>
    lastEvent(wait, signal),
  );
  const deployment = await api.call("deployments.get", { params: { id } });
  if (end.kind !== "deployment.failed" && deployment.status !== "failed") return deployment;
  throw new Failure(`deployment ${id} failed: ${deployment.error?.message?.trim() || "deployment build failed"}`);
}

async function lastEvent({ api, id, onEvent }: DeploymentWait, signal: AbortSignal): Promise<RunEvent> {
  const connect = (cursor: string, until: AbortSignal) =>
    api.events("deployments.events", { params: { id }, query: { follow: 1, cursor }, signal: until });
  for await (const item of followEvents({ cursor: "0", signal, connect })) {
    if (item.kind !== "event" || item.event !== "deployment_event") continue;
    const event = item.data as RunEvent;
    await onEvent(event);
    if (isOneOf(terminalDeploymentEventKinds, event.kind)) return event;
  }
  return unreachable("a follower ends only by its caller");
}
