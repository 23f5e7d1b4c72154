/**
 * Waiting for the end of a run by its events and its snapshot (cli §5.4). A retried attempt writes no terminal event, so following goes on
 * until the one terminal event a run has; then the run is read until its status says the same.
 */
import type { Run, RunEvent } from "@helmr/protocol/api";
import { pause } from "../clock.ts";
import { Failure } from "../failure.ts";
import type { ApiClient } from "../http/api-client.ts";
import { isOneOf, terminalRunEventKinds, terminalRunStatuses } from "../http/terminal-states.ts";
import { followEvents, isTransient } from "./event-stream.ts";

const convergeMs = 5_000;
const convergeStepMs = 100;

export interface RunAddress {
  api: ApiClient;
  runId: string;
  signal: AbortSignal;
}

/** Returns the terminal run. `known` spares the first read when the caller has the run already. */
export async function waitForRunEnd(address: RunAddress, known?: Run): Promise<Run> {
  const { api, runId, signal } = address;
  const run = known ?? (await api.call("runs.get", { params: { id: runId }, signal }));
  if (isOneOf(terminalRunStatuses, run.status)) return run;
  for await (const event of followRunEvents(address, { cursor: "0" })) {
    if (isOneOf(terminalRunEventKinds, event.kind)) break;
  }
  return terminalSnapshot(address);
}

/** Every event behind the cursor, the terminal one last. */
export async function* followRunEvents(
  { api, runId, signal }: RunAddress,
  from: { cursor: string; limit?: number | undefined },
): AsyncGenerator<RunEvent> {
  const source = {
    cursor: from.cursor,
    signal,
    connect: (cursor: string, until: AbortSignal) =>
      api.events("runs.events", { params: { id: runId }, query: { follow: 1, cursor, limit: from.limit }, signal: until }),
  };
  for await (const item of followEvents(source)) {
    if (item.kind !== "event" || item.event !== "run_event") continue;
    const event = item.data as RunEvent;
    yield event;
    if (isOneOf(terminalRunEventKinds, event.kind)) return;
  }
}

async function terminalSnapshot({ api, runId, signal }: RunAddress): Promise<Run> {
  for (let waited = 0; waited <= convergeMs; waited += convergeStepMs) {
    try {
      const run = await api.call("runs.get", { params: { id: runId }, signal });
      if (isOneOf(terminalRunStatuses, run.status)) return run;
    } catch (error) {
      if (!isTransient(error) || signal.aborted) throw error;
    }
    await pause(convergeStepMs, signal);
  }
  throw new Failure("reached a terminal event but the terminal snapshot did not converge");
}
