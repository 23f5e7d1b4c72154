/** The other side of the run runtime port, for tests: keeps what was called and lets the test answer. It has no behaviour of its own. */
import { type LogEntry, type OpenCall, type ProgramCall, type RunRuntime, installRuntime, runRuntimeVersion } from "../running/port.ts";

interface RecordedCall {
  readonly callId: number;
  readonly call: ProgramCall;
  readonly answer: (value: unknown) => void;
  readonly refuse: (error: Error) => void;
}

export interface RecordingRuntime extends RunRuntime {
  readonly calls: RecordedCall[];
  readonly logs: LogEntry[];
  readonly cancel: AbortController;
  /** The n-th call, from 0; fails when it was not made. */
  sent(index: number): RecordedCall;
  readonly uninstall: () => void;
}

/** Installed at once. With `answers` each call is answered by what the function gives. */
export function recordingRuntime(answers?: (call: ProgramCall) => unknown): RecordingRuntime {
  const calls: RecordedCall[] = [];
  const logs: LogEntry[] = [];
  const cancel = new AbortController();
  const runtime: Omit<RecordingRuntime, "uninstall"> = {
    version: runRuntimeVersion,
    run: { id: "run-1", attemptId: "attempt-1", attemptNumber: 2, runLeaseId: "lease-1" },
    task: { id: "task-1" },
    session: { id: "session-1" },
    workspace: { path: "/workspace", projectPath: "/opt/helmr-task/.helmr/deployment-source" },
    signal: cancel.signal,
    calls,
    logs,
    cancel,
    call(call: ProgramCall): OpenCall {
      const callId = calls.length + 1;
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      calls.push({ callId, call: structuredClone(call), answer: resolve, refuse: reject });
      if (answers !== undefined) resolve(answers(call));
      return { callId, answer: promise };
    },
    log: (entry) => {
      logs.push(entry);
    },
    sent(index) {
      const call = calls[index];
      if (call === undefined) throw new RangeError(`Only ${calls.length} calls were made`);
      return call;
    },
  };
  return Object.assign(runtime, { uninstall: installRuntime(runtime) });
}

/** A record as on the wire. */
export function wireRecord(sequence: number, data: unknown, correlationId?: string): Record<string, unknown> {
  return {
    id: `record-${sequence}`,
    stream_id: "stream-1",
    sequence,
    data,
    ...(correlationId === undefined ? {} : { correlation_id: correlationId }),
    content_type: "application/json",
    created_at: "2026-06-06T09:30:00Z",
  };
}

/** Until pending promises had their turns. */
export async function settled(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
