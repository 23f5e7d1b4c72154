/**
 * The guest's relay (guest/src/init/relay*.c) as a model, to be the other end of a channel in tests and measurements: the same frames, ids,
 * credit steps and endings. `raw` writes bytes that the real relay would never write.
 */
import { Duplex } from "node:stream";
import { networkDataBytesMax, networkKinds, networkRefusals, networkSyncBody, networkWindowBytes } from "@helmr/protocol/guest";
import { encodeCredit, encodeFrame } from "../channel-frames.ts";
import { addressBytes, parseAddress } from "../ip-address.ts";

const creditStepBytes = 65_536;
const slots = 1024;

export class RelayModel {
  readonly stream: Duplex;
  /** Resolves when the host has ended the channel. */
  readonly closed: Promise<void>;
  private readonly connections = new Map<number, ModelConnection>();
  private readonly queries = new Map<number, (answer: Buffer) => void>();
  private input: Buffer = Buffer.alloc(0);
  private generation = 0;
  private nextQuery = 0;

  constructor(stream: Duplex, options: { sync: boolean } = { sync: true }) {
    this.stream = stream;
    this.closed = new Promise((resolve) => {
      stream.once("close", () => resolve());
      stream.once("end", () => resolve());
    });
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => this.take(chunk));
    if (options.sync) this.sync();
  }

  /** As after an attach: everything of before is forgotten. */
  sync(): void {
    for (const connection of this.connections.values()) connection.lost();
    this.connections.clear();
    this.send(networkKinds.sync, 0, networkSyncBody);
  }

  raw(bytes: Uint8Array): void {
    this.stream.write(bytes);
  }

  send(kind: number, connection: number, body?: Uint8Array): void {
    this.stream.write(encodeFrame(kind, connection, body));
  }

  connect(address: string, port: number): ModelConnection {
    let slot = 0;
    const used = new Set([...this.connections.keys()].map((id) => id % slots));
    while (used.has(slot)) slot += 1;
    this.generation += 1;
    const connection = new ModelConnection(this, this.generation * slots + slot);
    this.connections.set(connection.id, connection);
    this.send(networkKinds.open, connection.id, openBody(address, port));
    return connection;
  }

  query(message: Uint8Array): Promise<Buffer> {
    const id = (this.nextQuery += 1);
    this.send(networkKinds.query, id, message);
    return new Promise((resolve) => this.queries.set(id, resolve));
  }

  get openConnections(): number {
    return this.connections.size;
  }

  forget(id: number): void {
    this.connections.delete(id);
  }

  private take(chunk: Buffer): void {
    this.input = this.input.length > 0 ? Buffer.concat([this.input, chunk]) : chunk;
    while (this.input.length >= 4) {
      const length = this.input.readUInt32BE(0);
      if (this.input.length < 4 + length) return;
      const frame = this.input.subarray(4, 4 + length);
      this.input = this.input.subarray(4 + length);
      this.deliver(frame.readUInt8(0), frame.readUInt32BE(1), frame.subarray(5));
    }
  }

  private deliver(kind: number, id: number, body: Buffer): void {
    if (kind === networkKinds.answer) {
      this.queries.get(id)?.(Buffer.from(body));
      this.queries.delete(id);
      return;
    }
    this.connections.get(id)?.frame(kind, body);
  }
}

export function openBody(address: string, port: number): Buffer {
  const bytes = addressBytes(parseAddress(address) as never);
  const tail = Buffer.alloc(2);
  tail.writeUInt16BE(port);
  return Buffer.concat([Buffer.of(bytes.length === 4 ? 4 : 6), bytes, tail]);
}

type Outcome = "opened" | "reset" | keyof typeof networkRefusals;

/** A process' connection, as a stream with half-close. Its reader's pace is what the host is given credit for. */
export class ModelConnection extends Duplex {
  readonly id: number;
  readonly outcome: Promise<Outcome>;
  /** How it ended: both sides said END, or a RESET came. */
  readonly gone: Promise<"ended" | "reset">;
  bytesReceived = 0;
  /** Greatest number of bytes the host had sent beyond what was read. */
  held = 0;
  private readonly relay: RelayModel;
  private decide!: (outcome: Outcome) => void;
  private leave!: (how: "ended" | "reset") => void;
  private credit = networkWindowBytes;
  private owed = 0;
  private waiting: { chunk: Buffer; done: () => void } | null = null;
  private hostEnded = false;
  private guestEnded = false;
  private unread: Buffer[] = [];
  private isOpen = false;
  private sendEnd: (() => void) | null = null;

  constructor(relay: RelayModel, id: number) {
    super({ allowHalfOpen: true, readableHighWaterMark: 65_536, writableHighWaterMark: 65_536, emitClose: true });
    this.relay = relay;
    this.id = id;
    this.outcome = new Promise((resolve) => (this.decide = resolve));
    this.gone = new Promise((resolve) => (this.leave = resolve));
    this.on("error", () => {});
  }

  reset(): void {
    this.relay.send(networkKinds.reset, this.id);
    this.lost();
  }

  /** Without another word to the host. */
  lost(): void {
    this.relay.forget(this.id);
    this.decide("reset");
    this.leave("reset");
    this.destroy();
  }

  frame(kind: number, body: Buffer): void {
    switch (kind) {
      case networkKinds.opened:
        this.decide("opened");
        this.isOpen = true;
        if (this.sendEnd) this.sendEnd();
        else this.flush();
        return;
      case networkKinds.refused:
        this.decide(
          (Object.keys(networkRefusals) as (keyof typeof networkRefusals)[]).find((name) => networkRefusals[name] === body[0]) ?? "reset",
        );
        this.lost();
        return;
      case networkKinds.reset:
        this.lost();
        return;
      case networkKinds.credit:
        this.credit += body.readUInt32BE(0);
        this.flush();
        return;
      case networkKinds.data:
        this.bytesReceived += body.length;
        this.unread.push(Buffer.from(body));
        this.held = Math.max(
          this.held,
          this.unread.reduce((sum, piece) => sum + piece.length, 0),
        );
        this.pass();
        return;
      case networkKinds.end:
        this.hostEnded = true;
        this.pass();
        this.leaveWhenEnded();
    }
  }

  override _read(): void {
    this.pass(true);
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.waiting = { chunk, done };
    this.flush();
  }

  override _final(done: () => void): void {
    this.sendEnd = () => {
      this.guestEnded = true;
      this.relay.send(networkKinds.end, this.id);
      this.leaveWhenEnded();
      done();
    };
    if (this.isOpen) this.sendEnd();
  }

  private wanted = false;
  private pass(wanted = this.wanted): void {
    this.wanted = wanted;
    while (this.wanted && this.unread.length > 0) {
      const piece = this.unread.shift() as Buffer;
      this.owed += piece.length;
      this.wanted = this.push(piece);
    }
    if (this.owed >= creditStepBytes && !this.hostEnded) {
      this.relay.stream.write(encodeCredit(this.id, this.owed));
      this.owed = 0;
    }
    if (this.hostEnded && this.unread.length === 0 && !this.readableEnded) this.push(null);
  }

  private flush(): void {
    if (!this.waiting || !this.isOpen) return;
    let { chunk } = this.waiting;
    while (chunk.length > 0 && this.credit > 0) {
      const length = Math.min(chunk.length, this.credit, networkDataBytesMax);
      this.credit -= length;
      this.relay.send(networkKinds.data, this.id, chunk.subarray(0, length));
      chunk = chunk.subarray(length);
    }
    const { done } = this.waiting;
    this.waiting = chunk.length > 0 ? { chunk, done } : null;
    if (chunk.length === 0) done();
  }

  private leaveWhenEnded(): void {
    if (!this.guestEnded || !this.hostEnded) return;
    this.relay.forget(this.id);
    this.leave("ended");
  }
}
