/**
 * Framing of the guest protocol over a plain duplex byte stream (virtio-serial, vsock, or an in-memory pair in tests).
 *
 *   frame   = length kind body          length: u32, big-endian, of kind and body together
 *   kind 0  = UTF-8 JSON of one message (messages.ts)
 *   kind 1  = stream bytes: u32 stream id, u64 offset of the first byte, then the bytes
 *
 * Both sides treat the other as hostile: a frame longer than the limit, an unknown kind or a short body ends the connection with a
 * `FrameError`; there is no resynchronisation. The decoder holds at most one frame.
 */
export const frameBytesMax = 1_100_000;
/** The most stream bytes one frame may carry. */
export const frameDataBytesMax = 1_048_576;

const kindMessage = 0;
const kindBytes = 1;
const bytesHeader = 12;

export type Frame = { kind: "message"; message: unknown } | { kind: "bytes"; stream: number; offset: number; data: Uint8Array };

export class FrameError extends Error {
  override name = "FrameError";
}

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

export function encodeMessage(message: unknown): Uint8Array {
  const body = utf8.encode(JSON.stringify(message));
  if (body.length + 1 > frameBytesMax) {
    throw new FrameError(`Cannot send a message of ${body.length} bytes: the limit is ${frameBytesMax - 1}`);
  }
  const frame = new Uint8Array(5 + body.length);
  new DataView(frame.buffer).setUint32(0, body.length + 1);
  frame[4] = kindMessage;
  frame.set(body, 5);
  return frame;
}

export function encodeBytes(stream: number, offset: number, data: Uint8Array): Uint8Array {
  if (data.length > frameDataBytesMax) {
    throw new FrameError(`Cannot send ${data.length} stream bytes in one frame: the limit is ${frameDataBytesMax}`);
  }
  const frame = new Uint8Array(5 + bytesHeader + data.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, 1 + bytesHeader + data.length);
  frame[4] = kindBytes;
  view.setUint32(5, stream);
  view.setBigUint64(9, BigInt(offset));
  frame.set(data, 5 + bytesHeader);
  return frame;
}

/** Feed it what arrives; it gives back whole frames. Throws `FrameError` on anything malformed; then the connection is dead. */
export class FrameDecoder {
  private parts: Uint8Array[] = [];
  private buffered = 0;

  push(chunk: Uint8Array): Frame[] {
    this.parts.push(chunk);
    this.buffered += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      if (this.buffered < 4) return frames;
      const length = this.peekLength();
      if (length < 1 || length > frameBytesMax) throw new FrameError(`Frame length ${length} is outside 1..${frameBytesMax}`);
      if (this.buffered < 4 + length) return frames;
      frames.push(parseBody(this.take(4 + length).subarray(4)));
    }
  }

  /** Bytes of an unfinished frame: not zero at the end of the stream means that it was cut. */
  get pending(): number {
    return this.buffered;
  }

  private peekLength(): number {
    let length = 0;
    let index = 0;
    let part = 0;
    for (let count = 0; count < 4; count += 1) {
      while (index >= (this.parts[part] as Uint8Array).length) {
        part += 1;
        index = 0;
      }
      length = length * 256 + ((this.parts[part] as Uint8Array)[index] as number);
      index += 1;
    }
    return length;
  }

  private take(count: number): Uint8Array {
    this.buffered -= count;
    const first = this.parts[0] as Uint8Array;
    if (first.length >= count) {
      if (first.length === count) this.parts.shift();
      else this.parts[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    const whole = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const part = this.parts[0] as Uint8Array;
      const wanted = Math.min(part.length, count - filled);
      whole.set(part.subarray(0, wanted), filled);
      filled += wanted;
      if (wanted === part.length) this.parts.shift();
      else this.parts[0] = part.subarray(wanted);
    }
    return whole;
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
    const offset = view.getBigUint64(5);
    if (offset > BigInt(Number.MAX_SAFE_INTEGER)) throw new FrameError(`Stream offset ${offset} is too large`);
    return { kind: "bytes", stream: view.getUint32(1), offset: Number(offset), data: body.subarray(1 + bytesHeader) };
  }
  throw new FrameError(`Frame kind ${kind} is unknown`);
}
