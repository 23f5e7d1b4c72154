/** Loops of stored bytes: what is kept long enough, what nothing refers to, what was never committed (docs/architecture/storage.md). */
import type { EngineContext } from "../engine-context.ts";
import { type Collected, giveUpStorage, markStorage, purgeStorage, refuseOrphans } from "../operations/collect-storage.ts";
import { collectSources } from "../operations/collect-sources.ts";
import { removeDeletedWorkspaces, retireVersions } from "../operations/retire-versions.ts";
import { storageLimits } from "../storage-limits.ts";
import { type Pass, type Reconciler, sum } from "./loop.ts";

const HOUR = 3_600_000;

export function storageReconcilers(context: EngineContext): Reconciler[] {
  return [
    {
      name: "retire-versions",
      periodMs: HOUR,
      run: async () => sum([pass(await retireVersions(context)), pass(await removeDeletedWorkspaces(context))]),
    },
    {
      name: "collect-storage",
      periodMs: HOUR,
      run: async () => sum([pass(await markStorage(context)), pass(await giveUpStorage(context)), pass(await purgeStorage(context))]),
    },
    { name: "collect-sources", periodMs: HOUR, run: async () => pass(await collectSources(context)) },
    { name: "refuse-orphans", periodMs: storageLimits.orphanPeriodMs, run: async () => pass(await refuseOrphans(context)) },
  ];
}

function pass({ scanned, changed, more }: Collected): Pass {
  return { scanned, changed, skipped: 0, more };
}
