/** Closes a session whose work is done (http §4.4). Locks the session: a run of it can only be made under the same lock. */
import { assertNever, required } from "../assert.ts";
import { decideClose } from "../domain/session.ts";
import { type Refusal, refuse } from "../outcome.ts";
import { sessionEnd, sessionFacts, sessionGet, type SessionKey, sessionLock, type SessionRow } from "../store/session.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { expireLocked } from "./expire-session.ts";
import { noSession } from "./read-sessions.ts";

export interface EndSession {
  environmentId: string;
  key: SessionKey;
  reason: string | undefined;
}

export async function closeSession(context: EngineContext, { environmentId, key, reason }: EndSession): Promise<SessionRow | Refusal> {
  return context.db.tx(async (tx) => {
    const session = await sessionLock(tx, environmentId, key);
    if (!session) return noSession();
    const decision = decideClose(sessionFacts(session));
    switch (decision) {
      case "unchanged":
        return session;
      case "terminal":
        return refuse("session_terminal", `the session is ${session.state}`);
      case "run_active":
        return refuse("close_run_active");
      case "expire":
        return required(await expireLocked(tx, context, session), "A locked session exists");
      case "close":
        await sessionEnd(tx, { id: session.id, state: "closed", terminalReason: { reason: reason || "closed", origin: "api" } });
        tx.afterCommit(() => context.hints.send(topic.session(session.id)));
        return required(await sessionGet(tx, environmentId, { id: session.id }), "A locked session exists");
      default:
        return assertNever(decision);
    }
  });
}
