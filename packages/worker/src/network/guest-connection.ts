/**
 * One connection of a guest, as the channel sees it.
 *
 *   opening  OPEN came; the host decides. `opened` or `refused` answers it
 *   open     bytes go both ways, each direction under the credit of its receiver, until both sides said END
 *   closed   both ENDs, REFUSED, or a RESET from either side; calls do nothing any more
 *
 * `far` is what the bytes are for: a socket to the destination, or the resolver. It is told what happens in the guest and calls back here.
 * It must not be given more than it asks for: it reads its own source only while `mayRead`.
 */
import { networkKinds, networkRefusals, networkWindowBytes } from "@helmr/protocol/guest";
import type { IpAddress } from "./ip-address.ts";
import { ChannelViolation, encodeCredit, encodeFrame } from "./channel-frames.ts";
import { encodeData } from "./data-frames.ts";
import { networkLimits } from "./limits.ts";

export interface FarEnd {
  /** Bytes of the guest. The piece is the far end's from now on. */
  data(piece: Buffer): void;
  /** No more bytes will come. */
  end(): void;
  /** The connection is gone on the guest's side. */
  reset(): void;
  /** `mayRead` has become true, or false. */
  resume(): void;
  pause(): void;
  /** A turn of the channel is over in which this far end was given something. */
  settle(): void;
}

/** What a connection needs of its channel. */
export interface ConnectionHome {
  hasRoom(): boolean;
  /** `done` is called when the stream needs the frame no more. */
  write(frame: Buffer, done?: () => void): void;
  closed(connection: GuestConnection): void;
}

export type RefusalReason = keyof typeof networkRefusals;

export class GuestConnection {
  readonly id: number;
  readonly address: IpAddress;
  readonly port: number;
  private readonly home: ConnectionHome;
  private phase: "opening" | "open" | "closed" = "opening";
  private far: FarEnd | null = null;
  private guestEnded = false;
  private hostEnded = false;
  /** Bytes that the guest still takes, and that it may still send. */
  private credit = networkWindowBytes;
  private window = networkWindowBytes;
  private owed = 0;
  private reading = false;

  constructor(id: number, destination: { address: IpAddress; port: number }, home: ConnectionHome) {
    this.id = id;
    this.address = destination.address;
    this.port = destination.port;
    this.home = home;
  }

  get isClosed(): boolean {
    return this.phase === "closed";
  }

  // What the host does.

  /** Who decides about this connection, and gets its bytes once it is open. */
  attach(far: FarEnd): void {
    if (this.phase === "opening") this.far = far;
  }

  opened(): void {
    if (this.phase !== "opening") return;
    this.phase = "open";
    this.reading = this.mayRead;
    this.home.write(encodeFrame(networkKinds.opened, this.id));
    if (!this.reading) this.far?.pause();
  }

  refused(reason: RefusalReason): void {
    if (this.phase !== "opening") return;
    this.close();
    this.home.write(encodeFrame(networkKinds.refused, this.id, Uint8Array.of(networkRefusals[reason])));
  }

  /** One read of the far end fits into the guest's window and the channel. */
  get mayRead(): boolean {
    return this.phase === "open" && !this.hostEnded && this.home.hasRoom() && this.credit >= networkLimits.readBytes;
  }

  /** Bytes that the guest takes now. */
  get sendable(): number {
    return this.phase === "open" && !this.hostEnded ? this.credit : 0;
  }

  /** Copies the bytes; at most `sendable` and at most one read. */
  send(bytes: Uint8Array): void {
    if (this.phase !== "open" || this.hostEnded || bytes.length === 0) return;
    this.credit -= bytes.length;
    const { frame, done } = encodeData(this.id, bytes);
    this.home.write(frame, done);
    this.updateReading();
  }

  end(): void {
    if (this.phase !== "open" || this.hostEnded) return;
    this.hostEnded = true;
    this.home.write(encodeFrame(networkKinds.end, this.id));
    this.closeWhenEnded();
  }

  reset(): void {
    if (this.phase === "closed") return;
    this.close();
    this.home.write(encodeFrame(networkKinds.reset, this.id));
  }

  /** So many bytes have left this process; the guest may send as many again. */
  taken(bytes: number): void {
    this.owed += bytes;
    if (this.phase !== "open" || this.guestEnded || this.owed < networkLimits.creditStepBytes) return;
    const owed = this.owed;
    this.owed = 0;
    this.window += owed;
    this.home.write(encodeCredit(this.id, owed));
  }

  // What the guest does. Frames that its side cannot have sent are violations.

  guestData(bytes: number): void {
    if (this.phase === "opening") throw new ChannelViolation(`DATA for connection ${this.id} before OPENED`);
    if (this.guestEnded) throw new ChannelViolation(`DATA for connection ${this.id} after END`);
    if (bytes > this.window) throw new ChannelViolation(`DATA of ${bytes} bytes for connection ${this.id}: its window has ${this.window}`);
    this.window -= bytes;
  }

  guestPiece(piece: Buffer): FarEnd | null {
    this.far?.data(piece);
    return this.far;
  }

  guestCredit(bytes: number): void {
    if (this.phase === "opening") throw new ChannelViolation(`CREDIT for connection ${this.id} before OPENED`);
    if (bytes === 0 || this.credit + bytes > networkWindowBytes)
      throw new ChannelViolation(
        `CREDIT of ${bytes} bytes for connection ${this.id}: ${networkWindowBytes - this.credit} were not taken yet`,
      );
    this.credit += bytes;
    this.updateReading();
  }

  guestEnd(): void {
    if (this.phase === "opening") throw new ChannelViolation(`END for connection ${this.id} before OPENED`);
    if (this.guestEnded) throw new ChannelViolation(`END for connection ${this.id} twice`);
    this.guestEnded = true;
    this.far?.end();
    this.closeWhenEnded();
  }

  /** Also when the whole channel is gone. */
  guestReset(): void {
    if (this.phase === "closed") return;
    const far = this.far;
    this.close();
    far?.reset();
  }

  /** The channel has room again, or has none. */
  updateReading(): void {
    const reading = this.mayRead;
    if (reading === this.reading) return;
    this.reading = reading;
    if (reading) this.far?.resume();
    else if (!this.hostEnded) this.far?.pause();
  }

  private closeWhenEnded(): void {
    if (this.guestEnded && this.hostEnded && this.phase === "open") this.close();
  }

  private close(): void {
    this.phase = "closed";
    this.far = null;
    this.home.closed(this);
  }
}
