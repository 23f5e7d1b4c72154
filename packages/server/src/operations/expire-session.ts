/** Ends a session that is past its expiry and has nothing live or pending (http §4.4): by the sweep, or on access. Locks the session. */
import { mustExpire } from "../domain/session.ts";
import type { Tx } from "../store/db.ts";
import { sessionEnd, sessionFacts, sessionGet, type SessionKey, sessionLock, type SessionRow } from "../store/session.ts";
import { type EngineContext, topic } from "../engine-context.ts";

/** The session as it is now, expired or not; `undefined` when there is none. */
export async function expireSession(context: EngineContext, environmentId: string, key: SessionKey): Promise<SessionRow | undefined> {
  return context.db.tx(async (tx) => {
    const session = await sessionLock(tx, environmentId, key);
    if (!session || !mustExpire(sessionFacts(session))) return session;
    return expireLocked(tx, context, session);
  });
}

/** For operations that have locked the session and found it due. */
export async function expireLocked(tx: Tx, context: EngineContext, session: SessionRow): Promise<SessionRow | undefined> {
  await sessionEnd(tx, {
    id: session.id,
    state: "expired",
    error: { name: "SessionExpired", message: "the session has expired", details: { expires_at: session.expires_at } },
    terminalReason: { reason: "session_expired", origin: "api" },
  });
  tx.afterCommit(() => context.hints.send(topic.session(session.id)));
  return sessionGet(tx, session.environment_id, { id: session.id });
}
