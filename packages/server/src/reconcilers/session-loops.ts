/** Loops of streams, waits, tokens and schedules. */
import type { EngineContext } from "../engine-context.ts";
import { abandonResumes } from "./abandon-resumes.ts";
import { continueSessions } from "./continue-sessions.ts";
import { expireTokens, prunePublicAccessTokens } from "./expire-tokens.ts";
import { fireSchedules } from "./fire-schedules.ts";
import type { Reconciler } from "./loop.ts";
import { wakeWaits } from "./wake-waits.ts";

export function sessionReconcilers(context: EngineContext): Reconciler[] {
  return [
    wakeWaits(context),
    expireTokens(context),
    continueSessions(context),
    fireSchedules(context),
    prunePublicAccessTokens(context),
    abandonResumes(context),
  ];
}
