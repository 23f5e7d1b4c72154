/**
 * Parks a run at its wait (engine §4): in one transaction the workspace moves to its new version, the checkpoint is ready, the wait is parked, lease and mount
 * end. Any crash leaves the old cut (the run is held, and its holder goes on or loses its lease) or the new one. The condition is looked at once more
 * under the lock of the run: what came true meanwhile goes to the holder, which lets its machine go on.
 *
 * A repeat after a lost answer gets the same answer. Locks: session → workspace → run → wait.
 */
import type { NewArtifact, WaitOutcome, WorkspaceResult } from "@helmr/protocol/worker";
import { decideCommit } from "../domain/workspace.ts";
import type { EngineContext } from "../engine-context.ts";
import { invalid, type Refusal } from "../outcome.ts";
import { artifactInsert } from "../store/artifact.ts";
import { checkpointGet, checkpointPark } from "../store/checkpoint.ts";
import type { Tx } from "../store/db.ts";
import { execAnyLive } from "../store/exec.ts";
import { type EndingRun, leaseEndingRun } from "../store/lease.ts";
import { waitLock, waitOpenCount, waitPark, type WaitRow } from "../store/run-wait.ts";
import { workspaceAdvance, workspaceSetDirty } from "../store/workspace.ts";
import { isHeldRun, type RunCall, type Stale, stale } from "../worker-actor.ts";
import { checkArtifact } from "./check-artifact.ts";
import type { ReportGap } from "./end-build.ts";
import { announceRun } from "./finish-run.ts";
import { lookAtCondition, resolveLocked } from "./resolve-wait.ts";
import { readOutcome } from "./wait-outcome.ts";

export interface ParkRequest {
  waitId: string;
  checkpointId: string;
  activeMs: number;
  reportThrough: number;
  compatibility: Record<string, unknown>;
  requires: string;
  resumeState: Record<string, unknown>;
  artifacts: Record<"template" | "memory" | "device" | "scratch", NewArtifact>;
  workspace: WorkspaceResult;
  keyId: string;
  storedBytes: number;
  pauseMs: number;
}

export type Parked = { state: "parked" } | { state: "resolved"; outcome: WaitOutcome } | { state: "refused"; reason: string };

const refused = (reason: string): Parked => ({ state: "refused", reason });

export async function parkRun(context: EngineContext, call: RunCall, request: ParkRequest): Promise<Parked | Stale | ReportGap | Refusal> {
  return context.db.tx(async (tx) => {
    const { leaseId, runId, worker, fence } = call;
    const run = await leaseEndingRun(tx, { lease_id: leaseId, run_id: runId, worker_id: worker.workerId, fence });
    if (!run || run.lease_attempt_id !== call.attemptId) return stale;
    if (!isHeldRun(run, call)) return repeatedPark(tx, run, request);
    if (run.state !== "executing") return refused("the run is being cancelled");
    if (request.reportThrough > run.report_seq) return { gap: true, expected: run.report_seq + 1 };
    const wait = await waitLock(tx, request.waitId);
    if (!wait || wait.attempt_id !== call.attemptId || wait.kind === null) return invalid("the wait is not one of this attempt");
    const resolved = await lookAgain(tx, context, run, wait);
    if (resolved) return resolved;
    if (!wait.parkable || (await waitOpenCount(tx, runId)) > 1) return refused("the run waits for something that it reads live");
    if (run.in_mount_id !== null && (await execAnyLive(tx, run.workspace_id)))
      return refused("somebody works in the machine beside the run");
    const wrong = await storeCut(tx, run, call, request);
    if (wrong) return wrong;
    await waitPark(tx, wait.id);
    tx.afterCommit(() => {
      announceRun(context, run);
      context.gates.release({ lane: run.lane, workspaceId: run.workspace_id });
    });
    return { state: "parked" };
  });
}

/** Parked before under this lease: the answer that was lost. */
async function repeatedPark(tx: Tx, run: EndingRun, { checkpointId }: ParkRequest): Promise<Parked | Stale> {
  if (run.lease_state !== "released") return stale;
  const known = await checkpointGet(tx, checkpointId);
  return known?.run_id === run.id && known.attempt_id === run.lease_attempt_id ? { state: "parked" } : stale;
}

async function lookAgain(tx: Tx, context: EngineContext, run: EndingRun, wait: WaitRow): Promise<Parked | undefined> {
  if (wait.condition !== "open") return { state: "resolved", outcome: await readOutcome(tx, wait) };
  const decided = await lookAtCondition(tx, wait);
  if (decided.condition === "open") return undefined;
  await resolveLocked(tx, context, run, { wait, decided });
  const { condition, record } = decided;
  return { state: "resolved", outcome: await readOutcome(tx, { ...wait, condition, record_id: record?.id ?? null }) };
}

async function storeCut(tx: Tx, run: EndingRun, call: RunCall, request: ParkRequest): Promise<Refusal | Parked | undefined> {
  const { artifacts, workspace } = request;
  const decision = decideCommit(workspace, run.base_version_id, run.head_version_id);
  if (decision.kind === "lost") return invalid("a run is parked with its workspace");
  if (decision.kind === "set_aside") return refused("the head of the workspace was advanced by somebody else while this attempt ran");
  const stored = [...Object.values(artifacts), ...(workspace.status === "captured" ? [workspace.artifact] : [])];
  for (const artifact of stored) {
    const wrong = await checkArtifact(tx, run.org_id, artifact);
    if (wrong) return invalid(wrong);
  }
  for (const [kind, artifact] of Object.entries(artifacts))
    await artifactInsert(tx, run.org_id, kind === "template" ? "memory" : (kind as "memory" | "device" | "scratch"), artifact);
  if (workspace.status === "captured") {
    await artifactInsert(tx, run.org_id, "workspace", workspace.artifact);
    await workspaceAdvance(tx, {
      workspaceId: run.workspace_id,
      environmentId: run.environment_id,
      versionId: workspace.version_id,
      parentVersionId: run.base_version_id,
      artifactId: workspace.artifact.artifact_id,
      contentDigest: workspace.artifact.digest,
      sizeBytes: workspace.size_bytes,
      entryCount: workspace.entry_count,
      runId: run.id,
      attemptId: call.attemptId,
    });
  } else await workspaceSetDirty(tx, run.workspace_id, "clean");
  await saveCheckpoint(tx, run, call, request);
  return undefined;
}

async function saveCheckpoint(tx: Tx, run: EndingRun, call: RunCall, request: ParkRequest): Promise<void> {
  const { artifacts, workspace } = request;
  const row = {
    checkpoint_id: request.checkpointId,
    wait_id: request.waitId,
    lease_id: call.leaseId,
    worker_id: call.worker.workerId,
    compatibility: request.compatibility,
    requires: request.requires,
    resume_state: request.resumeState,
    template: artifacts.template.artifact_id,
    memory: artifacts.memory.artifact_id,
    device: artifacts.device.artifact_id,
    scratch: artifacts.scratch.artifact_id,
    workspace_version_id: workspace.status === "captured" ? workspace.version_id : run.base_version_id,
    key_id: request.keyId,
    stored_bytes: request.storedBytes,
    pause_ms: request.pauseMs,
    active_ms: run.active_ms + request.activeMs,
  };
  await checkpointPark(tx, run, row);
}
