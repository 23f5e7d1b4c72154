/** Tokens past their timeout: expired, and with them the waits on them; and public access tokens that expired long ago: forgotten. */
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { expireToken } from "../operations/complete-token.ts";
import { sessionLimits } from "../session-limits.ts";
import { publicAccessTokenPrune } from "../store/public-access-token.ts";
import { tokenNextTimeoutMs, tokenOverdue } from "../store/token.ts";
import { type Reconciler } from "./loop.ts";
import { eachRowBeside } from "./side-by-side.ts";

export function expireTokens(context: EngineContext): Reconciler {
  return {
    name: "expire-tokens",
    periodMs: sessionLimits.loopPeriodMs,
    async run() {
      const rows = await tokenOverdue(context.db, engineLimits.reconcileBatch);
      const pass = await eachRowBeside(rows, sessionLimits.wakeConcurrency, (row) => expireToken(context, row.id));
      return { ...pass, more: rows.length === engineLimits.reconcileBatch && pass.changed > 0 };
    },
    nextDueMs: () => tokenNextTimeoutMs(context.db),
  };
}

export function prunePublicAccessTokens({ db }: EngineContext): Reconciler {
  return {
    name: "prune-public-access-tokens",
    periodMs: 10 * 60_000,
    async run() {
      const removed = await publicAccessTokenPrune(db, sessionLimits.publicAccessTokenRememberMs, engineLimits.garbageBatch);
      return { scanned: removed, changed: removed, skipped: 0, more: removed === engineLimits.garbageBatch };
    },
  };
}
