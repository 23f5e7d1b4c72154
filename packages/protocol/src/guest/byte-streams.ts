/**
 * Byte streams of the guest protocol: run output, exec input and output, file contents, connections. Data travel in bytes frames
 * (frames.ts); these messages govern them. The same rules hold in both directions.
 *
 *   1. The sender numbers bytes from offset 0 and sends them in order; it keeps what is not acknowledged.
 *   2. The receiver sends `stream.ack` with the offset below which everything is safe with it (worker: in its spool). At most
 *      `streamWindowBytes` may be unacknowledged; beyond that the sender stops reading its source, which is the back-pressure.
 *   3. `stream.end` gives the final length; it may come before all bytes were acknowledged, never before they were sent.
 *   4. `stream.stop`: the receiver wants no more. The sender drops the rest and sends `stream.end` with the length so far.
 *   5. After a `hello` the guest sends everything unacknowledged again, ends included. A receiver drops what it has; a gap is fatal.
 */
import * as z from "zod";

export const streamId = z.number().int().min(1).max(0xffff_ffff);
const offset = z.number().int().nonnegative();

export const streamEnd = z.object({
  type: z.literal("stream.end"),
  stream: streamId,
  length: offset,
  /** The source failed: what came is not everything. */
  error: z.string().max(4096).optional(),
});
export type StreamEnd = z.output<typeof streamEnd>;
export const streamAck = z.object({ type: z.literal("stream.ack"), stream: streamId, offset });
export const streamStop = z.object({ type: z.literal("stream.stop"), stream: streamId });
