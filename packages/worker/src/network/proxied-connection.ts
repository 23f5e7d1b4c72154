/**
 * One allowed connection: a socket of this worker on one side, a guest's connection on the other.
 *
 *   connecting  until the socket is connected, fails, or its time is over; the guest hears OPENED or REFUSED
 *   open        bytes both ways; FIN is END, RST is RESET, each direction by itself
 *   flushing    both sides have ended on the channel, the last bytes are on their way out; bounded by `lingerMs`
 *   done        the socket is destroyed and counted out
 *
 * With `serverNames` the guest's first bytes are kept until the TLS server name in them is known to be allowed (server-name.ts).
 *
 * Memory: nothing read from the socket is kept (the channel takes a whole read or the socket is not read). What the socket does not take is
 * the guest's window at most, and is charged to the guest's budget. Small pieces behind others are copied together, because a piece keeps
 * the whole chunk alive that it came in.
 */
import { Socket } from "node:net";
import { assertNever } from "../assert.ts";
import type { FarEnd, GuestConnection, RefusalReason } from "./guest-connection.ts";
import { networkLimits } from "./limits.ts";
import { readServerName } from "./server-name.ts";

export interface ProxiedHome {
  /** The guest's budget for bytes that sockets have not taken, up or down. false: it is used up. */
  charge(bytes: number): boolean;
  /** Whether the server name of a TLS connection is allowed; null is a hello without a name. */
  allowsServerName(name: string | null): boolean;
  connected(): void;
  failed(): void;
  done(): void;
  bytes(direction: "in" | "out", count: number): void;
}

/** Every socket reads into the same place: what arrives is copied into a frame before the next read. */
const readBuffer = Buffer.allocUnsafeSlow(networkLimits.readBytes);
const tailBytes = networkLimits.copyBelowBytes;

export interface ProxyTarget {
  host: string;
  port: number;
  /** The guest's first bytes are looked at. */
  checksServerName: boolean;
}

export class ProxiedConnection implements FarEnd {
  private readonly socket: Socket;
  private readonly guest: GuestConnection;
  private readonly home: ProxiedHome;
  private readonly target: ProxyTarget;
  private phase: "connecting" | "open" | "flushing" | "done" = "connecting";
  private timer: NodeJS.Timeout | null = null;
  /** First bytes of the guest while the server name is not known. */
  private hello: Buffer[] | null;
  private helloBytes = 0;
  private guestEnded = false;
  /** Bytes of the guest, and those of them that were reported as taken. */
  private received = 0;
  private reported = 0;
  private charged = 0;
  private tail: Buffer | null = null;
  private tailLength = 0;
  private corked = false;

  constructor(guest: GuestConnection, target: ProxyTarget, home: ProxiedHome) {
    this.guest = guest;
    this.home = home;
    this.target = target;
    this.hello = target.checksServerName ? [] : null;
    this.socket = new Socket({
      allowHalfOpen: true,
      // @types/node has these for net.connect only.
      ...({ onread: { buffer: readBuffer, callback: (count: number) => this.onRead(count) } } as object),
    });
    this.socket.on("connect", () => this.onConnect());
    this.socket.on("end", () => this.onEnd());
    this.socket.on("error", (error: NodeJS.ErrnoException) => this.onError(error));
    this.socket.on("close", () => this.finish());
    this.socket.on("drain", () => this.settle());
    guest.attach(this);
  }

  connect(): void {
    const { host, port } = this.target;
    this.timer = setTimeout(() => this.refuse("timedOut"), networkLimits.connectTimeoutMs);
    this.socket.connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: networkLimits.keepAliveMs });
  }

  // The socket.

  private onConnect(): void {
    if (this.phase !== "connecting") return;
    this.clearTimer();
    this.phase = "open";
    this.home.connected();
    this.guest.opened();
  }

  private onRead(count: number): boolean {
    this.home.bytes("in", count);
    this.guest.send(readBuffer.subarray(0, count));
    return true;
  }

  private onEnd(): void {
    this.guest.end();
    this.flushWhenBothEnded();
  }

  private onError(error: NodeJS.ErrnoException): void {
    if (this.phase === "connecting") this.refuse(refusalOf(error));
    else this.guest.reset();
    // "close" follows.
  }

  private refuse(reason: RefusalReason): void {
    if (this.phase !== "connecting") return;
    this.home.failed();
    this.guest.refused(reason);
    this.abort();
  }

  // The guest.

  data(piece: Buffer): void {
    if (this.phase !== "open") return;
    this.received += piece.length;
    if (this.hello) this.checkHello(piece);
    else this.write(piece);
  }

  end(): void {
    this.guestEnded = true;
    if (this.phase !== "open") return;
    // A hello that ends before it is whole asks for nothing that could be allowed.
    if (this.hello && this.helloBytes > 0) this.drop();
    else this.endSocket();
  }

  reset(): void {
    this.abort();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** After a turn, and when the socket has taken everything: what is gone is the guest's to send again. */
  settle(): void {
    if (this.phase === "done") return;
    this.uncork();
    if (this.socket.writableLength === 0 && this.tailLength > 0) this.writeTail();
    const left = this.left;
    const gone = this.received - left - this.reported;
    this.reported += gone;
    if (!this.recount()) this.drop();
    this.guest.taken(gone);
  }

  /** Charges the guest's budget for what is left; false when it is used up. A backlog costs one chunk more: its first piece may keep one. */
  recount(): boolean {
    const left = this.left;
    const charge = left === 0 || this.phase === "done" ? 0 : left + networkLimits.readBytes;
    const change = charge - this.charged;
    this.charged = charge;
    return change === 0 || this.home.charge(change);
  }

  private get left(): number {
    return this.socket.writableLength + this.tailLength + this.helloBytes;
  }

  abort(): void {
    if (this.phase === "done") return;
    if (this.phase === "connecting") this.socket.destroy();
    else this.socket.resetAndDestroy();
    this.finish();
  }

  private checkHello(piece: Buffer): void {
    // The first piece is nearly always the whole of it.
    const bytes = this.hello?.length ? Buffer.concat([...this.hello, piece]) : piece;
    const found = readServerName(bytes);
    switch (found.status) {
      case "more":
        this.hello = [Buffer.from(bytes)];
        this.helloBytes = bytes.length;
        return;
      case "name":
      case "none":
        if (!this.home.allowsServerName(found.status === "name" ? found.name : null)) {
          this.drop();
          return;
        }
        break;
      case "not_tls":
        break;
      default:
        assertNever(found);
    }
    this.hello = null;
    this.helloBytes = 0;
    this.write(bytes);
  }

  private write(piece: Buffer): void {
    this.home.bytes("out", piece.length);
    if (!this.corked) {
      this.corked = true;
      this.socket.cork();
    }
    if (piece.length >= networkLimits.copyBelowBytes) {
      this.writeTail();
      this.socket.write(piece);
    } else if (this.socket.writableLength === 0 && this.tailLength === 0) this.socket.write(piece);
    else this.append(piece);
  }

  private append(piece: Buffer): void {
    let at = 0;
    while (at < piece.length) {
      this.tail ??= Buffer.allocUnsafeSlow(tailBytes);
      const taken = piece.copy(this.tail, this.tailLength, at);
      at += taken;
      this.tailLength += taken;
      if (this.tailLength === tailBytes) this.writeTail();
    }
  }

  private writeTail(): void {
    if (!this.tail || this.tailLength === 0) return;
    this.socket.write(this.tail.subarray(0, this.tailLength));
    this.tail = null;
    this.tailLength = 0;
  }

  private endSocket(): void {
    this.writeTail();
    this.uncork();
    this.socket.end();
    this.flushWhenBothEnded();
  }

  private uncork(): void {
    if (!this.corked) return;
    this.corked = false;
    this.socket.uncork();
  }

  private flushWhenBothEnded(): void {
    if (this.phase !== "open" || !this.guestEnded || !this.socket.readableEnded) return;
    this.phase = "flushing";
    this.timer = setTimeout(() => this.abort(), networkLimits.lingerMs);
  }

  /** Both sides hear a reset. */
  private drop(): void {
    this.guest.reset();
    this.abort();
  }

  private clearTimer(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
  }

  private finish(): void {
    if (this.phase === "done") return;
    this.phase = "done";
    this.clearTimer();
    this.hello = null;
    this.tail = null;
    this.tailLength = 0;
    this.helloBytes = 0;
    this.home.charge(-this.charged);
    this.charged = 0;
    // Nothing happens when both sides had ended.
    this.guest.reset();
    this.home.done();
  }
}

function refusalOf(error: NodeJS.ErrnoException): RefusalReason {
  if (error.code === "ECONNREFUSED" || error.code === "ECONNRESET") return "refused";
  return error.code === "ETIMEDOUT" ? "timedOut" : "unreachable";
}
