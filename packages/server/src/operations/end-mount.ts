/**
 * The life of a mount of its own, as its worker tells it: ready, then ended with the captured tree, in one transaction with the end of its lease; or lost
 * with its lease. A repeat after a lost answer gets the same answer. Locks: workspace → mount → exec.
 */
import type { MountEnd, WorkspaceResult } from "@helmr/protocol/worker";
import type { LeaseLoss } from "../domain/lease.ts";
import { storableText } from "../domain/storable.ts";
import { decideCommit } from "../domain/workspace.ts";
import { invalid, type Refusal } from "../outcome.ts";
import { artifactInsert } from "../store/artifact.ts";
import { json, type Tx } from "../store/db.ts";
import { execAnyWaiting, execBind, execEndOfMount } from "../store/exec.ts";
import { type HeldMount, mountEnd, mountHeld, mountNoteIdle, mountOfLease, mountSetReady } from "../store/mount.ts";
import { workspaceAdvance, workspaceLock, workspaceSetAside, workspaceSetDirty } from "../store/workspace.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { type FencedLease, type Stale, stale, type WorkerActor } from "../worker-actor.ts";
import { checkArtifact } from "./check-artifact.ts";
import { ensureMount } from "./ensure-mount.ts";

export interface MountCall extends FencedLease {
  worker: WorkerActor;
  mountId: string;
}

const heldParams = (call: MountCall) => ({
  lease_id: call.leaseId,
  mount_id: call.mountId,
  worker_id: call.worker.workerId,
  fence: call.fence,
});

/** The machine runs: what waited for it is bound and given to the worker. */
export async function readyMount(context: EngineContext, call: MountCall): Promise<{ state: "mounted" | "unmounting" } | Stale> {
  return context.db.tx(async (tx) => {
    const mount = await mountHeld(tx, heldParams(call));
    if (!mount || mount.lease_state !== "held" || !mount.in_time) return stale;
    if (mount.state === "unmounting") return { state: "unmounting" };
    await mountSetReady(tx, mount.id);
    await execBind(tx, mount.workspace_id, mount.id);
    await mountNoteIdle(tx, mount.workspace_id, context.mounts.idleMs);
    tx.afterCommit(() => {
      announceMount(context, { workspaceId: mount.workspace_id, workerId: call.worker.workerId });
      // A run that waits uses its machine, or has it make room.
      context.gates.release({ workspaceId: mount.workspace_id });
    });
    return { state: "mounted" };
  });
}

export interface MountEnding {
  end: MountEnd;
  workspace: WorkspaceResult;
}

export async function endMount(
  context: EngineContext,
  call: MountCall,
  ending: MountEnding,
): Promise<{ state: "unmounted" | "failed" } | Stale | Refusal> {
  const state = ending.end.status;
  return context.db.tx(async (tx) => {
    const mount = await mountHeld(tx, heldParams(call));
    if (!mount) return stale;
    // Committed before under this lease: the answer that was lost.
    if (mount.lease_state === "released" && (mount.state === "unmounted" || mount.state === "failed")) return { state: mount.state };
    if (mount.lease_state !== "held" || !mount.in_time) return stale;
    const refused = await commitTree(tx, mount, ending.workspace);
    if (refused) return refused;
    const unmounted = mount.stop_reason === null ? "the workspace was unmounted" : `the workspace was unmounted: ${mount.stop_reason}`;
    const message = ending.end.status === "failed" ? storableText(ending.end.message) : unmounted;
    const error = ending.end.status === "failed" ? json({ reason: storableText(ending.end.reason), message }) : null;
    await mountEnd(tx, mount, { state, leaseState: "released", error });
    const ended = await execEndOfMount(tx, mount.id, { state: state === "failed" ? "lost" : "terminated", message });
    await continueWorkspace(tx, context, mount);
    tx.afterCommit(() => {
      announceMount(context, { workspaceId: mount.workspace_id, workerId: undefined });
      for (const exec of ended) context.hints.send(topic.exec(exec.id));
    });
    return { state };
  });
}

/** Its deadline passed, its worker began a new epoch, its host was lost: what was written since the base version is gone. */
export async function loseMountLease(context: EngineContext, leaseId: string, loss: LeaseLoss): Promise<boolean> {
  return context.db.tx(async (tx) => {
    const mount = await mountOfLease(tx, leaseId);
    if (!mount || mount.lease_state !== "held" || (loss === "expired" && mount.in_time)) return false;
    await mountEnd(tx, mount, {
      state: "lost",
      leaseState: loss,
      error: json({ reason: `lease_${loss}`, message: "the worker's lease was lost" }),
    });
    await workspaceSetDirty(tx, mount.workspace_id, mount.state === "mounting" ? "clean" : "dirty_state_lost");
    const ended = await execEndOfMount(tx, mount.id, { state: "lost", message: "the machine of the workspace was lost" });
    await continueWorkspace(tx, context, mount);
    tx.afterCommit(() => {
      announceMount(context, { workspaceId: mount.workspace_id, workerId: mount.worker_id });
      for (const exec of ended) context.hints.send(topic.exec(exec.id));
    });
    return true;
  });
}

/** The workspace is free again: for what waits for a machine, or for a run that waits for the workspace. */
async function continueWorkspace(tx: Tx, context: EngineContext, mount: HeldMount): Promise<void> {
  if (await execAnyWaiting(tx, mount.workspace_id)) {
    const workspace = await workspaceLock(tx, mount.environment_id, mount.workspace_id);
    if (workspace) await ensureMount(tx, context, workspace);
  }
  tx.afterCommit(() => context.gates.release({ workspaceId: mount.workspace_id }));
}

/** Never merges: the head moves only from where the tree began. */
async function commitTree(
  tx: Tx,
  mount: HeldMount & { head_version_id: string | null },
  result: WorkspaceResult,
): Promise<undefined | Refusal> {
  const decision = decideCommit(result, mount.base_version_id, mount.head_version_id);
  if (decision.kind === "keep" || decision.kind === "lost" || result.status !== "captured") {
    await workspaceSetDirty(tx, mount.workspace_id, decision.kind === "lost" ? "capture_failed" : "clean");
    return undefined;
  }
  const wrong = await checkArtifact(tx, mount.org_id, result.artifact);
  if (wrong) return invalid(wrong);
  const version = {
    workspaceId: mount.workspace_id,
    environmentId: mount.environment_id,
    versionId: result.version_id,
    parentVersionId: mount.base_version_id,
    artifactId: result.artifact.artifact_id,
    contentDigest: result.artifact.digest,
    sizeBytes: result.size_bytes,
    entryCount: result.entry_count,
    runId: null,
    attemptId: null,
  };
  await artifactInsert(tx, mount.org_id, "workspace", result.artifact);
  if (decision.kind === "advance") await workspaceAdvance(tx, version);
  else await workspaceSetAside(tx, version, "the head of the workspace was advanced by somebody else while it was mounted");
  return undefined;
}

function announceMount(context: EngineContext, { workspaceId, workerId }: { workspaceId: string; workerId: string | undefined }): void {
  context.hints.send(topic.mount(workspaceId));
  if (workerId !== undefined) context.hints.send(topic.worker(workerId));
}
