/**
 * Outcomes of waits on their way to the holder of the run: with every renewal those that it asks for by call id, with a push those of a moment ago. An outcome
 * may be told more than once; the holder answers its program once.
 */
import type { Directive } from "@helmr/protocol/worker";
import type { EngineContext } from "../engine-context.ts";
import { sessionLimits } from "../session-limits.ts";
import { type OutcomeRow, waitOutcomesAsked, waitOutcomesRecent } from "../store/run-wait.ts";
import { readOutcome } from "./wait-outcome.ts";

export async function readWaitDirectives(
  { db }: EngineContext,
  leases: readonly { leaseId: string; openCalls: number[] }[],
): Promise<Directive[]> {
  const calls = leases.flatMap(({ leaseId, openCalls }) => openCalls.map((callId) => ({ leaseId, callId })));
  const [asked, recent] = await Promise.all([
    calls.length === 0 ? [] : waitOutcomesAsked(db, calls),
    waitOutcomesRecent(db, {
      lease_ids: leases.map((lease) => lease.leaseId),
      within_ms: sessionLimits.pushOutcomeMs,
      bytes_max: sessionLimits.eventPayloadBytesMax,
    }),
  ]);
  const rows = new Map([...recent, ...asked].map((row) => [row.id, row]));
  return Promise.all([...rows.values()].map((row) => directiveOf(db, row)));
}

async function directiveOf(db: EngineContext["db"], row: OutcomeRow): Promise<Directive> {
  return { type: "wait.resolved", lease_id: row.lease_id, wait_id: row.id, call_id: row.call_id, outcome: await readOutcome(db, row) };
}
