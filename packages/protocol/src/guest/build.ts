/**
 * Compile and index a project (sdk §5) in a guest whose `workspace` disk is mounted at /opt/helmr-task.
 *
 *   1. host → guest `build.start`, then the source archive as bytes on `sourceStream`, then `stream.end`
 *   2. guest → host `build.phase` and bytes on stream buildLog (4)
 *   3. guest → host `ok` with a BuildResult (build-result.ts), a failed build included. The tree is complete, synced, trimmed and
 *      unmounted: the host stores the disk of slot `workspace` as the deployment's task disk.
 */
import * as z from "zod";
import { streamId } from "./byte-streams.ts";
import { milliseconds, requestId, text } from "./handshake.ts";

export const buildStartRequest = z.object({
  type: z.literal("build.start"),
  id: requestId,
  sourceStream: streamId,
  sourceBytes: z.number().int().nonnegative(),
  /** Install production dependencies when the project has any and the image does not (sdk §8.1). */
  installDependencies: z.boolean(),
  /** Nothing but the dependencies: the tree holds node_modules and is the ground of later builds with the same lock file. */
  only: z.literal("dependencies").optional(),
  timeoutMs: milliseconds,
});
export type BuildStartRequest = z.output<typeof buildStartRequest>;

export const buildPhase = z.object({
  type: z.literal("build.phase"),
  phase: z.enum(["unpacking", "configuring", "installing", "compiling", "indexing", "finishing"]),
  message: text(4096),
});
export type BuildPhase = z.output<typeof buildPhase>["phase"];
