/**
 * The cache of image steps, shared by all workers through the chunk store, and what a build needs beside it.
 *
 *   image-steps/find   keys of steps → those that were built before, with their artifacts; and, for steps that were not, what stood at the same place of
 *                      the image the last time, so that the build can say what has changed
 *   image-steps/keep   a step that was just built: its artifact becomes true with this call
 *   secrets            values of secrets of the environment that steps mount and that registries ask for
 *
 * Keys are digests that the worker makes; what goes into them is docs/architecture/images.md.
 */
import * as z from "zod";
import { namePattern } from "../shared/names.ts";
import { artifactRef, fencedLease, newArtifact } from "./leases.ts";

const key = z.string().regex(/^sha256:[0-9a-f]{64}$/);
/** Image and position: `tools 3`. */
const place = z.string().min(1).max(300);
export const imageStepConfig = z.object({
  env: z.record(z.string(), z.string()),
  workdir: z.string().max(4096),
  user: z.string().max(256),
  /** Of an image that has one. */
  node: z.string().max(64).optional(),
});
export type ImageStepConfig = z.output<typeof imageStepConfig>;
/** What the key is made of, as digests and short texts, by name. */
const inputs = z.record(z.string().max(64), z.string().max(4096));

const step = z.object({ key, artifact: artifactRef, config: imageStepConfig });
export type StoredImageStep = z.output<typeof step>;

export const imageStepsFindRequest = fencedLease.extend({ steps: z.array(z.object({ key, place })).min(1).max(1000) });
export const imageStepsFindResponse = z.object({ found: z.array(step), previous: z.array(z.object({ place, inputs })) });

export const imageStepsKeepRequest = fencedLease.extend({ key, place, inputs, artifact: newArtifact, config: imageStepConfig });
/** The step under that key: another worker may have been faster, then its artifact counts. */
export const imageStepsKeepResponse = z.object({ step });

export const buildSecretsRequest = fencedLease.extend({ names: z.array(z.string().regex(namePattern.secret)).min(1).max(256) });
export const buildSecretsResponse = z.object({
  values: z.array(z.object({ name: z.string(), value: z.string() })),
  unavailable: z.array(z.object({ name: z.string(), message: z.string() })),
});
