/**
 * The host's end of one guest's network channel: frames to connections, connections to frames.
 *
 *   seeking  nothing is written; bytes are dropped until SYNC
 *   open     → open again on every further SYNC, with no connection left of before
 *   ended    the stream ended or failed (`gone`), the guest broke a rule (`violation`), or the host is done (`closed`)
 *
 * Ending destroys the stream, resets every connection on the host's side, and happens once. A guest that broke a rule has no network any
 * more; its relay sees the stream close and resets its side, the machine goes on.
 *
 * Frames for connections that are not there are dropped, not refused: after a RESET from here, or between two ENDs that cross, they are on
 * their way already and nobody did anything wrong. They are never stored, and turns bound what they cost.
 *
 * Bounds: the guest is handled in turns of `framesPerTurn` frames, so that one that floods does not starve the others; far ends are read
 * while less than `outgoingRoomBytes` wait for the guest, the guest is read while less than `outgoingControlBytes` do; connections are at
 * most `networkConnectionsMax`.
 */
import type { Duplex } from "node:stream";
import { networkConnectionsMax, networkKinds } from "@helmr/protocol/guest";
import { ChannelViolation, encodeFrame, FrameReader } from "./channel-frames.ts";
import type { FrameSink } from "./channel-frames.ts";
import { GuestConnection } from "./guest-connection.ts";
import type { ConnectionHome, FarEnd } from "./guest-connection.ts";
import type { IpAddress } from "./ip-address.ts";
import { networkLimits } from "./limits.ts";

export type ChannelEnd = { reason: "gone"; detail: string } | { reason: "violation"; detail: string } | { reason: "closed" };

export interface ChannelEvents {
  open(connection: GuestConnection): void;
  /** The answer goes to `channel.answer` with the same id and epoch. */
  query(id: number, message: Buffer, epoch: number): void;
  ended(end: ChannelEnd): void;
}

export class GuestChannel {
  private readonly stream: Duplex;
  private readonly events: ChannelEvents;
  private readonly connections = new Map<number, GuestConnection>();
  private readonly reader: FrameReader;
  private readonly home: ConnectionHome;
  /** Grows with every SYNC; what was asked before it is not answered after it. 0 while seeking. */
  private epoch = 0;
  private ended = false;
  private corked = false;
  private full = false;
  private readingStopped = false;
  /** Where the pieces of the DATA frame go that is being read. */
  private receiver: GuestConnection | null = null;
  private readonly touched = new Set<FarEnd>();
  private rest: Buffer | null = null;
  private nextTurn: NodeJS.Immediate | null = null;

  constructor(stream: Duplex, events: ChannelEvents) {
    this.stream = stream;
    this.events = events;
    this.reader = new FrameReader(this.makeSink());
    this.home = this.makeHome();
    stream.on("data", this.onData);
    stream.on("drain", this.onDrain);
    stream.on("end", this.onEnd);
    stream.on("close", this.onClose);
    stream.on("error", this.onError);
  }

  get connectionCount(): number {
    return this.connections.size;
  }

  get isOpen(): boolean {
    return this.epoch > 0 && !this.ended;
  }

  answer(id: number, message: Uint8Array, epoch: number): void {
    if (epoch === this.epoch && !this.ended) this.write(encodeFrame(networkKinds.answer, id, message));
  }

  close(): void {
    this.finish({ reason: "closed" });
  }

  private readonly onData = (chunk: Buffer): void => {
    // A chunk that was on its way when reading stopped.
    const waits = this.rest !== null;
    this.rest = this.rest ? Buffer.concat([this.rest, chunk]) : chunk;
    if (!waits) this.takeTurn();
  };
  private readonly onDrain = (): void => this.updateRoom();
  private readonly onEnd = (): void => this.finish({ reason: "gone", detail: "The stream ended" });
  private readonly onClose = (): void => this.finish({ reason: "gone", detail: "The stream closed" });
  private readonly onError = (error: Error): void => this.finish({ reason: "gone", detail: error.message });

  private takeTurn(): void {
    this.nextTurn = null;
    const chunk = this.rest;
    this.rest = null;
    if (!chunk || this.ended) return;
    let taken = 0;
    try {
      taken = this.reader.push(chunk, networkLimits.framesPerTurn);
    } catch (error) {
      if (!(error instanceof ChannelViolation)) throw error;
      this.finish({ reason: "violation", detail: error.message });
    }
    for (const far of this.touched) far.settle();
    this.touched.clear();
    if (this.ended) return;
    if (taken < chunk.length) this.rest = chunk.subarray(taken);
    this.goOn();
  }

  /** The next turn, when something is left and the guest has taken enough of what it was sent. */
  private goOn(): void {
    const blocked = this.stream.writableLength >= networkLimits.outgoingControlBytes;
    if (this.rest && !this.nextTurn && !blocked) this.nextTurn = setImmediate(() => this.takeTurn());
    const stop = blocked || this.rest !== null;
    if (stop === this.readingStopped) return;
    this.readingStopped = stop;
    if (stop) this.stream.pause();
    else this.stream.resume();
  }

  private makeSink(): FrameSink {
    return {
      sync: () => this.restart(),
      open: (id, address, port) => this.openConnection(id, address, port),
      dataBegins: (id, bytes) => {
        this.receiver = this.connections.get(id) ?? null;
        this.receiver?.guestData(bytes);
      },
      data: (piece) => {
        const far = this.receiver?.guestPiece(piece);
        if (far) this.touched.add(far);
      },
      credit: (id, bytes) => this.connections.get(id)?.guestCredit(bytes),
      end: (id) => this.connections.get(id)?.guestEnd(),
      reset: (id) => this.connections.get(id)?.guestReset(),
      query: (id, message) => this.events.query(id, message, this.epoch),
    };
  }

  private makeHome(): ConnectionHome {
    return {
      hasRoom: () => !this.full,
      write: (frame, done) => this.write(frame, done),
      closed: (connection) => {
        this.connections.delete(connection.id);
      },
    };
  }

  private restart(): void {
    this.epoch += 1;
    this.resetConnections();
  }

  private openConnection(id: number, address: IpAddress, port: number): void {
    if (this.connections.has(id)) throw new ChannelViolation(`OPEN for connection ${id}, which is open`);
    if (this.connections.size >= networkConnectionsMax) throw new ChannelViolation(`OPEN beyond ${networkConnectionsMax} connections`);
    const connection = new GuestConnection(id, { address, port }, this.home);
    this.connections.set(id, connection);
    this.events.open(connection);
  }

  /** Frames of one callback leave together. */
  private write(frame: Buffer, done?: () => void): void {
    if (this.ended || this.epoch === 0) return;
    if (!this.corked) {
      this.corked = true;
      this.stream.cork();
      process.nextTick(() => {
        this.corked = false;
        this.stream.uncork();
        this.updateRoom();
      });
    }
    this.stream.write(frame, done);
    if (!this.full && this.stream.writableLength >= networkLimits.outgoingRoomBytes) this.updateRoom();
  }

  private updateRoom(): void {
    if (this.ended) return;
    // Full until half of it is gone, so that far ends are not switched with every frame.
    const bound = this.full ? networkLimits.outgoingRoomBytes / 2 : networkLimits.outgoingRoomBytes;
    const full = this.stream.writableLength >= bound;
    if (full !== this.full) {
      this.full = full;
      for (const connection of this.connections.values()) connection.updateReading();
    }
    this.goOn();
  }

  private resetConnections(): void {
    for (const connection of this.connections.values()) connection.guestReset();
    this.receiver = null;
  }

  private finish(end: ChannelEnd): void {
    if (this.ended) return;
    this.ended = true;
    if (this.nextTurn) clearImmediate(this.nextTurn);
    this.rest = null;
    this.resetConnections();
    this.stream.off("data", this.onData);
    this.stream.destroy();
    this.events.ended(end);
  }
}
