/**
 * Workers join: `enrollWorker` once per host (the secret of its group buys a credential of its own), `startWorker` once per process. A start is a new
 * epoch: what the host still runs is adopted by name and fence, every other lease of it is lost at once instead of at its deadline.
 */
import { credentialPrefix, limits } from "@helmr/protocol/shared";
import { type Lease, type WorkerFacts, workerRestores } from "@helmr/protocol/worker";
import { required } from "../assert.ts";
import { credentialHash, issueCredential } from "../credentials.ts";
import { engineLimits } from "../limits.ts";
import { newId } from "../new-id.ts";
import { refusal, type Refusal } from "../outcome.ts";
import { json, type Queryable } from "../store/db.ts";
import { leaseAdopt, leaseOfOlderEpochs } from "../store/lease.ts";
import { workerEnroll, workerEnrollmentGet, workerEnrollmentPut, workerLogin, workerStart } from "../store/worker.ts";
import type { EngineContext } from "../engine-context.ts";
import { loseLease } from "./lose-lease.ts";
import { readLeases } from "./read-leases.ts";
import type { WorkerActor } from "../worker-actor.ts";

export interface Enrolled {
  workerId: string;
  group: string;
  credential: string;
}

/** The group whose secret this is. Its own step, so that a request is not looked at before its sender may say anything. */
export async function findEnrollment(on: Queryable, secret: string): Promise<{ worker_group: string } | Refusal> {
  return (await workerEnrollmentGet(on, credentialHash(secret))) ?? refusal(401, "the enrollment secret is not valid");
}

export async function enrollWorker(
  context: EngineContext,
  enrollment: { worker_group: string },
  request: { name: string; facts: WorkerFacts },
): Promise<Enrolled> {
  const credential = issueCredential(credentialPrefix.worker);
  const row = await workerEnroll(context.db, {
    id: newId(),
    worker_group: enrollment.worker_group,
    name: request.name,
    credential_hash: credential.hash,
    facts: json(request.facts),
  });
  return { workerId: required(row, "An upsert returns its row").id, group: enrollment.worker_group, credential: credential.text };
}

/** A secret for a group, for whoever sets up an install: it goes into the configuration of the server and of the group's workers. */
export function newEnrollmentSecret(): string {
  return issueCredential(credentialPrefix.workerEnrollment).text;
}

/** The operator's secret of a group, from the configuration; called at each start of the server. */
export async function ensureEnrollment(on: Queryable, group: string, secret: string): Promise<void> {
  await workerEnrollmentPut(on, { id: newId(), worker_group: group, secret_hash: credentialHash(secret) });
}

export async function findWorker(on: Queryable, credential: string): Promise<WorkerActor | undefined> {
  const row = await workerLogin(on, credentialHash(credential));
  return row && { workerId: row.id, group: row.worker_group };
}

export interface StartWorker {
  facts: WorkerFacts;
  total: { milli_cpu: number; memory_mib: number; disk_mib: number; slots: number };
  adopt: { lease_id: string; fence: number }[];
}

export async function startWorker(
  context: EngineContext,
  worker: WorkerActor,
  request: StartWorker,
): Promise<{ epoch: number; adopted: string[]; stale: string[]; leases: Lease[] }> {
  const { epoch, adopted } = await context.db.tx(async (tx) => {
    const started = required(
      await workerStart(tx, { id: worker.workerId, facts: json(request.facts), restores: workerRestores(request.facts), ...request.total }),
      "An authenticated worker exists",
    );
    const rows = await leaseAdopt(tx, { workerId: worker.workerId, epoch: started.epoch }, request.adopt, limits.leaseTtlMs);
    return { epoch: started.epoch, adopted: rows };
  });
  // Each in a transaction of its own; what a crash leaves is found at its deadline.
  for (;;) {
    const lost = await leaseOfOlderEpochs(context.db, { workerId: worker.workerId, epoch }, engineLimits.reconcileBatch);
    for (const lease of lost) await loseLease(context, lease, "fenced");
    if (lost.length < engineLimits.reconcileBatch) break;
  }
  const ids = adopted.map((row) => row.id);
  const known = new Set(ids);
  const leases = adopted.length === 0 ? [] : await readLeases(context, adopted);
  return { epoch, adopted: ids, leases, stale: request.adopt.map((item) => item.lease_id).filter((id) => !known.has(id)) };
}
