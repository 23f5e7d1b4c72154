/**
 * A guest at the wire: speaks the real guest protocol over a duplex, without a machine. What its "program" does is a script of the test. It keeps
 * to the window rules of a real guest, so that back-pressure is real too.
 */
import type { Duplex } from "node:stream";
import {
  encodeBytes,
  encodeMessage,
  FrameDecoder,
  type GuestMessage,
  guestStreams,
  type HostMessage,
  hostFrameBytesMax,
  hostMessage,
  type ProgramAnswer,
  type ProgramCallBody,
  type RunEnded,
  type RunStartRequest,
  streamWindowBytes,
} from "@helmr/protocol/guest";

type StreamName = "stdout" | "stderr" | "logger" | "buildLog";
export type Script = (program: FakeProgram) => Promise<Partial<RunEnded> | void>;

export interface GuestBehaviour {
  script?: Script;
  /** Requests of these types are never answered. */
  silent?: HostMessage["type"][];
  /** The workspace had gone on by itself. */
  lateThaw?: boolean;
  /** Answer of `build.start`. */
  build?: (guest: FakeGuest, source: Buffer) => Promise<unknown>;
}

export interface FakeProgram {
  guest: FakeGuest;
  start: RunStartRequest;
  write: (stream: "stdout" | "stderr", text: string | Uint8Array) => Promise<void>;
  log: (message: string) => Promise<void>;
  call: (call: ProgramCallBody) => Promise<ProgramAnswer["outcome"]>;
  /** Resolves when the run is cancelled; the script decides what it does then. */
  cancelled: Promise<{ force: boolean }>;
}

export class FakeGuest {
  readonly received: HostMessage[] = [];
  private channel: Duplex;
  private readonly behaviour: GuestBehaviour;
  private readonly streams = new Map<StreamName, { offset: number; acked: number; kept: Buffer; ended: boolean; wake: () => void }>();
  /** The run in here, for a host process that takes over. */
  private attemptId: string | undefined;
  private ended: RunEnded | undefined;
  private readonly answers = new Map<number, (outcome: ProgramAnswer["outcome"]) => void>();
  private source: { stream: number; parts: Buffer[]; bytes: number; ended: (whole: Buffer) => void } | undefined;
  private cancel: (how: { force: boolean }) => void = () => {};
  private callCount = 0;
  private readonly openCalls = new Map<number, GuestMessage>();

  constructor(channel: Duplex, behaviour: GuestBehaviour) {
    this.channel = channel;
    this.behaviour = behaviour;
    this.listen(channel);
  }

  private listen(channel: Duplex): void {
    const decoder = new FrameDecoder(hostFrameBytesMax);
    channel.on("error", () => {});
    channel.on("data", (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) {
        if (frame.kind === "message") this.receive(hostMessage.parse(frame.message));
        else this.receiveBytes(frame.stream, frame.offset, frame.data);
      }
    });
  }

  /** The machine was restored elsewhere: nothing is said until the host attaches. */
  moveTo(channel: Duplex): void {
    this.channel = channel;
    this.listen(channel);
  }

  /** Another host process behind a channel of its own: it hears what is not acknowledged, and the end, again. */
  reconnect(channel: Duplex): void {
    this.channel = channel;
    this.listen(channel);
    const { attemptId } = this;
    const run =
      attemptId === undefined ? null : { attemptId, status: this.ended === undefined ? ("running" as const) : ("ended" as const) };
    const state = { attached: true, fenced: false, parked: false, run, building: false, processes: [] };
    this.send({ type: "hello", protocol: 1, supervisor: "fake", bootId: "boot", state });
    for (const [name, stream] of this.streams) {
      const missing = stream.kept.subarray(stream.acked);
      if (missing.length > 0) channel.write(encodeBytes(guestStreams[name], stream.acked, missing));
      if (stream.ended) this.send({ type: "stream.end", stream: guestStreams[name], length: stream.offset });
    }
    if (this.ended !== undefined) this.send(this.ended);
  }

  send(message: GuestMessage): void {
    if (!this.channel.destroyed) this.channel.write(encodeMessage(message));
  }

  /** Anything at all. */
  raw(bytes: Uint8Array): void {
    this.channel.write(bytes);
  }

  has(type: HostMessage["type"]): boolean {
    return this.received.some((message) => message.type === type);
  }

  async write(name: StreamName, data: Uint8Array): Promise<void> {
    const stream = this.stream(name);
    for (let at = 0; at < data.length;) {
      const room = streamWindowBytes - (stream.offset - stream.acked);
      if (room <= 0) {
        await new Promise<void>((resolve) => {
          stream.wake = resolve;
        });
        continue;
      }
      const part = data.subarray(at, at + Math.min(room, 65_536));
      if (!this.channel.destroyed) this.channel.write(encodeBytes(guestStreams[name], stream.offset, part));
      stream.kept = Buffer.concat([stream.kept, part]);
      stream.offset += part.length;
      at += part.length;
    }
  }

  acked(name: StreamName): number {
    return this.stream(name).acked;
  }

  private stream(name: StreamName) {
    const known = this.streams.get(name) ?? { offset: 0, acked: 0, kept: Buffer.alloc(0), ended: false, wake: () => {} };
    this.streams.set(name, known);
    return known;
  }

  private receive(message: HostMessage): void {
    this.received.push(message);
    if (this.behaviour.silent?.includes(message.type) === true) return;
    switch (message.type) {
      case "stream.ack":
        for (const [name, stream] of this.streams) {
          if (guestStreams[name] !== message.stream) continue;
          stream.acked = message.offset;
          stream.wake();
        }
        return;
      case "stream.end":
        if (this.source?.stream === message.stream) this.source.ended(Buffer.concat(this.source.parts));
        return;
      case "program.answer":
        this.answers.get(message.callId)?.(message.outcome);
        return;
      case "run.cancel":
        this.cancel({ force: message.force });
        this.send({ type: "ok", id: message.id });
        return;
      case "run.start":
        this.send({ type: "ok", id: message.id });
        void this.run(message);
        return;
      case "build.start":
        void this.build(message);
        return;
      case "attach":
        this.send({ type: "ok", id: message.id });
        if (message.resumed) this.repeatCalls();
        return;
      case "thaw":
        this.send({ type: "ok", id: message.id, result: { heldUs: 2_000, late: this.behaviour.lateThaw === true } });
        return;
      default:
        if ("id" in message) this.send({ type: "ok", id: message.id });
    }
  }

  private async run(start: RunStartRequest): Promise<void> {
    const attemptId = start.run.attemptId;
    this.attemptId = attemptId;
    this.ended = undefined;
    // Another run in the same machine begins its streams anew.
    for (const name of ["stdout", "stderr", "logger"] as const) this.streams.delete(name);
    this.send({ type: "run.started", attemptId, nodeVersion: "v24", spawnedMs: 0, bootedMs: 1, loadedMs: 2 });
    const began = performance.now();
    const cancelled = new Promise<{ force: boolean }>((resolve) => {
      this.cancel = resolve;
    });
    const program: FakeProgram = {
      guest: this,
      start,
      cancelled,
      write: (stream, text) => this.write(stream, typeof text === "string" ? Buffer.from(text) : text),
      log: (message) => this.write("logger", Buffer.from(`${JSON.stringify({ level: "info", message, at: new Date().toISOString() })}\n`)),
      call: (call) => this.call(attemptId, call),
    };
    const end = (await this.behaviour.script?.(program)) ?? {};
    const lengths = { stdout: this.stream("stdout").offset, stderr: this.stream("stderr").offset, logger: this.stream("logger").offset };
    for (const name of ["stdout", "stderr", "logger"] as const) {
      this.stream(name).ended = true;
      this.send({ type: "stream.end", stream: guestStreams[name], length: lengths[name] });
    }
    const activeMs = Math.round(performance.now() - began);
    this.ended = {
      type: "run.ended",
      attemptId,
      reason: "returned",
      exitCode: 0,
      signal: null,
      activeMs,
      streams: lengths,
      usage: {},
      ...end,
    };
    this.send(this.ended);
  }

  private call(attemptId: string, call: ProgramCallBody): Promise<ProgramAnswer["outcome"]> {
    this.callCount += 1;
    const callId = this.callCount;
    const message = { type: "program.call" as const, attemptId, callId, call };
    this.openCalls.set(callId, message);
    return new Promise((resolve) => {
      this.answers.set(callId, (outcome) => {
        this.openCalls.delete(callId);
        resolve(outcome);
      });
      this.send(message);
    });
  }

  private repeatCalls(): void {
    for (const message of this.openCalls.values()) this.send(message);
  }

  private async build(message: Extract<HostMessage, { type: "build.start" }>): Promise<void> {
    const source = await new Promise<Buffer>((resolve) => {
      this.source = { stream: message.sourceStream, parts: [], bytes: 0, ended: resolve };
    });
    const result = await this.behaviour.build?.(this, source);
    this.send({ type: "stream.end", stream: guestStreams.buildLog, length: this.stream("buildLog").offset });
    this.send({ type: "ok", id: message.id, result });
  }

  private receiveBytes(stream: number, offset: number, data: Uint8Array): void {
    if (this.source?.stream !== stream || offset !== this.source.bytes) return;
    this.source.parts.push(Buffer.from(data));
    this.source.bytes += data.length;
    this.send({ type: "stream.ack", stream, offset: this.source.bytes });
  }
}
