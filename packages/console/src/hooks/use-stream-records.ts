import type { Stream } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { call } from "../api/call.ts";
import { streamsQuery } from "../api/queries.ts";
import type { Scope } from "../api/scope.ts";
import { mergeRecords, missingRecords, recordsPage, type SessionRecord } from "../util/stream-records.ts";

export interface StreamRecords {
  streams: readonly Stream[];
  records: readonly SessionRecord[];
  loading: boolean;
  error: unknown;
  /** Absent when everything from the beginning is here. */
  loadEarlier: (() => void) | undefined;
}

/** The list of streams tells how far each one is; only what is new is fetched. Mount it with the session's id as key. */
export function useStreamRecords(scope: Scope, sessionId: string, lively: boolean): StreamRecords {
  const streams = useQuery(streamsQuery(scope, sessionId, { lively }));
  const [records, setRecords] = useState<readonly SessionRecord[]>([]);
  const [error, setError] = useState<unknown>();
  const seen = useRef(new Map<string, number>());
  const first = useRef(new Map<string, number>());
  const fetching = useRef(false);
  const read = useCallback(
    async (stream: Stream, after: number, limit: number = recordsPage) => {
      const id = stream.direction === "input" ? "streams.listInput" : "streams.listOutput";
      const page = await call(id, { scope, params: { id: sessionId, stream: stream.name }, query: { after_sequence: after, limit } });
      const added = page.records.map((record) => ({ ...record, name: stream.name, direction: stream.direction }));
      setRecords((before) => mergeRecords(before, added));
      return page.records;
    },
    [scope, sessionId],
  );
  const { data } = streams;
  useEffect(() => {
    const missing = missingRecords(data ?? [], seen.current);
    if (missing.length === 0 || fetching.current) return;
    fetching.current = true;
    Promise.all(
      missing.map(async ({ stream, after }) => {
        const page = await read(stream, after);
        if (!first.current.has(stream.id)) first.current.set(stream.id, after);
        seen.current.set(stream.id, page.at(-1)?.sequence ?? stream.sequence);
      }),
    )
      .then(() => setError(undefined), setError)
      .finally(() => {
        fetching.current = false;
      });
  }, [data, read]);
  const earlier = (data ?? []).filter((stream) => (first.current.get(stream.id) ?? 0) > 0);
  const loadEarlier = () => {
    for (const stream of earlier) {
      const until = first.current.get(stream.id) ?? 0;
      const after = Math.max(0, until - recordsPage);
      first.current.set(stream.id, after);
      read(stream, after, until - after).catch(setError);
    }
  };
  return {
    streams: data ?? [],
    records,
    loading: streams.isPending,
    error: streams.error ?? error,
    loadEarlier: earlier.length > 0 ? loadEarlier : undefined,
  };
}
