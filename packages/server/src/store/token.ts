/** Completion tokens (domain/token.ts). Locks: after runs, before the waits that look at them. Secrets are derived, never stored. */
import { type TokenState, tokenTransitions } from "../domain/token.ts";
import { inStates } from "../domain/transitions.ts";
import { sessionLimits } from "../session-limits.ts";
import { json, type Queryable, type Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface TokenRow {
  id: string;
  environment_id: string;
  state: TokenState;
  past_timeout: boolean;
  /** Past its timeout by more than its public secret lives. */
  secret_expired: boolean;
  timeout_at: string;
  data: unknown;
  data_fingerprint: Buffer | null;
  tags: string[];
  metadata: Record<string, unknown>;
  secret_key_id: string;
  idempotency_fingerprint: Buffer | null;
  created_at: string;
}

const columns = `id, environment_id, state, timeout_at <= now() as past_timeout, timeout_at <= now() - interval '${sessionLimits.publicCompletionTtlMs} milliseconds' as secret_expired,
       timeout_at, data, data_fingerprint, tags, metadata, secret_key_id, idempotency_fingerprint, created_at`;

export interface NewToken {
  id: string;
  environment_id: string;
  timeout_ms: number;
  tags: string[];
  metadata: string;
  secret_key_id: string;
  idempotency_key_hash: Buffer | null;
  idempotency_fingerprint: Buffer | null;
  run_id: string | null;
}

/** No row: the key was used before. */
const insert = statement<NewToken, TokenRow>(
  "token_insert",
  `insert into tokens (id, environment_id, state, timeout_at, due_at, tags, metadata, secret_key_id, idempotency_key_hash, idempotency_fingerprint, run_id)
   select $id, $environment_id, 'pending', x.timeout_at, x.timeout_at, $tags::text[], $metadata::jsonb, $secret_key_id, $idempotency_key_hash,
          $idempotency_fingerprint, $run_id::uuid
     from (select now() + $timeout_ms * interval '1 millisecond' as timeout_at) x
   on conflict (environment_id, idempotency_key_hash) where idempotency_key_hash is not null do nothing
   returning ${columns}`,
);

const byKey = statement<{ environment_id: string; key_hash: Buffer }, TokenRow>(
  "token_by_key",
  `select ${columns} from tokens where environment_id = $environment_id and idempotency_key_hash = $key_hash`,
);

interface Named {
  environment_id: string;
  id: string;
}

const named = "where environment_id = $environment_id and id = $id";
const get = statement<Named, TokenRow>("token_get", `select ${columns} from tokens ${named}`);
/** Public routes know the id alone; its secret says that they may. */
const byId = statement<{ id: string }, TokenRow>("token_get_by_id", `select ${columns} from tokens where id = $id`);
const lock = statement<{ id: string; environment_id: string | null }, TokenRow>(
  "token_lock",
  `select ${columns} from tokens where id = $id and ($environment_id::uuid is null or environment_id = $environment_id::uuid) for no key update`,
);
/** Nobody decides the token while a wait on it is being opened: the wait would be missed. */
const hold = statement<Named, TokenRow>("token_hold", `select ${columns} from tokens ${named} for share`);

interface Place {
  environment_id: string;
  after_at: string;
  after_id: string;
  row_limit: number;
}

/** Before every token: a plan that is made once for all pages must not ask whether there is a cursor. */
const beginning = { createdAt: "-infinity", id: "00000000-0000-0000-0000-000000000000" };
const afterCursor = "(created_at, id) > ($after_at::timestamptz, $after_id::uuid)";
const order = "order by created_at, id limit $row_limit";

const list = statement<Place, TokenRow>(
  "token_list",
  `select ${columns} from tokens where environment_id = $environment_id and ${afterCursor} ${order}`,
);

const listOfState = statement<Place & { state: TokenState }, TokenRow>(
  "token_list_of_state",
  `select ${columns} from tokens where environment_id = $environment_id and state = $state and ${afterCursor} ${order}`,
);

/** Pending ones that nobody has swept yet are shown as expired. */
const listPending = statement<Place, TokenRow>(
  "token_list_pending",
  `select ${columns} from tokens where environment_id = $environment_id and state = 'pending' and timeout_at > now() and ${afterCursor} ${order}`,
);

/** The overdue are few: a loop expires them on time. */
const listExpired = statement<Place, TokenRow>(
  "token_list_expired",
  `with overdue as materialized (select * from tokens where due_at <= now() order by due_at limit 1000)
   (select ${columns} from tokens where environment_id = $environment_id and state = 'expired' and ${afterCursor} ${order})
   union all
   (select ${columns} from overdue where environment_id = $environment_id and ${afterCursor} ${order})
   ${order}`,
);

interface Decide {
  id: string;
  state: TokenState;
}

const wake = "update run_waits set wake_at = now() where token_id = $id and condition = 'open' returning id";

/** The token is locked. Its open waits are told to look: who resolves them comes after the commit. */
const complete = statement<Decide & { data: string; data_fingerprint: Buffer; by_public: boolean }, { wait_id: string }>(
  "token_complete",
  `with decided as (update tokens
                       set state = $state, due_at = null, data = $data::json, data_fingerprint = $data_fingerprint, completed_at = now(),
                           public_token_used = public_token_used or $by_public
                     where id = $id and state ${inStates(tokenTransitions.complete.from)}),
        woken as (${wake})
   select id as wait_id from woken`,
);

const end = statement<Decide, { wait_id: string }>(
  "token_end",
  `with decided as (update tokens set state = $state, due_at = null where id = $id and state ${inStates(tokenTransitions.cancel.from)}),
        woken as (${wake})
   select id as wait_id from woken`,
);

const overdue = statement<{ row_limit: number }, { id: string }>(
  "token_overdue",
  "select id from tokens where due_at <= now() order by due_at limit $row_limit",
);

const nextTimeout = statement<Record<never, never>, { due_ms: number }>(
  "token_next_timeout",
  "select (extract(epoch from (due_at - now())) * 1000)::float8 as due_ms from tokens where due_at is not null order by due_at limit 1",
);

export const tokenInsert = (tx: Tx, token: NewToken) => tx.one(insert, token);
export const tokenByKey = (on: Queryable, environmentId: string, keyHash: Buffer) =>
  on.one(byKey, { environment_id: environmentId, key_hash: keyHash });
export const tokenGet = (on: Queryable, environmentId: string, id: string) => on.one(get, { environment_id: environmentId, id });
export const tokenGetById = (on: Queryable, id: string) => on.one(byId, { id });
export const tokenLock = (tx: Tx, key: { id: string; environment_id: string | null }) => tx.one(lock, key);
export const tokenHold = (tx: Tx, environmentId: string, id: string) => tx.one(hold, { environment_id: environmentId, id });

export interface TokenListFilter {
  environmentId: string;
  status: TokenState | undefined;
  after: { createdAt: string; id: string } | undefined;
  limit: number;
}

export function tokenList(on: Queryable, { environmentId, status, after = beginning, limit }: TokenListFilter): Promise<TokenRow[]> {
  const params = { environment_id: environmentId, after_at: after.createdAt, after_id: after.id, row_limit: limit };
  if (status === undefined) return on.all(list, params);
  if (status === "pending") return on.all(listPending, params);
  if (status === "expired") return on.all(listExpired, params);
  return on.all(listOfState, { ...params, state: status });
}

export interface TokenCompletion {
  id: string;
  data: unknown;
  fingerprint: Buffer;
  byPublic: boolean;
}

/** Ids of the open waits on it. */
export const tokenComplete = async (tx: Tx, { id, data, fingerprint, byPublic }: TokenCompletion) => {
  const params = { id, state: tokenTransitions.complete.to, data: json(data), data_fingerprint: fingerprint, by_public: byPublic };
  return (await tx.all(complete, params)).map((row) => row.wait_id);
};
export const tokenEnd = async (tx: Tx, id: string, state: "cancelled" | "expired") =>
  (await tx.all(end, { id, state })).map((row) => row.wait_id);

export const tokenOverdue = (on: Queryable, limit: number) => on.all(overdue, { row_limit: limit });
export const tokenNextTimeoutMs = async (on: Queryable) => (await on.one(nextTimeout, {}))?.due_ms;
