/**
 * An exec or a terminal is created (http §13, §14): stored first, so that it is never lost, and given to the machine of the workspace's mount, which is
 * started when there is none. Several may run at once and beside a run. Locks: advisory (key) → workspace → mount → exec.
 */
import { createHash } from "node:crypto";
import type { ExecCreateBody, PtyCreateBody } from "@helmr/protocol/api";
import { canonicalJson } from "@helmr/protocol/shared";
import { required } from "../assert.ts";
import { type ProcessKind, streamNames } from "../domain/exec.ts";
import { newId } from "../new-id.ts";
import { isRefusal, type Refusal, refuse } from "../outcome.ts";
import { advisoryLock, lockName } from "../store/advisory-lock.ts";
import type { Tx } from "../store/db.ts";
import { deploymentSandboxPath } from "../store/deployment-sandbox.ts";
import { execBind, execGet, execInsert, execOfKey, type ExecRow } from "../store/exec.ts";
import { mountLive, mountNoteBusy, mountRunIsOpen, mountTouch } from "../store/mount.ts";
import { workspaceLock, type WorkspaceRow } from "../store/workspace.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { noWorkspace } from "./delete-workspace.ts";
import { ensureMount } from "./ensure-mount.ts";

export interface NewProcess {
  environmentId: string;
  workspaceId: string;
  kind: ProcessKind;
  command: string[];
  cwd: string | undefined;
  env: Record<string, string>;
  detached: boolean;
  size: { cols: number; rows: number } | undefined;
  timeoutSeconds: number | undefined;
  idempotencyKey: string | undefined;
}

export interface StartedExec {
  exec: ExecRow;
  cached: boolean;
}

/** The login shell of the image. */
const shell = ["sh", "-l"];

export const newExec = (environmentId: string, workspaceId: string, body: ExecCreateBody): NewProcess => ({
  environmentId,
  workspaceId,
  kind: "exec",
  command: body.command,
  cwd: body.cwd,
  env: body.env ?? {},
  detached: body.detached,
  size: undefined,
  timeoutSeconds: body.timeout_seconds,
  idempotencyKey: body.idempotency_key,
});

export const newPty = (environmentId: string, workspaceId: string, body: PtyCreateBody): NewProcess => ({
  environmentId,
  workspaceId,
  kind: "pty",
  command: shell,
  cwd: body.cwd,
  env: { TERM: "xterm-256color" },
  detached: false,
  size: { cols: body.cols, rows: body.rows },
  timeoutSeconds: undefined,
  idempotencyKey: body.idempotency_key,
});

export async function startExec(context: EngineContext, wanted: NewProcess): Promise<StartedExec | Refusal> {
  const { environmentId, workspaceId, kind, idempotencyKey } = wanted;
  const keyHash = idempotencyKey === undefined ? null : createHash("sha256").update(idempotencyKey).digest();
  const { command, cwd, env, detached, size, timeoutSeconds } = wanted;
  const fingerprint = createHash("sha256").update(canonicalJson({ command, cwd, env, detached, size, timeoutSeconds })).digest();
  return context.db.tx(async (tx) => {
    if (keyHash) await advisoryLock(tx, lockName.startKey(environmentId, `${kind} ${workspaceId}`, keyHash));
    const workspace = await workspaceLock(tx, environmentId, workspaceId);
    if (!workspace) return noWorkspace();
    const known = keyHash && (await execOfKey(tx, workspaceId, kind, keyHash));
    if (known) {
      if (!known.idempotency_fingerprint.equals(fingerprint)) return refuse("idempotency_fingerprint_mismatch");
      return { exec: await read(tx, wanted, known.id), cached: true };
    }
    if (workspace.state !== "active") return refuse("workspace_not_active", `the workspace is ${workspace.state}`);
    const id = newId();
    const names = streamNames[kind];
    await execInsert(tx, {
      id,
      environment_id: environmentId,
      workspace_id: workspaceId,
      kind,
      command,
      cwd: cwd ?? (await deploymentSandboxPath(tx, workspace.deployment_sandbox_id)),
      env,
      detached,
      cols: size?.cols ?? null,
      rows: size?.rows ?? null,
      state: kind === "pty" ? "creating" : "materializing",
      timeout_seconds: timeoutSeconds ?? null,
      idempotency_key_hash: keyHash,
      idempotency_fingerprint: keyHash && fingerprint,
      streams: [names.input, names.stdout, ...(names.stderr === undefined ? [] : [names.stderr])],
    });
    const refused = await giveMachine(tx, context, workspace);
    if (isRefusal(refused)) return refused;
    return { exec: await read(tx, wanted, id), cached: false };
  });
}

/** Bound at once when a machine is there; else whichever comes takes it. */
async function giveMachine(tx: Tx, context: EngineContext, workspace: WorkspaceRow): Promise<undefined | Refusal> {
  const live = await mountLive(tx, workspace.id);
  if (live?.state === "mounted") {
    await execBind(tx, workspace.id, live.id);
    const workerId = required(live.worker_id, "A mounted mount has its worker");
    tx.afterCommit(() => context.hints.send(topic.worker(workerId)));
  } else if (!live && !(await mountRunIsOpen(tx, workspace.id))) {
    const ensured = await ensureMount(tx, context, workspace);
    if (isRefusal(ensured)) return ensured;
  }
  await mountTouch(tx, workspace.id);
  await mountNoteBusy(tx, workspace.id);
  return undefined;
}

async function read(tx: Tx, { environmentId, workspaceId, kind }: NewProcess, id: string): Promise<ExecRow> {
  return required(await execGet(tx, { environmentId, workspaceId, kind, id }), "It was inserted a moment ago");
}
