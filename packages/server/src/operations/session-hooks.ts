/** Where streams, waits and schedules join the engine (engine-context.ts). */
import type { EngineContext, EngineHooks } from "../engine-context.ts";
import { continueAfterRun } from "./continue-session.ts";
import { readCheckpoint } from "./resume-run.ts";
import { syncSchedules } from "./sync-schedules.ts";
import { readWaitDirectives } from "./wait-directives.ts";

/** The context holds the hooks, so they get it when they are called. */
export function sessionHooks(
  context: () => EngineContext,
): Pick<EngineHooks, "runFinished" | "deploymentPromoted" | "readDirectives" | "readCheckpoint"> {
  return {
    runFinished: [continueAfterRun(context)],
    deploymentPromoted: [syncSchedules(context)],
    readDirectives: readWaitDirectives,
    readCheckpoint,
  };
}
