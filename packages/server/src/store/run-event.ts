/**
 * Events of runs: gapless sequences, appended by whoever holds the lock of the run. `eventInsert` is the tail that statements of run-write.ts share:
 * the columns of the new events come as arrays.
 */
import { type NewRunEvent, runEventClass } from "../domain/event.ts";
import { json, type Queryable } from "./db.ts";
import { statement } from "./statement.ts";

export interface RunEventRow {
  seq: number;
  kind: string;
  category: string;
  severity: "debug" | "info" | "warn" | "error";
  source: string;
  redaction: string;
  attributes: Record<string, unknown>;
  lease_id: string | null;
  attempt_id: string | null;
  attempt_number: number | null;
  occurred_at: string;
  created_at: string;
  /** Kept on the run alone, shown in run.created. */
  payload: unknown;
}

export const eventInsert = `insert into run_events (run_id, seq, kind, category, severity, source, redaction, attributes, lease_id, attempt_id, attempt_number, occurred_at)
   select $run_id, $event_seq::bigint + e.n, e.kind, e.category, e.severity, e.source, e.redaction, e.attributes::jsonb,
          $event_lease_id::uuid, $event_attempt_id::uuid, $event_attempt_number::int, now()
     from unnest($event_kinds::text[], $event_categories::text[], $event_severities::text[], $event_sources::text[], $event_redactions::text[],
                 $event_attributes::text[]) with ordinality as e (kind, category, severity, source, redaction, attributes, n)`;

export interface EventParams {
  run_id: string;
  /** The last sequence before these. */
  event_seq: number;
  event_kinds: string[];
  event_categories: string[];
  event_severities: string[];
  event_sources: string[];
  event_redactions: string[];
  event_attributes: string[];
  event_lease_id: string | null;
  event_attempt_id: string | null;
  event_attempt_number: number | null;
}

export interface EventSubject {
  id: string;
  event_seq: number;
  lease_id: string | null;
  attempt_id: string | null;
  attempt_number: number | null;
}

export function eventParams(run: EventSubject, events: readonly NewRunEvent[]): EventParams {
  const classes = events.map((event) => runEventClass[event.kind]);
  return {
    run_id: run.id,
    event_seq: run.event_seq,
    event_kinds: events.map((event) => event.kind),
    event_categories: classes.map((item) => item.category),
    event_severities: classes.map((item) => item.severity),
    event_sources: classes.map((item) => item.source),
    event_redactions: classes.map((item) => item.redaction),
    event_attributes: events.map((event) => json(event.attributes)),
    event_lease_id: run.lease_id,
    event_attempt_id: run.attempt_id,
    event_attempt_number: run.attempt_number,
  };
}

const list = statement<{ run_id: string; after: number; row_limit: number }, RunEventRow>(
  "run_event_list",
  `select e.seq, e.kind, e.category, e.severity, e.source, e.redaction, e.attributes, e.lease_id, e.attempt_id, e.attempt_number, e.occurred_at, e.created_at,
          case when e.kind = 'run.created' then (select r.payload from runs r where r.id = e.run_id) end as payload
     from run_events e where e.run_id = $run_id and e.seq > $after order by e.seq limit $row_limit`,
);

export const runEventList = (on: Queryable, runId: string, after: number, limit: number) =>
  on.all(list, { run_id: runId, after, row_limit: limit });
