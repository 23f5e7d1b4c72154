/**
 * Advisory locks, taken before any row (docs/architecture/locking.md). A lock is named by text; its number is a hash, so two names may share a lock:
 * that costs a wait, never correctness. They end with the transaction.
 */
import type { Tx } from "./db.ts";
import { statement } from "./statement.ts";

const wait = statement<{ name: string }>("advisory_lock", "select pg_advisory_xact_lock(hashtextextended($name, 0))");
const attempt = statement<{ name: string }, { locked: boolean }>(
  "advisory_lock_try",
  "select pg_try_advisory_xact_lock(hashtextextended($name, 0)) as locked",
);

export const advisoryLock = (tx: Tx, name: string) => tx.all(wait, { name });
export const advisoryLockTry = async (tx: Tx, name: string) => (await tx.one(attempt, { name }))?.locked === true;

export const lockName = {
  startKey: (environmentId: string, taskId: string, keyHash: Buffer) => `start ${environmentId} ${taskId} ${keyHash.toString("hex")}`,
  externalId: (environmentId: string, externalId: string) => `external ${environmentId} ${externalId}`,
  lane: (lane: string) => `lane ${lane}`,
  deploymentVersions: (environmentId: string) => `deployments ${environmentId}`,
} as const;
