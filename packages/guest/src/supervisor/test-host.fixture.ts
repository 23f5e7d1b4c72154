/** The host's side of the guest protocol for tests: validates everything the guest says, keeps byte streams, answers on demand. */
import { duplexPair, type Duplex } from "node:stream";
import {
  encodeBytes,
  encodeMessage,
  FrameDecoder,
  frameDataBytesMax,
  type GuestMessage,
  guestMessage,
  hostFrameBytesMax,
  type HostMessage,
  hostMessage,
} from "@helmr/protocol/guest";
import { expect } from "vitest";
import type { HostLink } from "./host-link.ts";
import { serveWire } from "./host-wire.ts";

type Type = GuestMessage["type"];
type Of<T extends Type> = Extract<GuestMessage, { type: T }>;
type Unnumbered<T> = T extends { id: number } ? Omit<T, "id"> : never;
export type HostRequest = Unnumbered<HostMessage>;

export class TestHost {
  readonly messages: GuestMessage[] = [];
  readonly streams = new Map<number, Buffer[]>();
  /** false: bytes are taken but not acknowledged. */
  acknowledging = true;
  private wire: Duplex | undefined;
  private readonly lengths = new Map<number, number>();
  private readonly ackedInput = new Map<number, number>();
  private readonly watchers = new Set<() => void>();
  private nextId = 1;

  connect(link: HostLink): void {
    const [ours, theirs] = duplexPair({ readableHighWaterMark: 16_384, writableHighWaterMark: 16_384 });
    this.wire = ours;
    const decoder = new FrameDecoder();
    ours.on("data", (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) {
        if (frame.kind === "message") this.take(guestMessage.parse(frame.message));
        else this.takeBytes(frame.stream, frame.offset, frame.data);
      }
      this.notify();
    });
    ours.on("error", () => {});
    serveWire(theirs, link);
  }

  /** As when the worker's process dies. */
  disconnect(): void {
    this.wire?.destroy();
    this.wire = undefined;
  }

  /** Stops and goes on reading the wire, as a slow host does. */
  pause(): void {
    this.wire?.pause();
  }

  resume(): void {
    this.wire?.resume();
  }

  send(message: HostMessage): void {
    hostMessage.parse(message);
    this.wire?.write(encodeMessage(message, hostFrameBytesMax));
  }

  async request(message: HostRequest): Promise<Of<"ok"> | Of<"error">> {
    const id = this.nextId;
    this.nextId += 1;
    this.send({ ...message, id });
    return this.found((seen) => (seen.type === "ok" || seen.type === "error") && seen.id === id, `answer to ${message.type}`) as Promise<
      Of<"ok"> | Of<"error">
    >;
  }

  async ok(message: HostRequest): Promise<unknown> {
    const answer = await this.request(message);
    if (answer.type === "error") expect.fail(`${message.type} was refused: ${answer.code}: ${answer.message}`);
    return answer.result;
  }

  async refusal(message: HostRequest): Promise<string> {
    const answer = await this.request(message);
    return answer.type === "error" ? answer.code : "ok";
  }

  /** In frames and within the window. */
  async sendBytes(stream: number, data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length;) {
      const room = 262_144 - (at - (this.ackedInput.get(stream) ?? 0));
      if (room <= 0) {
        const acked = this.ackedInput.get(stream) ?? 0;
        await this.until(() => (this.ackedInput.get(stream) ?? 0) > acked, `an acknowledgement of stream ${stream}`);
        continue;
      }
      const part = data.subarray(at, at + Math.min(room, 60_000, frameDataBytesMax));
      this.wire?.write(encodeBytes(stream, at, part));
      at += part.length;
    }
  }

  async sendStream(stream: number, data: Uint8Array): Promise<void> {
    await this.sendBytes(stream, data);
    this.send({ type: "stream.end", stream, length: data.length });
  }

  /** Writes anything at all. */
  raw(bytes: Uint8Array): void {
    this.wire?.write(bytes);
  }

  text(stream: number): string {
    return Buffer.concat(this.streams.get(stream) ?? []).toString("utf8");
  }

  length(stream: number): number {
    return this.lengths.get(stream) ?? 0;
  }

  message<T extends Type>(type: T, matches: (message: Of<T>) => boolean = () => true): Promise<Of<T>> {
    return this.found((seen) => seen.type === type && matches(seen as Of<T>), type) as Promise<Of<T>>;
  }

  count(type: Type): number {
    return this.messages.filter((message) => message.type === type).length;
  }

  async until(condition: () => boolean, what: string, limitMs = 15_000): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.watchers.delete(check);
        reject(new Error(`${what} did not come; last messages: ${JSON.stringify(this.messages.slice(-5)).slice(0, 2000)}`));
      }, limitMs);
      const check = () => {
        if (!condition()) return;
        clearTimeout(timer);
        this.watchers.delete(check);
        resolve();
      };
      this.watchers.add(check);
    });
  }

  private async found(matches: (message: GuestMessage) => boolean, what: string): Promise<GuestMessage> {
    await this.until(() => this.messages.some(matches), what);
    return this.messages.find(matches) as GuestMessage;
  }

  private take(message: GuestMessage): void {
    this.messages.push(message);
    if (message.type === "stream.ack") this.ackedInput.set(message.stream, message.offset);
  }

  private takeBytes(stream: number, offset: number, data: Uint8Array): void {
    const length = this.lengths.get(stream) ?? 0;
    expect(offset, `stream ${stream} has a gap`).toBeLessThanOrEqual(length);
    const fresh = data.subarray(length - offset);
    if (fresh.length > 0) {
      const kept = this.streams.get(stream) ?? [];
      kept.push(Buffer.from(fresh));
      this.streams.set(stream, kept);
      this.lengths.set(stream, length + fresh.length);
    }
    if (this.acknowledging) this.acknowledge(stream);
  }

  acknowledge(stream: number): void {
    this.send({ type: "stream.ack", stream, offset: this.lengths.get(stream) ?? 0 });
  }

  private notify(): void {
    for (const watcher of this.watchers) watcher();
  }
}
