/**
 * The host's end of a guest's network channel, as small as a test needs it: it keeps what arrives, answers by script, and holds itself to the
 * protocol's windows so that a guest that breaks them is caught.
 */
import type { Duplex } from "node:stream";
import { networkFrameBytesMax, networkKinds, networkSyncBody, networkWindowBytes } from "@helmr/protocol/guest";

export interface Opened {
  id: number;
  address: string;
  port: number;
}

export class PeerConnection {
  readonly opened: Opened;
  private readonly peer: NetworkPeer;
  readonly received: Buffer[] = [];
  receivedBytes = 0;
  ended = false;
  reset = false;
  /** What we may still send. */
  window = networkWindowBytes;
  /** What the guest may still send. */
  granted = networkWindowBytes;
  /** Gives credit back as data arrives; otherwise `grant` does. */
  autoCredit = true;
  private queue: Buffer = Buffer.alloc(0);
  private endAfterQueue = false;

  constructor(peer: NetworkPeer, opened: Opened) {
    this.peer = peer;
    this.opened = opened;
  }

  accept(): void {
    this.peer.send(networkKinds.opened, this.opened.id);
  }

  refuse(reason: number): void {
    this.peer.send(networkKinds.refused, this.opened.id, Buffer.of(reason));
  }

  write(data: string | Uint8Array): void {
    this.queue = Buffer.concat([this.queue, Buffer.from(data as Uint8Array)]);
    this.flush();
  }

  end(): void {
    this.endAfterQueue = true;
    this.flush();
  }

  abort(): void {
    this.peer.send(networkKinds.reset, this.opened.id);
  }

  grant(bytes: number): void {
    this.granted += bytes;
    const body = Buffer.alloc(4);
    body.writeUInt32BE(bytes);
    this.peer.send(networkKinds.credit, this.opened.id, body);
  }

  get queuedBytes(): number {
    return this.queue.length;
  }

  get text(): string {
    return Buffer.concat(this.received).toString("latin1");
  }

  credit(bytes: number): void {
    this.window += bytes;
    this.flush();
  }

  data(bytes: Buffer): void {
    this.received.push(Buffer.from(bytes));
    this.receivedBytes += bytes.length;
    this.granted -= bytes.length;
    if (this.autoCredit) this.grant(bytes.length);
  }

  private flush(): void {
    while (this.queue.length > 0 && this.window > 0) {
      const part = this.queue.subarray(0, Math.min(this.window, 65_536));
      this.queue = this.queue.subarray(part.length);
      this.window -= part.length;
      this.peer.send(networkKinds.data, this.opened.id, part);
    }
    if (this.queue.length > 0 || !this.endAfterQueue) return;
    this.endAfterQueue = false;
    this.peer.send(networkKinds.end, this.opened.id);
  }
}

export class NetworkPeer {
  private readonly stream: Duplex;
  private pending: Buffer = Buffer.alloc(0);
  syncs = 0;
  readonly connections = new Map<number, PeerConnection>();
  readonly violations: string[] = [];
  onOpen: (connection: PeerConnection) => void = (connection) => connection.accept();
  onQuery: (id: number, message: Buffer) => void = () => {};

  constructor(stream: Duplex) {
    this.stream = stream;
    stream.on("data", (chunk: Buffer) => this.receive(chunk));
  }

  send(kind: number, connection: number, body: Uint8Array = Buffer.alloc(0)): void {
    const head = Buffer.alloc(9);
    head.writeUInt32BE(5 + body.length, 0);
    head[4] = kind;
    head.writeUInt32BE(connection, 5);
    this.stream.write(Buffer.concat([head, body]));
  }

  sendRaw(bytes: Uint8Array): void {
    this.stream.write(bytes);
  }

  private receive(chunk: Buffer): void {
    this.pending = Buffer.concat([this.pending, chunk]);
    if (this.syncs === 0) {
      const at = this.pending.indexOf(networkSyncBody);
      if (at < 0) return;
      this.pending = this.pending.subarray(at + networkSyncBody.length);
      this.syncs = 1;
    }
    while (this.pending.length >= 4) {
      const length = this.pending.readUInt32BE(0);
      if (length < 5 || length > networkFrameBytesMax) this.violations.push(`length ${length}`);
      if (this.pending.length < 4 + length) return;
      const frame = this.pending.subarray(4, 4 + length);
      this.pending = this.pending.subarray(4 + length);
      this.take(frame[0] as number, frame.readUInt32BE(1), frame.subarray(5));
    }
  }

  private take(kind: number, id: number, body: Buffer): void {
    const connection = this.connections.get(id);
    if (kind === networkKinds.sync) this.syncs += 1;
    else if (kind === networkKinds.open) this.open(id, body);
    else if (kind === networkKinds.query) this.onQuery(id, Buffer.from(body));
    else if (!connection) this.violations.push(`kind ${kind} for unknown connection ${id}`);
    else if (kind === networkKinds.data) {
      if (body.length > connection.granted) this.violations.push(`${body.length} bytes with a window of ${connection.granted}`);
      if (connection.ended) this.violations.push("DATA after END");
      connection.data(body);
    } else if (kind === networkKinds.credit) connection.credit(body.readUInt32BE(0));
    else if (kind === networkKinds.end) connection.ended = true;
    else if (kind === networkKinds.reset) connection.reset = true;
    else this.violations.push(`kind ${kind}`);
  }

  private open(id: number, body: Buffer): void {
    if (this.connections.has(id)) this.violations.push(`connection id ${id} twice`);
    const ipv4 = body[0] === 4;
    const address = ipv4 ? [...body.subarray(1, 5)].join(".") : (body.subarray(1, 17).toString("hex").match(/.{4}/g) ?? []).join(":");
    const connection = new PeerConnection(this, { id, address, port: body.readUInt16BE(ipv4 ? 5 : 17) });
    this.connections.set(id, connection);
    this.onOpen(connection);
  }
}
