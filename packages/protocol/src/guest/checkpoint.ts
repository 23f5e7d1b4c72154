/**
 * Quiet file systems and parked machines.
 *
 *   capture   host → guest `sync {freeze}` → `ok` → the host copies the disk → `thaw` (only after `freeze: true`)
 *   park      1. host → guest `park.prepare` → `ok`: program and execs are frozen, file systems synced, everything sent and acknowledged;
 *                after this answer the guest sends nothing
 *             2. the host pauses, cuts the snapshot, stops the machine; or goes on with `park.abort` → `ok` (thawed)
 *             3. after a restore, anywhere: host → guest `attach {resumed: true}` → `ok` (thawed), then the guest repeats its open
 *                `program.call`s and unacknowledged bytes, and the host answers the wait with `program.answer`
 *
 * A cancel or a forced stop thaws by itself. `sync_failed` is retryable.
 */
import * as z from "zod";
import { requestId } from "./handshake.ts";

export const syncRequest = z.object({
  type: z.literal("sync"),
  id: requestId,
  freeze: z.boolean(),
});
export const thawRequest = z.object({ type: z.literal("thaw"), id: requestId });
export const parkPrepareRequest = z.object({ type: z.literal("park.prepare"), id: requestId });
export const parkAbortRequest = z.object({ type: z.literal("park.abort"), id: requestId });
