/**
 * Stop (http §11): the mount is asked to capture and to go. A mount that no worker has is over at once; the one of a run ends with its run. Repeating it
 * changes nothing; with a key, a repeat answers for the mount that was stopped, even when another one has come since.
 */
import { createHash } from "node:crypto";
import { workspaceIdempotencyTtl, type WorkspaceStopBody } from "@helmr/protocol/api";
import { parseDurationMs } from "@helmr/protocol/shared";
import { required } from "../assert.ts";
import type { Refusal } from "../outcome.ts";
import type { Tx } from "../store/db.ts";
import { mountGet, mountLive, mountPutStopKey, mountRequestStop, mountStopKey, type MountRow } from "../store/mount.ts";
import { workspaceLock } from "../store/workspace.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { noWorkspace } from "./delete-workspace.ts";

export async function stopWorkspace(
  context: EngineContext,
  { environmentId, id, body }: { environmentId: string; id: string; body: WorkspaceStopBody },
): Promise<{ mount: MountRow | undefined } | Refusal> {
  const keyHash = body.idempotency_key === undefined ? undefined : createHash("sha256").update(body.idempotency_key).digest();
  return context.db.tx(async (tx) => {
    const workspace = await workspaceLock(tx, environmentId, id);
    if (!workspace) return noWorkspace();
    const known = keyHash && (await mountStopKey(tx, id, keyHash));
    if (known && !known.expired) return { mount: known.mount_id === null ? undefined : await mountGet(tx, known.mount_id) };
    const stopped = await stopLockedMount(tx, context, id);
    if (keyHash) {
      const ttlMs = required(
        parseDurationMs(body.idempotency_key_ttl ?? workspaceIdempotencyTtl),
        "The schema refuses what is no duration",
      );
      await mountPutStopKey(tx, { workspaceId: id, keyHash, mountId: stopped?.id ?? null, ttlMs });
    }
    return { mount: stopped };
  });
}

/** The workspace is locked. */
export async function stopLockedMount(tx: Tx, context: EngineContext, workspaceId: string): Promise<MountRow | undefined> {
  const live = await mountLive(tx, workspaceId);
  if (!live) return undefined;
  const stopped = (await mountRequestStop(tx, live.id)) ?? live;
  tx.afterCommit(() => {
    if (stopped.worker_id !== null) context.hints.send(topic.worker(stopped.worker_id));
    context.hints.send(topic.mount(workspaceId));
    if (stopped.state === "unmounted") context.gates.release({ workspaceId });
  });
  return stopped;
}
