/** Starting sessions (sdk §9.2): what is checked before anything is sent, and the body. */
import type { SessionStartResult as WireStartResult } from "@helmr/protocol/api";
import { type Task, isTask } from "../authoring/task.ts";
import { DefinitionError } from "../errors.ts";
import { idempotencyKeyValue } from "../idempotency-keys.ts";
import { parseWithSchema } from "../schema.ts";
import { instantText, members, queueMember } from "./body-members.ts";
import { sendUntilDecided } from "./pending-retry.ts";
import { runSnapshot } from "./run-views.ts";
import type { SessionStartAndWaitOptions, SessionStartAndWaitResult, SessionStartOptions, SessionStartResult } from "./session-shapes.ts";
import { sessionSnapshot } from "./session-views.ts";
import type { Transport } from "./transport.ts";

/** The arguments behind the target: options, or payload and options. Three arguments mean that there is a payload. */
export type StartValues = readonly [options: unknown] | readonly [payload: unknown, options: unknown] | readonly unknown[];

export async function startSession(transport: Transport, target: string | Task, values: StartValues): Promise<SessionStartResult> {
  const { body, options } = await startRequest(target, values);
  const wire = await sendUntilDecided<WireStartResult>(transport, { method: "POST", path: "/sessions", body, options });
  const run = { id: wire.run.id, taskId: wire.run.task_id };
  return { session: sessionSnapshot(wire.session), run, isCached: wire.is_cached ?? false };
}

export async function startSessionAndWait(
  transport: Transport,
  target: string | Task,
  values: StartValues,
): Promise<SessionStartAndWaitResult> {
  const { body, options } = await startRequest(target, values);
  const timeout = members({ timeout_seconds: (options as SessionStartAndWaitOptions).timeoutSeconds });
  const wire = await sendUntilDecided<WireStartResult>(transport, {
    method: "POST",
    path: "/sessions/start-and-wait",
    body: { ...body, ...timeout },
    options,
  });
  return {
    session: sessionSnapshot(wire.session),
    run: runSnapshot(wire.run),
    isCached: wire.is_cached ?? false,
    timedOut: wire.timed_out ?? false,
  };
}

interface StartRequest {
  body: Record<string, unknown>;
  options: SessionStartOptions;
}

async function startRequest(target: string | Task, values: StartValues): Promise<StartRequest> {
  const hasPayload = values.length >= 2;
  const options = values[hasPayload ? 1 : 0];
  if (typeof options !== "object" || options === null)
    throw new DefinitionError("sessions.start needs options as its last argument; {} will do");
  const payload = hasPayload ? values[0] : undefined;
  const isById = typeof target === "string";
  if (!isById && !isTask(target)) throw new DefinitionError("sessions.start needs a task or its id as its first argument");
  if (!isById) await checkPayload(target, { hasPayload, payload });
  return { body: startBody(target, { payload, options }), options };
}

/** The schema only checks here: what is sent is what the caller gave, and the task parses it. */
async function checkPayload(task: Task, { hasPayload, payload }: { hasPayload: boolean; payload: unknown }): Promise<void> {
  if (task.payload === undefined) {
    if (hasPayload) throw new DefinitionError(`task "${task.id}" takes no payload; call sessions.start(task, options)`);
    return;
  }
  if (!hasPayload) throw new DefinitionError(`task "${task.id}" needs a payload; call sessions.start(task, payload, options)`);
  await parseWithSchema(task.payload, payload, `payload of task "${task.id}"`);
}

function startBody(
  target: string | Task,
  { payload, options }: { payload: unknown; options: SessionStartOptions },
): Record<string, unknown> {
  const { idempotencyKey } = options;
  return members({
    task_id: typeof target === "string" ? target : target.id,
    payload,
    external_id: options.externalId,
    workspace_id: options.workspaceId,
    expires_at: instantText(options.expiresAt, "expiresAt"),
    queue: queueMember(options.queue),
    concurrency_key: options.concurrencyKey,
    priority: options.priority,
    ttl: options.ttl,
    max_duration_seconds: typeof target === "string" ? undefined : target.maxDuration,
    retry: options.retry,
    metadata: options.metadata,
    tags: options.tags,
    idempotency_key: idempotencyKey === undefined ? undefined : idempotencyKeyValue(idempotencyKey),
    idempotency_key_ttl: options.idempotencyKeyTTL,
  });
}
