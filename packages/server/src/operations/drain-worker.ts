/**
 * A host that is to be emptied: it is offered no more work, keeps what it holds until that ends, and is drained once nothing is left. Asked for by the host
 * itself when it is told to stop, or by an operator. Restarting its process makes it active again.
 */
import type { EngineContext } from "../engine-context.ts";
import { topic } from "../engine-context.ts";
import { leaseOfWorker } from "../store/lease.ts";
import { workerSetState, workerState } from "../store/worker.ts";

/** What is left of it: the number of leases it still holds. */
export async function drainWorker(context: EngineContext, workerId: string): Promise<{ state: string; held: number }> {
  await workerSetState(context.db, workerId, "drain");
  const held = (await leaseOfWorker(context.db, workerId)).filter((lease) => lease.held).length;
  if (held === 0) await workerSetState(context.db, workerId, "drained");
  context.hints.send(topic.worker(workerId));
  return { state: (await workerState(context.db, workerId)) ?? "lost", held };
}
