/** What was asked of runs from outside (cancels), kept to answer repeats of the same request. */
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface RunOperationRow {
  id: string;
  run_id: string;
  kind: "cancel";
  state: "requested" | "applied" | "rejected";
  reason: string | null;
  idempotency_fingerprint: Buffer | null;
  created_at: string;
  applied_at: string | null;
}

interface InsertParams {
  id: string;
  environment_id: string;
  run_id: string;
  state: RunOperationRow["state"];
  reason: string | null;
  idempotency_key_hash: Buffer | null;
  idempotency_fingerprint: Buffer | null;
}

const columns = "id, run_id, kind, state, reason, idempotency_fingerprint, created_at, applied_at";

const insert = statement<InsertParams, RunOperationRow>(
  "run_operation_insert",
  `insert into run_operations (id, environment_id, run_id, kind, state, reason, idempotency_key_hash, idempotency_fingerprint, applied_at)
   values ($id, $environment_id, $run_id, 'cancel', $state, $reason, $idempotency_key_hash, $idempotency_fingerprint, case when $state = 'applied' then now() end)
   returning ${columns}`,
);
const byKey = statement<{ run_id: string; key_hash: Buffer }, RunOperationRow>(
  "run_operation_by_key",
  `select ${columns} from run_operations where run_id = $run_id and idempotency_key_hash = $key_hash`,
);

const prune = statement<{ older_ms: number; row_limit: number }>(
  "run_operation_prune",
  `delete from run_operations
    where id in (select id from run_operations where created_at < now() - $older_ms * interval '1 millisecond' order by created_at limit $row_limit)`,
);

export const runOperationPrune = (on: Queryable, olderMs: number, limit: number) => on.run(prune, { older_ms: olderMs, row_limit: limit });
export const runOperationInsert = (tx: Tx, row: InsertParams) => tx.one(insert, row);
export const runOperationByKey = (on: Queryable, runId: string, keyHash: Buffer) => on.one(byKey, { run_id: runId, key_hash: keyHash });
