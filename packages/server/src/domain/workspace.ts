/**
 * A workspace: a durable tree that outlives its runs, as a chain of immutable versions with one head, and at most one live mount (the machine
 * that may write).
 *
 * Workspace:  active ──delete──▶ deleting ──archived──▶ archived ──purge──▶ deleted;  active ──breakDown──▶ recovery_required
 * Mount:      requested ──claim──▶ mounting ──ready──▶ mounted ──stop──▶ unmounting ──done──▶ unmounted
 *             any of these ──lose──▶ lost   (its lease was lost)     ──fail──▶ failed
 *
 * Every attempt writes on a layer above the head and is committed by compare-and-swap: the new version's parent must be the head at that moment.
 * When it is not, or when the policy says so, the tree is kept aside as a failed version that can be looked at and forked; nothing is merged.
 * A dirty layer is never used again by somebody else.
 */
import type { Transitions } from "./transitions.ts";

export const workspaceStates = ["active", "deleting", "recovery_required", "archived", "deleted"] as const;
export type WorkspaceState = (typeof workspaceStates)[number];
export const mountStates = ["requested", "mounting", "mounted", "unmounting", "unmounted", "lost", "failed"] as const;
export type MountState = (typeof mountStates)[number];
export const liveMountStates = ["requested", "mounting", "mounted", "unmounting"] as const satisfies readonly MountState[];
export const versionStates = ["capturing", "artifact_verified", "ready", "failed", "deleted"] as const;

export const workspaceTransitions = {
  delete: { from: ["active", "recovery_required"], to: "deleting" },
  archive: { from: ["active", "deleting", "recovery_required"], to: "archived" },
  breakDown: { from: ["active"], to: "recovery_required" },
  purge: { from: ["archived"], to: "deleted" },
} as const satisfies Transitions<WorkspaceState>;

export const mountTransitions = {
  claim: { from: ["requested"], to: "mounting" },
  ready: { from: ["mounting"], to: "mounted" },
  stop: { from: ["mounting", "mounted"], to: "unmounting" },
  done: { from: ["requested", "mounting", "mounted", "unmounting"], to: "unmounted" },
  lose: { from: ["mounting", "mounted", "unmounting"], to: "lost" },
  fail: { from: ["requested", "mounting", "mounted", "unmounting"], to: "failed" },
} as const satisfies Transitions<MountState>;

export type CaptureResult = { status: "unchanged" } | { status: "captured" } | { status: "capture_failed" };

export type CommitDecision =
  /** The head moves to the new version. */
  | { kind: "advance" }
  /** Nothing was written. */
  | { kind: "keep" }
  /** Somebody advanced the head meanwhile: the tree is stored as a failed version. */
  | { kind: "set_aside" }
  /** The tree could not be read off the machine: what was written is gone. */
  | { kind: "lost" };

export function decideCommit(result: CaptureResult, base: string | null, head: string | null): CommitDecision {
  if (result.status === "unchanged") return { kind: "keep" };
  if (result.status === "capture_failed") return { kind: "lost" };
  return base === head ? { kind: "advance" } : { kind: "set_aside" };
}

/** The tree of a new workspace: no file, no artifact. */
export const emptyTreeDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
export const versionEncoding = "helmr.blocks.v1";
