/** Sessions and the keys of idempotent starts. Locks: a session is locked before its workspace and its run. */
import type { RunState } from "../domain/run.ts";
import { type SessionFacts, type SessionState, sessionStates, sessionTransitions } from "../domain/session.ts";
import { inStates } from "../domain/transitions.ts";
import { json, type Queryable, type Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface SessionRow {
  id: string;
  org_id: string;
  project_id: string;
  environment_id: string;
  task_id: string;
  initial_deployment_id: string;
  active_deployment_id: string;
  external_id: string | null;
  fingerprint: Buffer;
  state: SessionState;
  current_run_id: string | null;
  workspace_id: string;
  metadata: Record<string, unknown>;
  tags: string[];
  result: { ok: boolean; value?: unknown; error?: unknown } | null;
  terminal_reason: { reason?: string; origin?: string } | null;
  expires_at: string | null;
  expired_at: string | null;
  created_at: string;
  updated_at: string;
  past_expiry: boolean;
  run_state: RunState | null;
  continuation_pending: boolean;
  wait_open: boolean;
}

export function sessionFacts(row: SessionRow): SessionFacts {
  return {
    state: row.state,
    pastExpiry: row.past_expiry,
    run: row.run_state,
    continuationPending: row.continuation_pending,
    waitOpen: row.wait_open,
  };
}

const columns = `s.id, s.org_id, s.project_id, s.environment_id, s.task_id, s.initial_deployment_id, s.active_deployment_id, s.external_id, s.fingerprint,
       s.state, s.current_run_id, s.workspace_id, s.metadata, s.tags, s.result, s.terminal_reason, s.expires_at, s.expired_at, s.created_at, s.updated_at,
       coalesce(s.expires_at <= now(), false) as past_expiry, r.state as run_state,
       exists (select from continuations c where c.session_id = s.id and c.state = 'pending') as continuation_pending,
       exists (select from run_waits w where w.run_id = s.current_run_id and w.condition = 'open') as wait_open`;
const source = "from sessions s left join runs r on r.id = s.current_run_id";

type Address = { environment_id: string; id: string | null; external_id: string | null };
const addressed = `s.environment_id = $environment_id
     and (s.id = $id::uuid or ($id::uuid is null and s.external_id = $external_id::text))`;

const byId = statement<{ environment_id: string; id: string }, SessionRow>(
  "session_get",
  `select ${columns} ${source} where s.environment_id = $environment_id and s.id = $id`,
);

const byExternalId = statement<{ environment_id: string; external_id: string }, SessionRow>(
  "session_get_by_external_id",
  `select ${columns} ${source} where s.environment_id = $environment_id and s.external_id = $external_id`,
);

const lock = statement<Address>("session_lock", `select from sessions s where ${addressed} for no key update`);
const facts = statement<Address, SessionRow>("session_get_addressed", `select ${columns} ${source} where ${addressed}`);

/** http §4.2. Constant, so that the plan walks the index instead of fetching everything for a limit it cannot know. */
const listMax = 200;
const listFilters = "($external_id::text is null or s.external_id = $external_id)";
const merged = (extra: string) => `with newest as (
          select found.id, found.updated_at from unnest($states::text[]) as wanted (state)
           cross join lateral (select s.id, s.updated_at from sessions s
                                where s.environment_id = $environment_id and ${extra} s.state = wanted.state and ${listFilters}
                                order by s.updated_at desc, s.id desc limit ${listMax}) found),
        page as (select id from newest order by updated_at desc, id desc limit $row_limit)
   select ${columns} from page join sessions s on s.id = page.id left join runs r on r.id = s.current_run_id
    order by s.updated_at desc, s.id desc`;

const list = statement<{ environment_id: string; states: string[]; external_id: string | null; row_limit: number }, SessionRow>(
  "session_list",
  merged(""),
);

const listOfTask = statement<
  { environment_id: string; states: string[]; task_id: string; external_id: string | null; row_limit: number },
  SessionRow
>("session_list_of_task", merged("s.task_id = $task_id and"));

const update = statement<{ id: string; metadata: string | null; tags: string[] | null; expires_at: string | null }>(
  "session_update",
  `update sessions
      set metadata = coalesce($metadata::jsonb, metadata), tags = coalesce($tags::text[], tags),
          expires_at = coalesce($expires_at::timestamptz, expires_at), updated_at = now()
    where id = $id`,
);

const end = statement<{ id: string; state: SessionState; result: string | null; terminal_reason: string }>(
  "session_end",
  `update sessions
      set state = $state, result = coalesce($result::jsonb, result), terminal_reason = $terminal_reason::jsonb,
          expired_at = case when $state = 'expired' then now() end, updated_at = now()
    where id = $id and state ${inStates(sessionTransitions.close.from)}`,
);

/** Requests for another run that nobody will start any more. */
const skipContinuations = statement<{ session_id: string }>(
  "session_skip_continuations",
  "update continuations set state = 'skipped' where session_id = $session_id and state = 'pending'",
);

/** Open sessions that may be due; whether they are is decided under the lock. Index sessions_expiry. */
const pastExpiry = statement<{ row_limit: number }, { id: string; environment_id: string }>(
  "session_past_expiry",
  `select s.id, s.environment_id from sessions s left join runs r on r.id = s.current_run_id
    where s.state = 'open' and s.expires_at is not null and s.expires_at <= now() and (r.id is null or r.state = 'finished')
    order by s.expires_at limit $row_limit`,
);

/** Milliseconds until the next open session passes its expiry; negative when one has. */
const nextExpiry = statement<Record<never, never>, { due_ms: number | null }>(
  "session_next_expiry",
  `select (extract(epoch from (s.expires_at - now())) * 1000)::float8 as due_ms from sessions s
    where s.state = 'open' and s.expires_at is not null and s.expires_at > now() order by s.expires_at limit 1`,
);

export interface StartKeyRow {
  fingerprint: Buffer;
  session_id: string;
  run_id: string;
  external_id: string | null;
}

const startKey = statement<{ environment_id: string; task_id: string; key_hash: Buffer }, StartKeyRow>(
  "session_start_key_get",
  `select k.fingerprint, k.session_id, k.run_id, s.external_id
     from session_start_keys k join sessions s on s.id = k.session_id
    where k.environment_id = $environment_id and k.task_id = $task_id and k.key_hash = $key_hash and k.expires_at > now()`,
);

interface NewStartKey {
  environment_id: string;
  task_id: string;
  key_hash: Buffer;
  fingerprint: Buffer;
  session_id: string;
  run_id: string;
  ttl_ms: number;
}

/** An expired key is taken over. */
const putStartKey = statement<NewStartKey>(
  "session_start_key_put",
  `insert into session_start_keys (environment_id, task_id, key_hash, fingerprint, session_id, run_id, expires_at)
   values ($environment_id, $task_id, $key_hash, $fingerprint, $session_id, $run_id, now() + $ttl_ms * interval '1 millisecond')
   on conflict (environment_id, task_id, key_hash) do update
      set fingerprint = excluded.fingerprint, session_id = excluded.session_id, run_id = excluded.run_id, expires_at = excluded.expires_at`,
);

const pruneStartKeys = statement<{ row_limit: number }>(
  "session_start_key_prune",
  `delete from session_start_keys k
    using (select environment_id, task_id, key_hash from session_start_keys where expires_at <= now() limit $row_limit for no key update skip locked) old
    where (k.environment_id, k.task_id, k.key_hash) = (old.environment_id, old.task_id, old.key_hash)`,
);

export type SessionKey = { id: string } | { externalId: string };

export const sessionGet = (on: Queryable, environmentId: string, key: SessionKey) =>
  "id" in key
    ? on.one(byId, { environment_id: environmentId, id: key.id })
    : on.one(byExternalId, { environment_id: environmentId, external_id: key.externalId });

/** Two statements that travel together: the second one's snapshot is taken after the lock was granted. */
export async function sessionLock(tx: Tx, environmentId: string, key: SessionKey): Promise<SessionRow | undefined> {
  const address = { environment_id: environmentId, id: "id" in key ? key.id : null, external_id: "id" in key ? null : key.externalId };
  const [, row] = await Promise.all([tx.run(lock, address), tx.one(facts, address)]);
  return row;
}

export interface SessionListFilter {
  environmentId: string;
  status: SessionState | "all";
  taskId: string | undefined;
  externalId: string | undefined;
  limit: number;
}

export function sessionList(on: Queryable, filter: SessionListFilter): Promise<SessionRow[]> {
  const params = {
    environment_id: filter.environmentId,
    states: filter.status === "all" ? [...sessionStates] : [filter.status],
    external_id: filter.externalId ?? null,
    row_limit: filter.limit,
  };
  return filter.taskId === undefined ? on.all(list, params) : on.all(listOfTask, { ...params, task_id: filter.taskId });
}

export const sessionUpdate = (tx: Tx, id: string, change: { metadata?: object; tags?: string[]; expiresAt?: string }) =>
  tx.run(update, {
    id,
    metadata: change.metadata === undefined ? null : json(change.metadata),
    tags: change.tags ?? null,
    expires_at: change.expiresAt ?? null,
  });

export interface SessionEnd {
  id: string;
  state: Exclude<SessionState, "open">;
  error?: { name: string; message: string; details?: object };
  terminalReason: { reason: string; origin: string };
}

export async function sessionEnd(tx: Tx, { id, state, error, terminalReason }: SessionEnd): Promise<void> {
  await Promise.all([
    tx.run(end, { id, state, result: error ? json({ ok: false, error }) : null, terminal_reason: json(terminalReason) }),
    tx.run(skipContinuations, { session_id: id }),
  ]);
}

export const sessionPastExpiry = (on: Queryable, limit: number) => on.all(pastExpiry, { row_limit: limit });
export const sessionNextExpiryMs = async (on: Queryable) => (await on.one(nextExpiry, {}))?.due_ms ?? undefined;
export const sessionStartKeyGet = (on: Queryable, key: { environment_id: string; task_id: string; key_hash: Buffer }) =>
  on.one(startKey, key);
export const sessionStartKeyPut = (tx: Tx, row: NewStartKey) => tx.run(putStartKey, row);
export const sessionStartKeyPrune = (on: Queryable, limit: number) => on.run(pruneStartKeys, { row_limit: limit });
