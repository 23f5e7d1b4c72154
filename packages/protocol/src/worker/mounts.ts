/**
 * What the holder of a mount lease reports (a workspace that is mounted without a run).
 *
 *   ready     the machine runs and the workspace is mounted: execs that waited are given as `process` directives
 *   captured  the tree as of one instant is stored while the machine goes on (asked for by a live call, live.ts): it becomes the head, and the version that
 *             the mount's tree is compared with from now on. Also of a mount that came with a run. A repeat under the same version id and artifact gets
 *             the same answer; `taken`: that version was made of another artifact
 *   ended     the machine is gone and the tree is stored, in one transaction with the end of the lease
 */
import * as z from "zod";
import { fencedLease, newArtifact } from "./leases.ts";
import { workspaceResult } from "./runs.ts";

export const mountReadyRequest = fencedLease;
export const mountReadyResponse = z.object({ state: z.enum(["mounted", "unmounting"]) });

export const mountEndedRequest = fencedLease.extend({
  end: z.discriminatedUnion("status", [
    /** Asked for, or the worker stops. */
    z.object({ status: z.literal("unmounted") }),
    /** It could not be mounted, or the machine ended by itself. */
    z.object({ status: z.literal("failed"), reason: z.string().max(64), message: z.string().max(4096) }),
  ]),
  workspace: workspaceResult,
});
export type MountEnd = z.output<typeof mountEndedRequest>["end"];
export const mountEndedResponse = z.object({ state: z.enum(["unmounted", "failed"]) });

export const mountCapturedRequest = fencedLease.extend({
  version_id: z.uuid(),
  artifact: newArtifact,
  size_bytes: z.number().int().nonnegative(),
  entry_count: z.number().int().nonnegative(),
  message: z.string().max(1_000).nullable(),
});
export const mountCapturedResponse = z.object({ state: z.enum(["captured", "taken", "head_moved"]) });
