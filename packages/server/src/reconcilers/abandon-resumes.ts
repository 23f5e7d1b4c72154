/** Runs that have wanted to resume for too long: never a silent hang (engine §4). */
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { abandonResume } from "../operations/abandon-resume.ts";
import { checkpointOverdue } from "../store/checkpoint.ts";
import { eachRow, type Reconciler } from "./loop.ts";

export function abandonResumes(context: EngineContext): Reconciler {
  const { resumeWaitMs } = context.parking;
  return {
    name: "abandon-resumes",
    periodMs: Math.min(60_000, Math.max(1_000, resumeWaitMs / 2)),
    async run() {
      const rows = await checkpointOverdue(
        context.db,
        { olderMs: resumeWaitMs, silentMs: engineLimits.workerSilentMs },
        engineLimits.reconcileBatch,
      );
      return eachRow(rows, (row) => abandonResume(context, { environmentId: row.environment_id, runId: row.run_id }));
    },
  };
}
