/**
 * Quiet file systems and parked machines.
 *
 *   end       host → guest `sync {freeze}` → `ok` → the host stops the machine and stores the disk
 *   capture   host → guest `sync {freeze: true, holdMs}` → `ok`: the workspace stands still, processes that write to it wait → the host notes
 *             which blocks belong to the capture → `thaw` → `ok {heldUs, late}`; a late one is worth nothing
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
  /** Only the workspace stands still, and goes on by itself after so long. */
  holdMs: z.number().int().min(1).max(60_000).optional(),
});
export const thawRequest = z.object({ type: z.literal("thaw"), id: requestId });
/** Answer after a freeze with `holdMs`: how long the workspace stood still, and whether it had gone on by itself. */
export const thawResult = z.object({ heldUs: z.number().nonnegative(), late: z.boolean() });
export const parkPrepareRequest = z.object({ type: z.literal("park.prepare"), id: requestId });
export const parkAbortRequest = z.object({ type: z.literal("park.abort"), id: requestId });
