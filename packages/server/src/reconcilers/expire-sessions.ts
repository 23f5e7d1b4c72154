/** Open sessions past their expiry, with nothing live or pending. */
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { expireSession } from "../operations/expire-session.ts";
import { sessionNextExpiryMs, sessionPastExpiry } from "../store/session.ts";
import { eachRow, type Reconciler } from "./loop.ts";

export function expireSessions(context: EngineContext): Reconciler {
  return {
    name: "expire-sessions",
    periodMs: 5_000,
    async run() {
      const rows = await sessionPastExpiry(context.db, engineLimits.reconcileBatch);
      return eachRow(rows, async (row) => (await expireSession(context, row.environment_id, { id: row.id }))?.state === "expired");
    },
    nextDueMs: () => sessionNextExpiryMs(context.db),
  };
}
