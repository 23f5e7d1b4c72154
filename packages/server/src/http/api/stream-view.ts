/** Streams as the API shows them (http §5.1). */
import type { Stream, StreamAppendResult } from "@helmr/protocol/api";
import type { Appended } from "../../operations/append-stream-record.ts";
import type { ReadStream } from "../../operations/read-streams.ts";
import { recordView } from "../../operations/wait-outcome.ts";

export { recordView };

export function streamView(row: ReadStream): Stream {
  return {
    id: row.id,
    session_id: row.session_id,
    name: row.name,
    direction: row.direction,
    sequence: row.sequence,
    created_at: row.created_at,
  };
}

export function appendView({ record, created, continuation }: Appended): StreamAppendResult {
  return {
    record: recordView(record),
    idempotency_status: created ? "created" : "duplicate",
    ...(continuation === undefined ? {} : { continuation_status: continuation }),
  };
}
