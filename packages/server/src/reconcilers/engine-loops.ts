/** Every loop of the engine. Other parts of the product add theirs where the process is put together (main). */
import type { EngineContext } from "../engine-context.ts";
import { collectGarbage } from "./collect-garbage.ts";
import { expireLeases } from "./expire-leases.ts";
import { expireRuns } from "./expire-runs.ts";
import { expireSessions } from "./expire-sessions.ts";
import { fenceWorkers } from "./fence-workers.ts";
import type { Reconciler } from "./loop.ts";
import { repairGates, undelayRuns } from "./place-runs.ts";
import { storageReconcilers } from "./storage-loops.ts";

export function engineReconcilers(context: EngineContext): Reconciler[] {
  return [
    undelayRuns(context),
    repairGates(context),
    expireLeases(context),
    expireRuns(context),
    expireSessions(context),
    fenceWorkers(context),
    collectGarbage(context),
    ...storageReconcilers(context),
  ];
}
