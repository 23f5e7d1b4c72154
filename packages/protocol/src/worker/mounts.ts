/**
 * What the holder of a mount lease reports (a workspace that is mounted without a run).
 *
 *   ready   the machine runs and the workspace is mounted: execs that waited are given as `process` directives
 *   ended   the machine is gone and the tree is stored, in one transaction with the end of the lease
 */
import * as z from "zod";
import { fencedLease } from "./leases.ts";
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
