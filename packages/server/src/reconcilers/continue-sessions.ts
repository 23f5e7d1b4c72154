/**
 * Requests for another run that nobody started although no run is live. Append and the end of a run start them in their own transactions, so there is nothing
 * to find here; it is looked all the same, a page at a time.
 */
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { continueSession } from "../operations/continue-session.ts";
import { continuationStranded } from "../store/continuation.ts";
import { eachRow, type Reconciler } from "./loop.ts";

const none = "00000000-0000-0000-0000-000000000000";

export function continueSessions(context: EngineContext): Reconciler {
  let after = none;
  return {
    name: "continue-sessions",
    periodMs: 60_000,
    async run() {
      const rows = await continuationStranded(context.db, after);
      const full = rows.length === engineLimits.reconcileBatch;
      after = full ? (rows.at(-1)?.session_id ?? none) : none;
      const stranded = rows.filter((row) => row.stranded);
      const pass = await eachRow(stranded, (row) => continueSession(context, row.environment_id, row.session_id));
      return { ...pass, scanned: rows.length, more: full };
    },
  };
}
