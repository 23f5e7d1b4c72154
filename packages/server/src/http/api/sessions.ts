/** Sessions (http §4). */
import { sessionEndpoints, type SessionStartBody } from "@helmr/protocol/api";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { EngineContext } from "../../engine-context.ts";
import { cancelSession } from "../../operations/cancel-session.ts";
import { closeSession } from "../../operations/close-session.ts";
import { waitForRun } from "../../operations/read-runs.ts";
import { explainSession, listSessions, readSession, readTurns } from "../../operations/read-sessions.ts";
import { type Started, startSession } from "../../operations/start-session.ts";
import { updateSession } from "../../operations/update-session.ts";
import { isRefusal, type Refusal } from "../../outcome.ts";
import type { Actor, Scope } from "../auth/actor.ts";
import { clientVersions, refuseScopeFields } from "../request-facts.ts";
import type { Routes } from "../route.ts";
import { runView } from "./run-view.ts";
import { sessionRunView, sessionView } from "./session-view.ts";

interface StartRequest {
  actor: Actor;
  scope: Scope;
  body: SessionStartBody;
  request: FastifyRequest;
}

export function addSessionRoutes(routes: Routes, context: EngineContext): void {
  async function start({ actor, scope, body, request }: StartRequest): Promise<Started | Refusal> {
    return refuseScopeFields(actor, body) ?? startSession(context, { scope, body, ...clientVersions(request) });
  }

  routes.add(sessionEndpoints.start, async (input) => {
    const started = await start(input);
    return isRefusal(started) ? started : { status: started.cached ? 200 : 201, body: startView(started) };
  });

  routes.add(sessionEndpoints.startAndWait, async (input) => {
    const started = await start(input);
    if (isRefusal(started)) return started;
    const { environmentId } = input.scope;
    const signal = hangUp(input.reply);
    const run = await waitForRun(context, { environmentId, runId: started.run.id, timeoutMs: input.body.timeout_seconds * 1_000, signal });
    if (isRefusal(run)) return run;
    const session = await readSession(context, environmentId, { id: started.session.id });
    if (isRefusal(session)) return session;
    const timedOut = run.state === "finished" ? {} : { timed_out: true as const };
    return { body: { ...startView({ ...started, session, run }), ...timedOut } };
  });

  routes.add(sessionEndpoints.list, async ({ scope, query }) => {
    const filter = {
      environmentId: scope.environmentId,
      status: query.status,
      taskId: query.task_id,
      externalId: query.external_id,
      limit: query.limit,
    };
    return { body: { sessions: (await listSessions(context, filter)).map((row) => sessionView(row)) } };
  });

  routes.add(sessionEndpoints.get, async ({ scope, address }) => {
    const session = await readSession(context, scope.environmentId, address);
    if (isRefusal(session)) return session;
    const { blocked } = await explainSession(context, session);
    return { body: sessionView(session, blocked) };
  });

  routes.add(sessionEndpoints.update, async ({ scope, address, body }) => {
    const session = await updateSession(context, { environmentId: scope.environmentId, key: address, body });
    return isRefusal(session) ? session : { body: sessionView(session) };
  });

  routes.add(sessionEndpoints.close, async ({ scope, address, body }) => {
    const session = await closeSession(context, { environmentId: scope.environmentId, key: address, reason: body.reason });
    return isRefusal(session) ? session : { body: sessionView(session) };
  });

  routes.add(sessionEndpoints.cancel, async ({ scope, address, body }) => {
    const session = await cancelSession(context, { environmentId: scope.environmentId, key: address, reason: body.reason });
    return isRefusal(session) ? session : { body: sessionView(session) };
  });

  routes.add(sessionEndpoints.runs, async ({ scope, address }) => {
    const runs = await readTurns(context, scope.environmentId, address);
    return isRefusal(runs) ? runs : { body: { runs: runs.map(sessionRunView) } };
  });
}

function startView({ session, run, cached }: Started) {
  return {
    session: sessionView(session),
    run: runView(run, { idempotencyHit: cached === "key" }),
    ...(cached ? { is_cached: true as const } : {}),
  };
}

/** Aborts when the client goes away: nobody waits for an answer that cannot be given. */
function hangUp(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  return gone.signal;
}
