/** Cancels a session and its current run, without force (http §4.4). Locks: session → workspace → run. */
import { assertNever, required } from "../assert.ts";
import { decideCancelSession } from "../domain/session.ts";
import { type Refusal, refuse } from "../outcome.ts";
import { runLock } from "../store/run.ts";
import { sessionEnd, sessionFacts, sessionGet, sessionLock, type SessionRow } from "../store/session.ts";
import { cancelLockedRun } from "./cancel-run.ts";
import type { EndSession } from "./close-session.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { expireLocked } from "./expire-session.ts";
import { noSession } from "./read-sessions.ts";

const defaultReason = "cancelled";

export async function cancelSession(context: EngineContext, { environmentId, key, reason }: EndSession): Promise<SessionRow | Refusal> {
  const text = reason || defaultReason;
  return context.db.tx(async (tx) => {
    const session = await sessionLock(tx, environmentId, key);
    if (!session) return noSession();
    const decision = decideCancelSession(sessionFacts(session));
    switch (decision) {
      case "unchanged":
        return session;
      case "terminal":
        return refuse("session_terminal", `the session is ${session.state}`);
      case "expire":
        // Expired on access, and an expired session cannot be cancelled.
        await expireLocked(tx, context, session);
        return refuse("session_terminal", "the session is expired");
      case "cancel": {
        // The session first: the end of its run must not start another one.
        await sessionEnd(tx, {
          id: session.id,
          state: "cancelled",
          error: { name: "TaskCancelled", message: text, details: { origin: "api" } },
          terminalReason: { reason: text, origin: "api" },
        });
        const run = session.current_run_id === null ? undefined : await runLock(tx, environmentId, session.current_run_id);
        if (run) await cancelLockedRun(tx, context, run, { reason: text, force: false });
        tx.afterCommit(() => context.hints.send(topic.session(session.id)));
        return required(await sessionGet(tx, environmentId, { id: session.id }), "A locked session exists");
      }
      default:
        return assertNever(decision);
    }
  });
}
