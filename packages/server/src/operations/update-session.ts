/** Replaces metadata or tags of a session, or moves its expiry later (http §4.2). Locks the session. */
import type { SessionUpdateBody } from "@helmr/protocol/api";
import { required } from "../assert.ts";
import { mustExpire } from "../domain/session.ts";
import { type Refusal, refuse } from "../outcome.ts";
import { sessionFacts, sessionGet, type SessionKey, sessionLock, type SessionRow, sessionUpdate } from "../store/session.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { expireLocked } from "./expire-session.ts";
import { noSession } from "./read-sessions.ts";

export async function updateSession(
  context: EngineContext,
  { environmentId, key, body }: { environmentId: string; key: SessionKey; body: SessionUpdateBody },
): Promise<SessionRow | Refusal> {
  return context.db.tx(async (tx) => {
    const locked = await sessionLock(tx, environmentId, key);
    if (!locked) return noSession();
    const session = mustExpire(sessionFacts(locked))
      ? required(await expireLocked(tx, context, locked), "A locked session exists")
      : locked;
    if (body.expires_at !== undefined && !extendable(session, body.expires_at)) return refuse("session_expires_at_not_extendable");
    await sessionUpdate(tx, session.id, {
      ...(body.metadata === undefined ? {} : { metadata: body.metadata }),
      ...(body.tags === undefined ? {} : { tags: body.tags }),
      ...(body.expires_at === undefined ? {} : { expiresAt: body.expires_at }),
    });
    tx.afterCommit(() => {
      context.hints.send(topic.session(session.id));
      if (body.expires_at !== undefined) context.hints.send(topic.reconcile("expire-sessions"));
    });
    return required(await sessionGet(tx, environmentId, { id: session.id }), "A locked session exists");
  });
}

/** Only where one exists, is still in the future (by the database's clock), and the new one is later. */
function extendable(session: SessionRow, expiresAt: string): boolean {
  if (session.state !== "open" || session.expires_at === null || session.past_expiry) return false;
  return Date.parse(expiresAt) > Date.parse(session.expires_at);
}
