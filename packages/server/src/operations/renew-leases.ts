/**
 * One call per worker renews all its leases. The answer says for each whether it is still held, and what the control plane wants of it: directives are
 * read from the store every time, so one whose push was lost comes with the next renewal. Every directive is safe to repeat.
 */
import { limits } from "@helmr/protocol/shared";
import type { Directive } from "@helmr/protocol/worker";
import { leaseDirectives, leaseRenew, type Renewal } from "../store/lease.ts";
import { workerSeen } from "../store/worker.ts";
import type { EngineContext } from "../engine-context.ts";
import { type Stale, stale, type WorkerActor } from "../worker-actor.ts";

export interface RenewedLeases {
  held: { leaseId: string; ttlMs: number; directives: Directive[] }[];
  stale: string[];
  drain: boolean;
}

export async function renewLeases(
  context: EngineContext,
  worker: WorkerActor,
  request: { epoch: number; leases: (Renewal & { openCalls: number[] })[] },
): Promise<RenewedLeases | Stale> {
  const subject = { workerId: worker.workerId, epoch: request.epoch };
  const seen = await workerSeen(context.db, worker.workerId, request.epoch);
  if (!seen) return stale;
  const renewed = request.leases.length === 0 ? [] : await leaseRenew(context.db, subject, request.leases, limits.leaseTtlMs);
  const held = new Set(renewed.map((row) => row.id));
  const directives =
    held.size === 0
      ? new Map<string, Directive[]>()
      : await readDirectives(
          context,
          worker,
          request.leases.filter((lease) => held.has(lease.leaseId)),
        );
  return {
    held: [...held].map((leaseId) => ({ leaseId, ttlMs: limits.leaseTtlMs, directives: directives.get(leaseId) ?? [] })),
    stale: request.leases.map((lease) => lease.leaseId).filter((id) => !held.has(id)),
    drain: seen.state === "draining" || seen.state === "drained",
  };
}

/** What every held lease of a worker is told right now, by lease; `openCalls` are the waits whose outcome the worker still misses. */
export async function readDirectives(
  context: EngineContext,
  worker: WorkerActor,
  leases: readonly { leaseId: string; openCalls: number[] }[],
): Promise<Map<string, Directive[]>> {
  const ids = leases.map((lease) => lease.leaseId);
  const [rows, more] = await Promise.all([
    leaseDirectives(context.db, worker.workerId, ids),
    context.hooks.readDirectives(context, leases),
  ]);
  const result = new Map<string, Directive[]>();
  const add = (directive: Directive) => {
    const list = result.get(directive.lease_id);
    if (list) list.push(directive);
    else result.set(directive.lease_id, [directive]);
  };
  for (const row of rows) {
    if (row.state !== "held") add({ type: "fenced", lease_id: row.id });
    else if (row.cancel) add({ type: "cancel", lease_id: row.id, force: row.cancel.force === true, reason: row.cancel.reason });
    if (row.state === "held" && row.unmount) add({ type: "unmount", lease_id: row.id });
  }
  for (const directive of more) add(directive);
  return result;
}
