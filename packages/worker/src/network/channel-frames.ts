/**
 * The guest's byte stream as frames (protocol/guest/network.ts), and frames as bytes.
 *
 *   seeking   everything is dropped until a whole SYNC frame
 *   header    nine bytes
 *   data      the body of DATA goes through as it comes, without a copy
 *   body      any other body, at most one DNS message, is collected
 *
 * What the frame's kind does not allow is refused at its header, before anything is collected. The sink's calls happen in the order of the
 * stream. A violation is thrown out of `push`, and the reader must not be used again.
 */
import { dnsMessageBytesMax, networkDataBytesMax, networkFrameBytesMax, networkKinds, networkSyncBody } from "@helmr/protocol/guest";
import { assertNever } from "../assert.ts";
import { addressFromBytes } from "./ip-address.ts";
import type { IpAddress } from "./ip-address.ts";

export class ChannelViolation extends Error {
  override name = "ChannelViolation";
}

export interface FrameSink {
  sync(): void;
  open(connection: number, address: IpAddress, port: number): void;
  /** A DATA frame of so many bytes begins; its pieces follow. */
  dataBegins(connection: number, bytes: number): void;
  data(piece: Buffer): void;
  credit(connection: number, bytes: number): void;
  end(connection: number): void;
  reset(connection: number): void;
  query(id: number, message: Buffer): void;
}

const headerBytes = 9;
export const frameHeaderBytes = headerBytes;
const countedHeaderBytes = 5;

/** Lengths of bodies that a guest may send. */
const bodyLengths: ReadonlyMap<number, (bytes: number) => boolean> = new Map([
  [networkKinds.open, (bytes: number) => bytes === 7 || bytes === 19],
  [networkKinds.data, (bytes: number) => bytes >= 1 && bytes <= networkDataBytesMax],
  [networkKinds.credit, (bytes: number) => bytes === 4],
  [networkKinds.end, (bytes: number) => bytes === 0],
  [networkKinds.reset, (bytes: number) => bytes === 0],
  [networkKinds.query, (bytes: number) => bytes <= dnsMessageBytesMax],
  [networkKinds.sync, (bytes: number) => bytes === networkSyncBody.length],
]);

/** The whole SYNC frame. */
export const syncFrame = encodeFrame(networkKinds.sync, 0, networkSyncBody);

type State =
  | { at: "seeking"; tail: Buffer }
  | { at: "header"; got: number }
  | { at: "data"; left: number }
  | { at: "body"; kind: number; connection: number; body: Buffer; got: number };

export class FrameReader {
  private state: State = { at: "seeking", tail: Buffer.alloc(0) };
  private readonly header = Buffer.alloc(headerBytes);
  private readonly sink: FrameSink;

  constructor(sink: FrameSink) {
    this.sink = sink;
  }

  /** Takes at most `framesMax` frames of the chunk and answers how many bytes that were. */
  push(chunk: Buffer, framesMax: number): number {
    let at = 0;
    let frames = 0;
    while (at < chunk.length && frames < framesMax) {
      const before = this.state.at;
      at += this.step(chunk, at);
      if (this.state.at === "header" && this.state.got === 0 && before !== "seeking") frames += 1;
    }
    return at;
  }

  private step(chunk: Buffer, at: number): number {
    const state = this.state;
    switch (state.at) {
      case "seeking":
        return this.seek(state.tail, chunk, at);
      case "header":
        return this.readHeader(state, chunk, at);
      case "data":
        return this.passData(state, chunk, at);
      case "body":
        return this.readBody(state, chunk, at);
      default:
        return assertNever(state);
    }
  }

  private seek(tail: Buffer, chunk: Buffer, at: number): number {
    const rest = chunk.subarray(at);
    const text = tail.length > 0 ? Buffer.concat([tail, rest]) : rest;
    const found = text.indexOf(syncFrame);
    if (found < 0) {
      // A copy, so that the chunk itself is not kept for its last bytes.
      this.state = { at: "seeking", tail: Buffer.from(text.subarray(Math.max(0, text.length - syncFrame.length + 1))) };
      return rest.length;
    }
    this.state = { at: "header", got: 0 };
    this.sink.sync();
    return found + syncFrame.length - tail.length;
  }

  private readHeader(state: { got: number }, chunk: Buffer, at: number): number {
    if (state.got === 0 && chunk.length - at >= headerBytes) {
      this.begin(chunk, at);
      return headerBytes;
    }
    const taken = chunk.copy(this.header, state.got, at, at + headerBytes - state.got);
    const got = state.got + taken;
    if (got < headerBytes) this.state = { at: "header", got };
    else this.begin(this.header, 0);
    return taken;
  }

  private begin(bytes: Buffer, at: number): void {
    const length = bytes.readUInt32BE(at);
    const kind = bytes.readUInt8(at + 4);
    const connection = bytes.readUInt32BE(at + 5);
    if (length < countedHeaderBytes || length > networkFrameBytesMax) throw new ChannelViolation(`Frame length is ${length}`);
    const body = length - countedHeaderBytes;
    const allowed = bodyLengths.get(kind);
    if (!allowed) throw new ChannelViolation(`Frame kind is ${kind}, which guests do not send`);
    if (!allowed(body)) throw new ChannelViolation(`Frame of kind ${kind} has a body of ${body} bytes`);
    if (kind === networkKinds.data) {
      this.state = { at: "data", left: body };
      this.sink.dataBegins(connection, body);
    } else if (body === 0) {
      this.state = { at: "header", got: 0 };
      this.deliver(kind, connection, emptyBody);
    } else this.state = { at: "body", kind, connection, body: Buffer.alloc(body), got: 0 };
  }

  private passData(state: { left: number }, chunk: Buffer, at: number): number {
    const piece = chunk.subarray(at, at + state.left);
    const left = state.left - piece.length;
    this.state = left === 0 ? { at: "header", got: 0 } : { at: "data", left };
    this.sink.data(piece);
    return piece.length;
  }

  private readBody(state: State & { at: "body" }, chunk: Buffer, at: number): number {
    const taken = chunk.copy(state.body, state.got, at, at + state.body.length - state.got);
    state.got += taken;
    if (state.got === state.body.length) {
      this.state = { at: "header", got: 0 };
      this.deliver(state.kind, state.connection, state.body);
    }
    return taken;
  }

  private deliver(kind: number, connection: number, body: Buffer): void {
    switch (kind) {
      case networkKinds.open:
        this.deliverOpen(connection, body);
        return;
      case networkKinds.credit:
        this.sink.credit(connection, body.readUInt32BE(0));
        return;
      case networkKinds.end:
        this.sink.end(connection);
        return;
      case networkKinds.reset:
        this.sink.reset(connection);
        return;
      case networkKinds.query:
        this.sink.query(connection, body);
        return;
      case networkKinds.sync:
        if (connection !== 0 || Buffer.compare(body, networkSyncBody) !== 0) throw new ChannelViolation("SYNC has other bytes");
        this.sink.sync();
        return;
      default:
        throw new ChannelViolation(`Frame kind is ${kind}`);
    }
  }

  private deliverOpen(connection: number, body: Buffer): void {
    const family = body.readUInt8(0);
    const addressBytes = body.length - 3;
    if (family !== (addressBytes === 4 ? 4 : 6)) throw new ChannelViolation(`OPEN of family ${family} has ${addressBytes} address bytes`);
    this.sink.open(connection, addressFromBytes(body.subarray(1, 1 + addressBytes)), body.readUInt16BE(1 + addressBytes));
  }
}

const emptyBody = Buffer.alloc(0);

export function encodeFrame(kind: number, connection: number, body: Uint8Array = emptyBody): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + body.length);
  writeFrameHeader(frame, { kind, connection, bodyBytes: body.length });
  frame.set(body, headerBytes);
  return frame;
}

export function writeFrameHeader(frame: Buffer, header: { kind: number; connection: number; bodyBytes: number }): void {
  frame.writeUInt32BE(countedHeaderBytes + header.bodyBytes, 0);
  frame.writeUInt8(header.kind, 4);
  frame.writeUInt32BE(header.connection, 5);
}

export function encodeCredit(connection: number, bytes: number): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + 4);
  writeFrameHeader(frame, { kind: networkKinds.credit, connection, bodyBytes: 4 });
  frame.writeUInt32BE(bytes, headerBytes);
  return frame;
}
