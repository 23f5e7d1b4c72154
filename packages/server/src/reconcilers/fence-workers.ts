/** Workers that were silent for longer than a lease lives hold nothing any more: they are shown as lost. Their leases ended at their own deadlines. */
import { limits } from "@helmr/protocol/shared";
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { workerLose, workerSilent } from "../store/worker.ts";
import { eachRow, type Reconciler } from "./loop.ts";

const silentMs = limits.leaseTtlMs + 15_000;

export function fenceWorkers({ db }: EngineContext): Reconciler {
  return {
    name: "fence-workers",
    periodMs: 10_000,
    async run() {
      return eachRow(await workerSilent(db, silentMs, engineLimits.reconcileBatch), (row) => workerLose(db, row.id, silentMs));
    },
  };
}
