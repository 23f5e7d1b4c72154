/**
 * Framing of the guest protocol over a plain duplex byte stream (virtio-serial, vsock, a socket pair, or an in-memory pair in tests).
 *
 *   frame   = length kind body          length: u32, big-endian, of kind and body together
 *   kind 0  = UTF-8 JSON of one message (messages.ts)
 *   kind 1  = stream bytes: u32 stream id, u64 offset of the first byte, then the bytes
 *
 * A frame longer than the limit, an unknown kind or a short body ends the connection with a `FrameError`; there is no resynchronisation.
 * The limit belongs to the direction: what a guest sends is small (`frameBytesMax`), what the host sends may carry a payload or a record
 * of the public API (`hostFrameBytesMax`). The decoder holds at most one frame and allocates for a frame only once its header is complete
 * and within the limit; its work is linear in the bytes that arrive, however they are cut.
 *
 * A connection that the guest announces (boot, and whenever the host came back) begins with `channelPreamble`, once, before the first frame:
 * whoever takes over a running machine drops everything before it, so that the tail of a frame to its predecessor is never read as a frame.
 * A machine that was restored from a snapshot does not know that its host is another one and sends none: its streams stood still at a frame
 * boundary when the snapshot was made (`park.prepare`, or a template that has only said `hello`).
 */
export const frameBytesMax = 1_100_000;
/** Host → guest: an API body (128 MiB, http §1.1) with room for what surrounds it. */
export const hostFrameBytesMax = 140 * 1024 * 1024;
/** "HELMR-CTL" and seven bytes that no UTF-8 text contains. */
export const channelPreamble = Uint8Array.of(
  0x48,
  0x45,
  0x4c,
  0x4d,
  0x52,
  0x2d,
  0x43,
  0x54,
  0x4c,
  0xf1,
  0x0d,
  0x8a,
  0x5c,
  0x93,
  0xe7,
  0x27,
);
/** The most stream bytes one frame may carry. */
export const frameDataBytesMax = 1_048_576;

const kindMessage = 0;
const kindBytes = 1;
const bytesHeader = 12;
/** A body is collected in a buffer of its own; it grows by doubling from here, so that a header alone cannot make the reader allocate much. */
const firstBufferBytes = 65_536;

export type Frame = { kind: "message"; message: unknown } | { kind: "bytes"; stream: number; offset: number; data: Uint8Array };

export class FrameError extends Error {
  override name = "FrameError";
}

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

export function encodeMessage(message: unknown, bytesMax: number = frameBytesMax): Uint8Array {
  const body = utf8.encode(JSON.stringify(message));
  if (body.length + 1 > bytesMax) {
    throw new FrameError(`Cannot send a message of ${body.length} bytes: the limit is ${bytesMax - 1}`);
  }
  const frame = new Uint8Array(5 + body.length);
  new DataView(frame.buffer).setUint32(0, body.length + 1);
  frame[4] = kindMessage;
  frame.set(body, 5);
  return frame;
}

/** The first 17 bytes of a bytes frame; the data follow unchanged, so a sender may write both without copying. */
export function bytesFrameHeader(stream: number, offset: number, dataBytes: number): Uint8Array {
  if (dataBytes > frameDataBytesMax) {
    throw new FrameError(`Cannot send ${dataBytes} stream bytes in one frame: the limit is ${frameDataBytesMax}`);
  }
  const header = new Uint8Array(5 + bytesHeader);
  const view = new DataView(header.buffer);
  view.setUint32(0, 1 + bytesHeader + dataBytes);
  header[4] = kindBytes;
  view.setUint32(5, stream);
  // Two halves instead of a BigInt: this runs for every chunk of output.
  view.setUint32(9, Math.floor(offset / 0x1_0000_0000));
  view.setUint32(13, offset % 0x1_0000_0000);
  return header;
}

export function encodeBytes(stream: number, offset: number, data: Uint8Array): Uint8Array {
  const header = bytesFrameHeader(stream, offset, data.length);
  const frame = new Uint8Array(header.length + data.length);
  frame.set(header);
  frame.set(data, header.length);
  return frame;
}

/** Feed it what arrives; it gives back whole frames. Throws `FrameError` on anything malformed; then the connection is dead. */
export class FrameDecoder {
  private readonly bytesMax: number;
  private readonly header = new Uint8Array(4);
  private headerFilled = 0;
  /** Length of the frame being read; 0 while its header is incomplete. */
  private length = 0;
  private body = new Uint8Array(0);
  private bodyFilled = 0;
  private failed = false;

  constructor(bytesMax: number = frameBytesMax) {
    this.bytesMax = bytesMax;
  }

  /** `data` of a bytes frame may be a view into `chunk`. */
  push(chunk: Uint8Array): Frame[] {
    if (this.failed) throw new FrameError("The connection has already failed");
    try {
      return this.read(chunk);
    } catch (error) {
      this.failed = true;
      this.body = new Uint8Array(0);
      throw error;
    }
  }

  /** Bytes of an unfinished frame: not zero at the end of the stream means that it was cut. */
  get pending(): number {
    return this.headerFilled + this.bodyFilled;
  }

  private read(chunk: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.length === 0) {
        at = this.readHeader(chunk, at);
        if (this.length === 0) break;
      }
      if (this.bodyFilled === 0 && chunk.length - at >= this.length) {
        frames.push(parseBody(chunk.subarray(at, at + this.length)));
        at += this.length;
        this.next();
        continue;
      }
      const taken = Math.min(this.length - this.bodyFilled, chunk.length - at);
      this.collect(chunk.subarray(at, at + taken));
      at += taken;
      if (this.bodyFilled === this.length) {
        frames.push(parseBody(this.body.subarray(0, this.length)));
        this.next();
      }
    }
    return frames;
  }

  private readHeader(chunk: Uint8Array, start: number): number {
    let at = start;
    while (this.headerFilled < 4 && at < chunk.length) {
      this.header[this.headerFilled] = chunk[at] as number;
      this.headerFilled += 1;
      at += 1;
    }
    if (this.headerFilled === 4) {
      const length = new DataView(this.header.buffer).getUint32(0);
      if (length < 1 || length > this.bytesMax) throw new FrameError(`Frame length ${length} is outside 1..${this.bytesMax}`);
      this.length = length;
    }
    return at;
  }

  private collect(part: Uint8Array): void {
    const needed = this.bodyFilled + part.length;
    if (needed > this.body.length) {
      const grown = new Uint8Array(Math.min(this.length, Math.max(needed, this.body.length * 2, firstBufferBytes)));
      grown.set(this.body.subarray(0, this.bodyFilled));
      this.body = grown;
    }
    this.body.set(part, this.bodyFilled);
    this.bodyFilled = needed;
  }

  private next(): void {
    this.length = 0;
    this.headerFilled = 0;
    this.bodyFilled = 0;
    // The last frame may still be in use as a view, so its buffer is not used again.
    this.body = new Uint8Array(0);
  }
}

function parseBody(body: Uint8Array): Frame {
  const kind = body[0];
  if (kind === kindMessage) {
    try {
      return { kind: "message", message: JSON.parse(strictUtf8.decode(body.subarray(1))) };
    } catch (cause) {
      throw new FrameError("Frame holds no valid JSON", { cause });
    }
  }
  if (kind === kindBytes) {
    if (body.length < 1 + bytesHeader) throw new FrameError(`Bytes frame of ${body.length} bytes is shorter than its header`);
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    const offset = view.getUint32(5) * 0x1_0000_0000 + view.getUint32(9);
    const data = body.subarray(1 + bytesHeader);
    if (offset + data.length > Number.MAX_SAFE_INTEGER) throw new FrameError(`Stream offset ${offset} is too large`);
    if (data.length > frameDataBytesMax)
      throw new FrameError(`Bytes frame carries ${data.length} bytes: the limit is ${frameDataBytesMax}`);
    return { kind: "bytes", stream: view.getUint32(1), offset, data };
  }
  throw new FrameError(`Frame kind ${kind} is unknown`);
}
