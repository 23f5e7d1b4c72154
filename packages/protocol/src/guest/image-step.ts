/**
 * One step of an image build (sdk §2.2), in a guest whose `workspace` disk is mounted at `/`: the image's disk itself is the root and is written
 * to. One step per machine:
 *
 *   1. host → guest `image.step`; for `copy` the bytes of `stream` follow (a file's content, or a tar of a directory), for
 *      `dependencies` the project's source
 *   2. guest → host bytes on stream buildLog (4): what a command says
 *   3. guest → host `ok` with an ImageStepResult. After `done` nothing of the machine is left on the disk, and it is trimmed and frozen:
 *      the host stops the machine and stores the disk.
 *
 * Caches are the disks of the slots extra0 to extra3, mounted by `attach`; the image that `copyFrom` reads is the disk of slot `task`.
 */
import * as z from "zod";
import { streamId } from "./byte-streams.ts";
import { milliseconds, requestId, text } from "./handshake.ts";

const path = text(4096);

export const imageStepRequest = z.object({
  type: z.literal("image.step"),
  id: requestId,
  step: z.discriminatedUnion("kind", [
    /** Working directory, user and environment are those of `attach`. */
    z.object({
      kind: z.literal("run"),
      argv: z.array(text(131_072)).min(1).max(4096),
      /** Files of root, mode 0400, that are on no disk. */
      secrets: z.array(z.object({ path, value: text(1_000_000) })).max(16),
    }),
    z.object({
      kind: z.literal("copy"),
      destination: path,
      stream: streamId,
      bytes: z.number().int().nonnegative(),
      /** Absent: a directory, as tar. */
      file: z.object({ name: text(255), mode: z.number().int().min(0).max(0o777) }).optional(),
    }),
    z.object({ kind: z.literal("copyFrom"), destination: path, source: path }),
    /** Production dependencies of the project (its source as tar) where tasks look for them, by the image's own Node and npm, unless they are there. */
    z.object({ kind: z.literal("dependencies"), stream: streamId, bytes: z.number().int().nonnegative() }),
    /** Looks for `node` on the PATH of the image; nothing is changed. */
    z.object({ kind: z.literal("check") }),
  ]),
  timeoutMs: milliseconds,
});
export type ImageStepRequest = z.output<typeof imageStepRequest>;

export const imageStepResult = z.discriminatedUnion("status", [
  /** `nodeVersion`: of the `node` on the image's PATH, when there is one that runs. `note`: what else is to be said of the step. */
  z.object({ status: z.literal("done"), nodeVersion: text(64).optional(), note: text(4096).optional() }),
  z.object({
    status: z.literal("failed"),
    reason: z.enum([
      "exited",
      "not_started",
      "timeout",
      "out_of_memory",
      "disk_full",
      "copy_failed",
      "dependencies_failed",
      "node_missing",
    ]),
    exitCode: z.number().int().nullable(),
    message: text(65_536),
  }),
]);
export type ImageStepResult = z.output<typeof imageStepResult>;
