import type { Session, SessionRun as WireSessionRun } from "@helmr/protocol/api";
import { members } from "./body-members.ts";
import type { RequestOptions } from "./request-options.ts";
import { type ResolvedSession, resolveSession, sessionUrl } from "./session-address.ts";
import type { OpenSessionHandle, SessionAddress, SessionsApi, SessionSnapshot } from "./session-shapes.ts";
import { type StartValues, startSession, startSessionAndWait } from "./session-start.ts";
import { type StreamReference, inputStreamApi, outputStreamApi } from "./session-streams.ts";
import { sessionRun, sessionSnapshot } from "./session-views.ts";
import type { Transport } from "./transport.ts";
import type { Task } from "../authoring/task.ts";

export function sessionsApi(transport: Transport): SessionsApi {
  const api = {
    start: (target: string | Task, ...values: StartValues) => startSession(transport, target, values),
    startAndWait: (target: string | Task, ...values: StartValues) => startSessionAndWait(transport, target, values),
    open: (address: SessionAddress) => openSession(transport, resolveSession(address)),
    retrieve: (address: SessionAddress, options: RequestOptions = {}) => retrieveSession(transport, resolveSession(address), options),
    list: (options: Parameters<SessionsApi["list"]>[0] = {}) => listSessions(transport, options),
  };
  // The overloads say more than one implementation signature can.
  return Object.freeze(api) as unknown as SessionsApi;
}

async function retrieveSession(transport: Transport, session: ResolvedSession, options: RequestOptions): Promise<SessionSnapshot> {
  return sessionSnapshot(await transport.json<Session>({ method: "GET", ...sessionUrl(session), options }));
}

async function listSessions(transport: Transport, options: NonNullable<Parameters<SessionsApi["list"]>[0]>): Promise<SessionSnapshot[]> {
  const query = [
    ["status", options.status],
    ["task_id", options.taskId],
    ["external_id", options.externalId],
    ["limit", options.limit],
  ] as const;
  const { sessions } = await transport.json<{ sessions: Session[] }>({ method: "GET", path: "/sessions", query, options });
  return sessions.map(sessionSnapshot);
}

function openSession(transport: Transport, session: ResolvedSession): OpenSessionHandle {
  const end = async (verb: "close" | "cancel", options: RequestOptions & { readonly reason?: string }): Promise<SessionSnapshot> => {
    const body = members({ reason: options.reason });
    return sessionSnapshot(await transport.json<Session>({ method: "POST", ...sessionUrl(session, `/${verb}`), body, options }));
  };
  const handle = {
    ...session,
    retrieve: (options: RequestOptions = {}) => retrieveSession(transport, session, options),
    close: (options: RequestOptions & { readonly reason?: string } = {}) => end("close", options),
    cancel: (options: RequestOptions & { readonly reason?: string } = {}) => end("cancel", options),
    async runs(options: RequestOptions = {}) {
      const { runs } = await transport.json<{ runs: WireSessionRun[] }>({ method: "GET", ...sessionUrl(session, "/runs"), options });
      return runs.map(sessionRun);
    },
    input: (stream: StreamReference) => inputStreamApi(transport, session, stream),
    output: (stream: StreamReference) => outputStreamApi(transport, session, stream),
  };
  return Object.freeze(handle) as OpenSessionHandle;
}
