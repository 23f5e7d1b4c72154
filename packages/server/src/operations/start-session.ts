/**
 * Starts a session with its first run (http §4.3), step 2 of the data flow. In order of evaluation:
 *
 *   1. the idempotency key: an identical start in flight elsewhere is `pending`; a known key gives the session it made
 *   2. the external id: an open session with the same fingerprint is used again
 *   3. the task must be in the current deployment, its queue declared, its secrets available, a given workspace compatible
 *   4. session, run, workspace (with its empty version), event and queue entry are made in one statement
 *
 * Locks: advisory (key, then external id) → given workspace. A limited lane is opened after the commit (open-gates.ts).
 */
import { createHash, randomBytes } from "node:crypto";
import { type SessionStartBody, startIdempotencyTtl } from "@helmr/protocol/api";
import { apiVersion, canonicalJson, parseDurationMs } from "@helmr/protocol/shared";
import { required } from "../assert.ts";
import { entryGate, laneOf } from "../domain/queue.ts";
import { mustExpire } from "../domain/session.ts";
import { emptyTreeDigest } from "../domain/workspace.ts";
import { engineLimits } from "../limits.ts";
import { newId } from "../new-id.ts";
import { invalid, isRefusal, notFound, type Refusal, refuse } from "../outcome.ts";
import { advisoryLock, advisoryLockTry, lockName } from "../store/advisory-lock.ts";
import type { Tx } from "../store/db.ts";
import { json } from "../store/db.ts";
import { eventParams } from "../store/run-event.ts";
import { runGet, type RunRow } from "../store/run.ts";
import {
  type GivenWorkspace,
  type StartContext,
  sessionStartContext,
  sessionStartInsert,
  sessionStartWorkspace,
} from "../store/session-start.ts";
import { sessionFacts, sessionGet, type SessionRow, sessionStartKeyGet, sessionStartKeyPut } from "../store/session.ts";
import { findUnavailableSecrets, unavailableSecretText } from "./deliver-secrets.ts";
import type { EngineContext } from "../engine-context.ts";
import { expireSession } from "./expire-session.ts";

export interface StartScope {
  orgId: string;
  projectId: string;
  environmentId: string;
}

export interface StartSession {
  scope: StartScope;
  body: SessionStartBody;
  sdkVersion?: string | undefined;
  cliVersion?: string | undefined;
  /** Why there is a run: shown in run.created. Absent: a start through the API. */
  origin?: { reason: string; cause: Record<string, unknown> };
}

export interface Started {
  session: SessionRow;
  run: RunRow;
  /** What the session was found by; absent: it is new. */
  cached?: "key" | "external_id";
}

export async function startSession(context: EngineContext, input: StartSession): Promise<Started | Refusal> {
  const { body, scope } = input;
  const fingerprint = startFingerprint(body);
  const keyHash = body.idempotency_key === undefined ? undefined : createHash("sha256").update(body.idempotency_key).digest();
  const found = await context.db.tx(async (tx): Promise<Made | Reused | Refusal> => {
    if (keyHash && !(await advisoryLockTry(tx, lockName.startKey(scope.environmentId, body.task_id, keyHash)))) return pending();
    if (body.external_id !== undefined) await advisoryLock(tx, lockName.externalId(scope.environmentId, body.external_id));
    const reused = await findExisting(tx, { input, fingerprint, keyHash });
    if (reused) return reused;
    return makeSession(tx, context, { input, fingerprint, keyHash });
  });
  if (isRefusal(found)) return found;
  if ("reused" in found) return readExisting(context, scope, found, keyHash === undefined ? undefined : { body, fingerprint, keyHash });
  return found;
}

/** The answer while the same key is being served elsewhere (http §4.3 step 5). */
function pending(): Refusal {
  return { ...refuse("idempotency_pending", "session_start_pending"), retryAfterSeconds: 1 };
}

/** What makes two starts the same: metadata and tags do not. */
export function startFingerprint(body: SessionStartBody): Buffer {
  const identity = {
    task: body.task_id,
    payload: body.payload,
    external_id: body.external_id,
    expires_at: body.expires_at,
    queue: body.queue?.name,
    concurrency_key: body.concurrency_key,
    priority: body.priority ?? 0,
    ttl: body.ttl,
    max_duration_seconds: body.max_duration_seconds,
    workspace_id: body.workspace_id,
    retry: body.retry,
  };
  return createHash("sha256").update(canonicalJson(identity)).digest();
}

interface Identified {
  input: StartSession;
  fingerprint: Buffer;
  keyHash: Buffer | undefined;
}

interface Reused {
  reused: "key" | "external_id";
  sessionId: string;
  /** The key's own first run; absent: the session's current run. */
  runId?: string;
}

async function findExisting(tx: Tx, { input: { scope, body }, fingerprint, keyHash }: Identified): Promise<Reused | Refusal | undefined> {
  if (keyHash) {
    const known = await sessionStartKeyGet(tx, { environment_id: scope.environmentId, task_id: body.task_id, key_hash: keyHash });
    if (known) {
      if (body.external_id !== undefined && body.external_id !== known.external_id) return refuse("idempotency_external_id_mismatch");
      if (!known.fingerprint.equals(fingerprint)) return refuse("idempotency_fingerprint_mismatch");
      return { reused: "key", sessionId: known.session_id, runId: known.run_id };
    }
  }
  if (body.external_id === undefined) return undefined;
  const session = await sessionGet(tx, scope.environmentId, { externalId: body.external_id });
  if (!session) return undefined;
  if (session.state !== "open" || mustExpire(sessionFacts(session))) return refuse("session_terminal");
  if (!session.fingerprint.equals(fingerprint)) return refuse("session_fingerprint_mismatch");
  if (session.current_run_id === null) return refuse("session_has_no_current_run");
  return { reused: "external_id", sessionId: session.id };
}

async function readExisting(
  context: EngineContext,
  scope: StartScope,
  found: Reused,
  key: { body: SessionStartBody; fingerprint: Buffer; keyHash: Buffer } | undefined,
): Promise<Started | Refusal> {
  const { db } = context;
  let session = required(await sessionGet(db, scope.environmentId, { id: found.sessionId }), "A start key names a session that exists");
  if (mustExpire(sessionFacts(session))) session = (await expireSession(context, scope.environmentId, { id: session.id })) ?? session;
  const runId = found.runId ?? session.current_run_id;
  const run = runId === null ? undefined : await runGet(db, scope.environmentId, runId);
  if (!run) return refuse("session_has_no_current_run");
  // A key that found its session by external id is that session's key from now on.
  if (key && found.reused === "external_id") await db.tx((tx) => keepKey(tx, { scope, ...key, sessionId: session.id, runId: run.id }));
  return { session, run, cached: found.reused };
}

function keepKey(
  tx: Tx,
  {
    scope,
    body,
    fingerprint,
    keyHash,
    sessionId,
    runId,
  }: { scope: StartScope; body: SessionStartBody; fingerprint: Buffer; keyHash: Buffer; sessionId: string; runId: string },
): Promise<number> {
  const ttl = required(parseDurationMs(body.idempotency_key_ttl ?? startIdempotencyTtl), "The schema refuses what is no duration");
  return sessionStartKeyPut(tx, {
    environment_id: scope.environmentId,
    task_id: body.task_id,
    key_hash: keyHash,
    fingerprint,
    session_id: sessionId,
    run_id: runId,
    ttl_ms: ttl,
  });
}

interface Made {
  session: SessionRow;
  run: RunRow;
}

type StartTarget = { [K in keyof StartContext]: NonNullable<StartContext[K]> } & {
  disk_mib: number | null;
  queue_limit: number | null;
  ttl: string | null;
};

/** The task and what it needs, or why it cannot be started. */
async function findTarget(tx: Tx, context: EngineContext, { scope, body }: StartSession): Promise<StartTarget | Refusal> {
  const target = await sessionStartContext(tx, {
    environment_id: scope.environmentId,
    task_id: body.task_id,
    queue_name: body.queue?.name ?? null,
  });
  if (!target) return notFound("environment not found");
  if (target.deployment_task_id === null)
    return refuse("task_not_deployed", `task "${body.task_id}" is not part of the current deployment`);
  if (!target.queue_declared) return invalid(`queue "${body.queue?.name ?? target.queue_name}" is not declared in the current deployment`);
  const names = (target.secrets ?? []).map((secret) => secret.name);
  const [missing] = await findUnavailableSecrets(tx, context.keys, scope.environmentId, names);
  if (missing) return invalid(unavailableSecretText(missing));
  return target as StartTarget;
}

function checkWorkspace(workspace: GivenWorkspace | undefined, target: StartTarget): Refusal | undefined {
  if (!workspace) return notFound("workspace not found");
  if (workspace.state !== "active") return refuse("workspace_not_active", `the workspace is ${workspace.state}`);
  if (workspace.sandbox_fingerprint !== target.sandbox_fingerprint) return refuse("workspace_sandbox_incompatible");
  const short =
    workspace.milli_cpu < target.milli_cpu ||
    workspace.memory_mib < target.memory_mib ||
    (workspace.disk_mib ?? engineLimits.workspaceMibDefault) < (target.disk_mib ?? 0);
  return short ? refuse("workspace_resource_floor_unsatisfied") : undefined;
}

async function makeSession(tx: Tx, context: EngineContext, identified: Identified): Promise<Made | Refusal> {
  const { input, fingerprint, keyHash } = identified;
  const { scope, body } = input;
  const target = await findTarget(tx, context, input);
  if (isRefusal(target)) return target;
  if (body.workspace_id !== undefined) {
    const unfit = checkWorkspace(await sessionStartWorkspace(tx, scope.environmentId, body.workspace_id), target);
    if (unfit) return unfit;
  }
  const { session, run, entry } = plan(input, target, fingerprint);
  const stored = required(await sessionStartInsert(tx, entry), "An insert returns its row");
  for (const row of [session, run]) row.created_at = row.updated_at = stored.created_at;
  session.past_expiry = stored.past_expiry;
  session.expires_at = stored.expires_at;
  if (keyHash) await keepKey(tx, { scope, body, fingerprint, keyHash, sessionId: session.id, runId: run.id });
  tx.afterCommit(() => {
    const { gate, lane, run_id: runId, environment_id: environmentId, worker_group: workerGroup, workspace_id: workspaceId } = entry;
    if (gate === "open") context.dispatch.ready([{ runId, environmentId, workerGroup }]);
    else context.gates.release(gate === "lane" ? { lane } : { workspaceId });
  });
  return { session, run };
}

/** The rows as they will be stored, and as they are shown without reading them again. */
function plan({ scope, body, origin, sdkVersion, cliVersion }: StartSession, target: StartTarget, fingerprint: Buffer) {
  const runId = newId();
  const sessionId = newId();
  const workspaceId = body.workspace_id ?? newId();
  const queue = body.queue?.name ?? target.queue_name;
  const concurrencyKey = body.concurrency_key ?? null;
  const ttlText = body.ttl ?? target.ttl;
  const maxDuration = body.max_duration_seconds ?? target.max_duration_seconds;
  const retry = body.retry ?? target.retry;
  const lane = target.queue_limit === null ? null : laneOf(scope.environmentId, queue, concurrencyKey);
  const gate = entryGate({ delayed: false, newWorkspace: body.workspace_id === undefined, limited: lane !== null });
  const traceId = randomBytes(16).toString("hex");
  const created = {
    kind: "run.created" as const,
    attributes: {
      reason: origin?.reason ?? "start",
      cause: origin?.cause ?? { kind: "session_start" },
      task_id: body.task_id,
      max_duration_seconds: maxDuration,
      metadata: body.metadata,
      retry_policy: retry,
      secret_names: target.secrets.map((secret) => secret.name),
      tags: body.tags,
    },
  };
  const ids = { org_id: scope.orgId, project_id: scope.projectId, environment_id: scope.environmentId };
  const entry = {
    ...eventParams({ id: runId, event_seq: 0, lease_id: null, attempt_id: null, attempt_number: null }, [created]),
    ...ids,
    session_id: sessionId,
    task_id: body.task_id,
    deployment_id: target.deployment_id,
    deployment_task_id: target.deployment_task_id,
    deployment_version: target.deployment_version,
    external_id: body.external_id ?? null,
    fingerprint,
    metadata: json(body.metadata),
    tags: body.tags,
    expires_at: body.expires_at ?? null,
    workspace_id: workspaceId,
    version_id: body.workspace_id === undefined ? newId() : null,
    sandbox_row_id: target.sandbox_row_id,
    sandbox_id: target.sandbox_id,
    sandbox_fingerprint: target.sandbox_fingerprint,
    empty_digest: emptyTreeDigest,
    payload: json(body.payload),
    queue_name: queue,
    concurrency_key: concurrencyKey,
    concurrency_limit: target.queue_limit,
    priority: body.priority ?? 0,
    ttl_ms: ttlText === null ? null : (parseDurationMs(ttlText) ?? null),
    ttl_text: ttlText,
    max_duration_seconds: maxDuration,
    retry: json(retry),
    secrets: json(target.secrets),
    api_version: apiVersion,
    sdk_version: sdkVersion ?? null,
    cli_version: cliVersion ?? null,
    trace_id: traceId,
    worker_group: target.worker_group,
    lane,
    gate,
    milli_cpu: target.milli_cpu,
    memory_mib: target.memory_mib,
    disk_mib: target.disk_mib ?? engineLimits.diskNeedMibDefault,
    image_ref: target.image_ref,
  };
  return { entry, ...newRows(ids, entry, body) };
}

type Ids = { org_id: string; project_id: string; environment_id: string };
type Entry = Parameters<typeof sessionStartInsert>[1];

function newRows(ids: Ids, entry: Entry, body: SessionStartBody): Made {
  const times = { created_at: "", updated_at: "" };
  const session: SessionRow = {
    ...ids,
    ...times,
    id: entry.session_id,
    task_id: entry.task_id,
    initial_deployment_id: entry.deployment_id,
    active_deployment_id: entry.deployment_id,
    external_id: entry.external_id,
    fingerprint: entry.fingerprint,
    state: "open",
    current_run_id: entry.run_id,
    workspace_id: entry.workspace_id,
    metadata: body.metadata,
    tags: entry.tags,
    result: null,
    terminal_reason: null,
    expires_at: entry.expires_at,
    expired_at: null,
    past_expiry: false,
    run_state: "queued",
    continuation_pending: false,
    wait_open: false,
  };
  const noWait = {
    wait_id: null,
    wait_kind: null,
    wait_suspension: null,
    wait_params: null,
    wait_metadata: null,
    wait_tags: null,
    wait_timeout_seconds: null,
    wait_created_at: null,
  };
  const run: RunRow = {
    ...ids,
    ...times,
    ...noWait,
    id: entry.run_id,
    session_id: entry.session_id,
    deployment_id: entry.deployment_id,
    deployment_task_id: entry.deployment_task_id,
    task_id: entry.task_id,
    workspace_id: entry.workspace_id,
    turn_index: 0,
    previous_run_id: null,
    state: "queued",
    outcome: null,
    attempt_number: null,
    api_version: entry.api_version,
    sdk_version: entry.sdk_version,
    cli_version: entry.cli_version,
    deployment_version: entry.deployment_version,
    trace_id: entry.trace_id,
    metadata: body.metadata,
    output: null,
    has_output: false,
    exit_code: null,
    finished_at: null,
  };
  return { session, run };
}
