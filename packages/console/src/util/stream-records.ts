/** The records of a session's streams in this page: one list in the order they came, however they were fetched. */
import type { Stream, StreamRecord } from "@helmr/protocol/api";

export interface SessionRecord extends StreamRecord {
  name: string;
  direction: Stream["direction"];
}

/** Adds what is new; a record that is there already counts once. */
export function mergeRecords(before: readonly SessionRecord[], added: readonly SessionRecord[]): readonly SessionRecord[] {
  const known = new Set(before.map(({ id }) => id));
  const fresh = added.filter(({ id }) => !known.has(id));
  if (fresh.length === 0) return before;
  return [...before, ...fresh].sort(byTime);
}

function byTime(left: SessionRecord, right: SessionRecord): number {
  return Date.parse(left.created_at) - Date.parse(right.created_at) || left.sequence - right.sequence || (left.id < right.id ? -1 : 1);
}

/** How many records of a stream are fetched when the page opens, and at most at once later. */
export const recordsPage = 100;

export interface Missing {
  stream: Stream;
  after: number;
}

/** Which streams have records that the page has not seen. `seen` holds the last sequence by stream id. */
export function missingRecords(streams: readonly Stream[], seen: ReadonlyMap<string, number>): Missing[] {
  return streams.flatMap((stream) => {
    const after = seen.get(stream.id) ?? Math.max(0, stream.sequence - recordsPage);
    return stream.sequence > after ? [{ stream, after }] : [];
  });
}
