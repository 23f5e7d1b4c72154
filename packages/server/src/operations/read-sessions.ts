/** Sessions as they are read. An access to a session that is due expires it first (http §4.4). */
import type { Blocked } from "@helmr/protocol/api";
import { mustExpire, sessionActivity } from "../domain/session.ts";
import { notFound, type Refusal } from "../outcome.ts";
import { runTurns, type SessionRunRow } from "../store/run.ts";
import { sessionFacts, sessionGet, type SessionKey, sessionList, type SessionListFilter, type SessionRow } from "../store/session.ts";
import type { EngineContext } from "../engine-context.ts";
import { explainRun } from "./explain-run.ts";
import { expireSession } from "./expire-session.ts";

export type { SessionRow, SessionRunRow };
export const factsOf = sessionFacts;

export const noSession = (): Refusal => notFound("session not found");

export async function readSession(context: EngineContext, environmentId: string, key: SessionKey): Promise<SessionRow | Refusal> {
  const session = await sessionGet(context.db, environmentId, key);
  if (!session) return noSession();
  if (!mustExpire(sessionFacts(session))) return session;
  return (await expireSession(context, environmentId, { id: session.id })) ?? noSession();
}

export interface ReadSession {
  session: SessionRow;
  /** Why its run does not go on: while activity is queued or waiting. */
  blocked: Blocked | undefined;
}

export async function explainSession(context: EngineContext, session: SessionRow): Promise<ReadSession> {
  const activity = sessionActivity(sessionFacts(session));
  const explained = (activity === "queued" || activity === "waiting") && session.current_run_id !== null;
  return { session, blocked: explained ? await explainRun(context, session.current_run_id as string) : undefined };
}

export async function listSessions(context: EngineContext, filter: SessionListFilter): Promise<SessionRow[]> {
  const rows = await sessionList(context.db, filter);
  const due = rows.filter((row) => mustExpire(sessionFacts(row)));
  if (due.length === 0) return rows;
  for (const row of due) await expireSession(context, filter.environmentId, { id: row.id });
  return sessionList(context.db, filter);
}

export async function readTurns(context: EngineContext, environmentId: string, key: SessionKey): Promise<SessionRunRow[] | Refusal> {
  const session = await sessionGet(context.db, environmentId, key);
  return session ? runTurns(context.db, session.id) : noSession();
}
