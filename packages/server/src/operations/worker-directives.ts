/** The push side of directives: what a worker's channel sends when a hint says that something changed for it. */
import type { Directive } from "@helmr/protocol/worker";
import { leaseOfWorker } from "../store/lease.ts";
import { workerState } from "../store/worker.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { readDirectives } from "./renew-leases.ts";
import type { WorkerActor } from "../worker-actor.ts";

export interface Push {
  directives: Directive[];
  drain: boolean;
}

/** Everything that is wanted of the worker now: of held leases, and "fenced" for those that were taken away a moment ago. */
export async function readPush(context: EngineContext, worker: WorkerActor): Promise<Push> {
  const [leases, state] = await Promise.all([leaseOfWorker(context.db, worker.workerId), workerState(context.db, worker.workerId)]);
  const directives = await readDirectives(
    context,
    worker,
    leases.map((lease) => ({ leaseId: lease.id, openCalls: [] })),
  );
  return { directives: [...directives.values()].flat(), drain: state === "draining" || state === "drained" };
}

export function followDirectives(context: EngineContext, worker: WorkerActor, listener: () => void): () => void {
  return context.hints.subscribe(topic.worker(worker.workerId), listener);
}
