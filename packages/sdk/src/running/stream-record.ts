/** One numbered record of a stream, in a task and on the client alike (sdk §11). */
export interface StreamRecord<T = unknown> {
  readonly id: string;
  readonly streamId: string;
  readonly sequence: number;
  readonly data: T;
  readonly correlationId?: string;
  readonly contentType: string;
  readonly createdAt: string;
}

/** As on the wire (http §5.1). */
export interface WireStreamRecord {
  id: string;
  stream_id: string;
  sequence: number;
  data: unknown;
  correlation_id?: string | undefined;
  content_type: string;
  created_at: string;
}

export function streamRecord(wire: WireStreamRecord): StreamRecord {
  return {
    id: wire.id,
    streamId: wire.stream_id,
    sequence: wire.sequence,
    data: wire.data ?? null,
    ...(wire.correlation_id === undefined ? {} : { correlationId: wire.correlation_id }),
    contentType: wire.content_type,
    createdAt: wire.created_at,
  };
}
