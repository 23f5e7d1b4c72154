/**
 * A live call into the machine of a workspace (live files, ports): through the worker that holds its mount. A call that writes starts a mount when there
 * is none and waits for it; one that reads is refused then. Nothing is stored but that something happened, so that the mount is not idle.
 */
import type { LiveFileOperation, LiveRequest } from "@helmr/protocol/worker";
import { engineLimits } from "../limits.ts";
import { invalid, isRefusal, refusal, type Refusal, refuse } from "../outcome.ts";
import type { LiveLink } from "../live.ts";
import type { LiveStream } from "../live-stream.ts";
import { type MountRow, mountLive, mountNoteIdle, mountTouch } from "../store/mount.ts";
import { workspaceGet } from "../store/workspace.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { noWorkspace } from "./delete-workspace.ts";
import { materializeWorkspace } from "./materialize-workspace.ts";

export interface LiveTarget {
  environmentId: string;
  workspaceId: string;
  /** Only this mount will do (http §12, workspace_mount_id). */
  mountId?: string | undefined;
  writes: boolean;
}

export type { LiveFileOperation, LiveStream };

/** The stream of a call; the caller looks at `opened`, which may come only after all its bytes were taken. */
export async function openLiveCall(context: EngineContext, target: LiveTarget, request: LiveRequest): Promise<LiveStream | Refusal> {
  const mounted = target.writes ? await mountedNow(context, target) : await mountedAlready(context, target);
  if (isRefusal(mounted)) return mounted;
  const { mount, link } = mounted;
  if (target.writes) await mountTouch(context.db, target.workspaceId);
  await mountNoteIdle(context.db, target.workspaceId, context.mounts.idleMs);
  return link.open(mount.lease_id, request);
}

/** What is open keeps its mount: called now and then while it is. */
export const keepMount = (context: EngineContext, workspaceId: string) => mountNoteIdle(context.db, workspaceId, context.mounts.idleMs);

interface Mounted {
  mount: MountRow & { lease_id: string };
  link: LiveLink;
}

async function mountedAlready(context: EngineContext, target: LiveTarget): Promise<Mounted | Refusal> {
  const found = await look(context, target);
  return found === "wait" ? refuse("workspace_not_mounted", "the workspace is not mounted yet") : found;
}

async function mountedNow(context: EngineContext, target: LiveTarget): Promise<Mounted | Refusal> {
  const until = performance.now() + engineLimits.mountWaitMs;
  for (;;) {
    const wake = waker(context, target.workspaceId);
    try {
      const found = await look(context, target);
      if (found !== "wait" && !(isRefusal(found) && found.code === "workspace_not_mounted")) return found;
      if (target.mountId !== undefined && isRefusal(found)) return found;
      const ensured = await materializeWorkspace(context, target.environmentId, target.workspaceId);
      if (isRefusal(ensured)) return ensured;
      const leftMs = until - performance.now();
      if (leftMs <= 0)
        return refusal(
          503,
          "the workspace could not be mounted in time: no worker has taken it, or it takes longer",
          "coordination_unavailable",
        );
      await wake.within(Math.min(leftMs, lookAnywayMs));
    } finally {
      wake.stop();
    }
  }
}

const lookAnywayMs = 1_000;

function waker(context: EngineContext, workspaceId: string): { within: (ms: number) => Promise<void>; stop: () => void } {
  let wake = () => {};
  let woken = false;
  const stop = context.hints.subscribe(topic.mount(workspaceId), () => {
    woken = true;
    wake();
  });
  return {
    stop,
    within: (ms) =>
      woken
        ? Promise.resolve()
        : new Promise((resolve) => {
            const timer = setTimeout(resolve, ms);
            wake = () => {
              clearTimeout(timer);
              resolve();
            };
          }),
  };
}

async function look(context: EngineContext, { environmentId, workspaceId, mountId }: LiveTarget): Promise<Mounted | "wait" | Refusal> {
  if (!(await workspaceGet(context.db, environmentId, workspaceId))) return noWorkspace();
  const mount = await mountLive(context.db, workspaceId);
  if (!mount || (mountId !== undefined && mount.id !== mountId)) return refuse("workspace_not_mounted");
  if (mount.state !== "mounted" || mount.lease_id === null || mount.worker_id === null) return "wait";
  const link = context.live.link(mount.worker_id);
  if (!link) return refusal(503, "the worker of the mount has no channel to this server right now", "coordination_unavailable");
  return { mount: { ...mount, lease_id: mount.lease_id }, link };
}

/** What the guest or the way to it says, in the API's words. */
export function liveRefusal({ code, message }: { code: string; message: string }): Refusal {
  switch (code) {
    case "not_found":
      return refuse("workspace_file_not_found", message);
    case "not_regular":
      return refuse("workspace_file_not_regular", message);
    case "not_directory":
      return refuse("workspace_file_not_directory", message);
    case "exists":
      return refusal(409, message);
    case "bad_path":
    case "bad_request":
      return invalid(message);
    case "permission_denied":
      return refusal(403, message);
    case "no_space":
      return refusal(507, message);
    case "port_refused":
      return refusal(502, message);
    case "limit":
      return refusal(429, message);
    default:
      return refusal(503, message, "coordination_unavailable");
  }
}
