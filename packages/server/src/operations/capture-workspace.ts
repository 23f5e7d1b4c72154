/**
 * Makes a version of what is in a workspace now (engine §5). Without a live machine that is the head, and nothing is made. With one its worker is asked: it
 * stores the tree as of one instant while the machine goes on, and commits it (commit-capture.ts); asked again when nothing was written since, it answers
 * that. The id of the version is chosen here and kept with the key of the request, so that a repeat finds what was made, whoever lost which answer.
 */
import { createHash } from "node:crypto";
import { type VersionCaptureBody, workspaceIdempotencyTtl } from "@helmr/protocol/api";
import { canonicalJson, parseDurationMs } from "@helmr/protocol/shared";
import { type LiveCaptureResult, liveCaptureResult } from "@helmr/protocol/worker";
import { required } from "../assert.ts";
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import type { LiveOpened } from "../live-stream.ts";
import { newId } from "../new-id.ts";
import { isRefusal, refusal, type Refusal, refuse } from "../outcome.ts";
import type { Tx } from "../store/db.ts";
import { captureKey, capturePutKey } from "../store/mount-capture.ts";
import { mountLive, mountNoteIdle } from "../store/mount.ts";
import { type VersionRow, workspaceGet, workspaceLock, type WorkspaceRow, workspaceVersion } from "../store/workspace.ts";
import { noWorkspace } from "./delete-workspace.ts";

export interface CapturedVersion {
  version: VersionRow;
  unchanged: boolean;
  pauseMs?: number;
  storedBytes?: number;
}

interface Wanted {
  environmentId: string;
  id: string;
  body: VersionCaptureBody;
  key: { keyHash: Buffer; fingerprint: Buffer; ttlMs: number } | undefined;
}

type Plan = { kind: "done"; captured: CapturedVersion } | { kind: "ask"; versionId: string; workerId: string; leaseId: string };

export async function captureWorkspace(
  context: EngineContext,
  { environmentId, id }: { environmentId: string; id: string },
  body: VersionCaptureBody,
): Promise<CapturedVersion | Refusal> {
  const wanted = { environmentId, id, body, key: keyOf(body) };
  const plan = await context.db.tx((tx) => planCapture(tx, wanted));
  if (isRefusal(plan)) return plan;
  if (plan.kind === "done") return plan.captured;
  await mountNoteIdle(context.db, id, context.mounts.idleMs);
  const answer = await ask(context, plan, body.message ?? null);
  return isRefusal(answer) ? answer : conclude(context, wanted, answer);
}

function keyOf({ idempotency_key, idempotency_key_ttl, expected_version_id, message }: VersionCaptureBody): Wanted["key"] {
  if (idempotency_key === undefined) return undefined;
  const ttl = idempotency_key_ttl ?? workspaceIdempotencyTtl;
  return {
    keyHash: createHash("sha256").update(idempotency_key).digest(),
    fingerprint: createHash("sha256").update(canonicalJson({ expected_version_id, message })).digest(),
    ttlMs: required(parseDurationMs(ttl), "The schema refuses what is no duration"),
  };
}

async function planCapture(tx: Tx, wanted: Wanted): Promise<Plan | Refusal> {
  const { environmentId, id, body, key } = wanted;
  const workspace = await workspaceLock(tx, environmentId, id);
  if (!workspace) return noWorkspace();
  const known = key && (await captureKey(tx, id, key.keyHash));
  const repeated = known && !known.expired ? known : undefined;
  if (key && repeated && !repeated.fingerprint.equals(key.fingerprint)) return refuse("idempotency_fingerprint_mismatch");
  const made = repeated && (await workspaceVersion(tx, id, repeated.version_id));
  if (repeated && made) return { kind: "done", captured: { version: made, unchanged: repeated.is_unchanged } };
  const head = workspace.current_version_id;
  if (workspace.state !== "active" || head === null) return refuse("workspace_not_active", `the workspace is ${workspace.state}`);
  if (body.expected_version_id !== undefined && body.expected_version_id !== head)
    return refuse("workspace_head_moved", `the workspace's current version is ${head}, not ${body.expected_version_id}`);
  const mount = await mountLive(tx, id);
  if (!mount || mount.state === "requested" || mount.state === "mounting") return unchanged(tx, wanted, { ...workspace, head });
  if (mount.state === "unmounting") return ending();
  if (mount.base_version_id !== head) return moved(head);
  const versionId = repeated?.version_id ?? newId();
  if (key) await capturePutKey(tx, { workspaceId: id, ...key, versionId, isUnchanged: false });
  return {
    kind: "ask",
    versionId,
    workerId: required(mount.worker_id, "A mounted workspace has a worker"),
    leaseId: required(mount.lease_id, "A mounted workspace has a lease"),
  };
}

async function unchanged(
  tx: Tx,
  { id, key }: Pick<Wanted, "id" | "key">,
  { head }: WorkspaceRow & { head: string },
): Promise<{ kind: "done"; captured: CapturedVersion }> {
  if (key) await capturePutKey(tx, { workspaceId: id, ...key, versionId: head, isUnchanged: true });
  const version = required(await workspaceVersion(tx, id, head), "The head of a workspace exists");
  return { kind: "done", captured: { version, unchanged: true } };
}

async function ask(
  context: EngineContext,
  { versionId, workerId, leaseId }: Extract<Plan, { kind: "ask" }>,
  message: string | null,
): Promise<LiveCaptureResult | Refusal> {
  const link = context.live.link(workerId);
  if (!link) return refusal(503, "the worker of the mount has no channel to this server right now; ask again", "coordination_unavailable");
  const stream = link.open(leaseId, { kind: "capture", version_id: versionId, message });
  const timer = setTimeout(() => stream.cut("the capture takes longer than is waited for"), engineLimits.captureWaitMs);
  let opened: LiveOpened;
  try {
    opened = await stream.opened;
  } finally {
    clearTimeout(timer);
    stream.destroy();
  }
  if (!opened.ok) return captureRefusal(opened);
  const result = liveCaptureResult.safeParse(opened.result);
  return result.success ? result.data : refusal(502, "the worker's answer is not what its protocol says");
}

async function conclude(context: EngineContext, wanted: Wanted, answer: LiveCaptureResult): Promise<CapturedVersion | Refusal> {
  const { environmentId, id } = wanted;
  if (answer.state === "captured") {
    const version = required(await workspaceVersion(context.db, id, answer.version_id), "The worker has committed it");
    return { version, unchanged: false, pauseMs: answer.pause_ms, storedBytes: answer.stored_bytes };
  }
  return context.db.tx(async (tx) => {
    const workspace = await workspaceGet(tx, environmentId, id);
    const head = workspace?.current_version_id ?? null;
    if (!workspace || head === null) return noWorkspace();
    return (await unchanged(tx, wanted, { ...workspace, head })).captured;
  });
}

/** What the worker or the way to it says. */
function captureRefusal({ code, message }: { code: string; message: string }): Refusal {
  switch (code) {
    case "head_moved":
      return refuse("workspace_head_moved", message);
    case "ending":
    case "not_found":
      return ending();
    default:
      return refusal(
        503,
        `the workspace could not be captured: ${message}; what is in it is still there, ask again`,
        "coordination_unavailable",
      );
  }
}

const ending = (): Refusal =>
  refuse(
    "workspace_mount_active",
    "the workspace is being unmounted, which captures it: its current version has everything once that is over",
  );
const moved = (head: string): Refusal =>
  refuse(
    "workspace_head_moved",
    `the workspace's current version became ${head} while it was mounted: stop it, which keeps what is in it as a failed version that can be forked`,
  );
