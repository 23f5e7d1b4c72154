/** How a wait ended, as the program hears it (protocol/worker/runs.ts), and stream records as everybody sees them. */
import type { StreamRecord } from "@helmr/protocol/api";
import type { Json } from "@helmr/protocol/shared";
import type { WaitOutcome } from "@helmr/protocol/worker";
import { assertNever, required } from "../assert.ts";
import { endStatus } from "../domain/wait.ts";
import type { Queryable } from "../store/db.ts";
import type { WaitRow } from "../store/run-wait.ts";
import { type RecordRow, streamRecordGet } from "../store/stream.ts";

export function recordView(row: RecordRow): StreamRecord {
  return {
    id: row.id,
    stream_id: row.stream_id,
    sequence: row.sequence,
    data: row.data as Json,
    ...(row.correlation_id === null ? {} : { correlation_id: row.correlation_id }),
    content_type: row.content_type,
    created_at: row.created_at,
  };
}

/** Of a wait that is decided and has a kind. What satisfied it never changes, so it is not kept a second time. */
export async function readOutcome(on: Queryable, wait: WaitRow): Promise<WaitOutcome> {
  const record =
    wait.record_id === null ? undefined : required(await streamRecordGet(on, wait.record_id), "A record outlives the waits on it");
  return waitOutcome(wait, record);
}

export function waitOutcome(wait: Pick<WaitRow, "kind" | "condition" | "token_data">, record: RecordRow | undefined): WaitOutcome {
  const kind = required(wait.kind, "A wait that was opened has a kind");
  const status = wait.condition === "open" ? "cancelled" : endStatus[wait.condition];
  const isCompleted = status === "completed";
  switch (kind) {
    case "token":
      return { kind, status, ...(isCompleted ? { data: wait.token_data } : {}) };
    case "stream":
      return {
        kind,
        status,
        ...(isCompleted ? { record: recordView(required(record, "A satisfied wait on a stream has its record")) } : {}),
      };
    case "timer":
      return { kind, status: isCompleted ? "completed" : "cancelled" };
    default:
      return assertNever(kind);
  }
}
