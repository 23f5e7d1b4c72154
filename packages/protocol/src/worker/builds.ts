/**
 * What the holder of a build lease reports: ordered events that become deployment events, then the result. The source archive is read
 * with `source`; artifacts go through the chunk store like every other one.
 */
import * as z from "zod";
import { buildFailure, projectIndex } from "../guest/build-result.ts";
import { fencedLease, newArtifact } from "./leases.ts";

const count = z.number().int().nonnegative();

export const buildEvent = z.object({
  kind: z.string().regex(/^deployment\.[a-z_.]{1,100}$/),
  severity: z.enum(["debug", "info", "warn", "error"]),
  message: z.string().max(65_536),
  attributes: z.record(z.string(), z.unknown()),
  age_ms: count,
});
export type BuildEvent = z.output<typeof buildEvent>;

export const buildReportRequest = fencedLease.extend({ first: z.number().int().positive(), events: z.array(buildEvent).min(1).max(1000) });
export const buildReportResponse = z.object({ accepted: count });

export const builtImage = z.object({
  image: z.string(),
  digest: z.string(),
  /** Of a step that was found or kept (image-steps.ts). */
  artifact_id: z.uuid(),
  config: z.object({ env: z.record(z.string(), z.string()), workdir: z.string(), user: z.string() }),
});

export const buildCompleteRequest = fencedLease.extend({
  report_through: count,
  result: z.discriminatedUnion("status", [
    z.object({ status: z.literal("built"), index: projectIndex, task_tree: newArtifact, images: z.array(builtImage).max(1000) }),
    z.object({ status: z.literal("failed"), failure: buildFailure }),
    /** The infrastructure failed, not the project: another attempt may help. */
    z.object({ status: z.literal("interrupted"), message: z.string().max(4096) }),
  ]),
});
export const buildCompleteResponse = z.object({
  state: z.enum(["deployed", "failed", "requeued"]),
  /** Machines that the deployment's runs will want: built images (by digest) and their shapes. A worker with room makes the templates ahead. */
  warm: z
    .array(z.object({ image: z.string(), milli_cpu: count, memory_mib: count }))
    .max(1000)
    .optional(),
});
