/**
 * The supervisor's end of the pipe to the program (program/pipe.ts). The program is the tenant's: every frame is limited and checked, and the
 * first one that breaks a rule ends the program. Reading stands still while the host has not taken what the program said, so a task that
 * logs or calls without end costs no memory here.
 *
 * A call is kept until the host answers it, and said again after every hello; answers go to the program once. `metadata` and `wait.cancel`
 * are answered for the host's sake only: the program does not wait for them.
 */
import type { Readable, Writable } from "node:stream";
import {
  encodeMessage,
  FrameDecoder,
  FrameError,
  hostFrameBytesMax,
  openCallsMax,
  type ProgramAnswer,
  type ProgramCallBody,
} from "@helmr/protocol/guest";
import type { FromProgram, LogMessage, ProgramEnd, ToProgram } from "../program/pipe.ts";
import type { HostLink } from "./host-link.ts";
import type { OutgoingStream } from "./outgoing-stream.ts";
import { checkProgramMessage } from "./program-messages.ts";
import { Waiters } from "./waiters.ts";

export interface ProgramLinkOptions {
  link: HostLink;
  logger: OutgoingStream;
  attemptId: string;
  onStarted(facts: { node: string; bootMs: number; loadMs: number }): void;
  onEnded(end: ProgramEnd): void;
  /** The program broke the rules of the pipe. */
  onViolation(problem: string): void;
  onWaits(change: "opened" | "closed"): void;
}

export class ProgramLink {
  /** No more comes from the program. */
  readonly closed: Promise<void>;
  private readonly options: ProgramLinkOptions;
  private readonly input: Writable;
  private readonly output: Readable;
  private readonly decoder = new FrameDecoder();
  private readonly calls = new Map<number, ProgramCallBody>();
  private readonly room = new Waiters();
  private lastCallId = -1;
  private dead = false;

  constructor(input: Writable, output: Readable, options: ProgramLinkOptions) {
    this.options = options;
    this.input = input;
    this.output = output;
    output.on("data", (chunk: Buffer) => this.receive(chunk));
    this.closed = new Promise((resolve) => {
      output.on("error", () => output.destroy());
      output.on("close", () => resolve());
    });
  }

  send(message: ToProgram): void {
    if (!this.input.destroyed) this.input.write(encodeMessage(message, hostFrameBytesMax));
  }

  answer(answer: ProgramAnswer): void {
    const call = this.calls.get(answer.callId);
    if (call === undefined) return;
    this.calls.delete(answer.callId);
    if (call.kind === "wait") this.options.onWaits("closed");
    if (call.kind !== "metadata" && call.kind !== "wait.cancel")
      this.send({ type: "answer", callId: answer.callId, outcome: answer.outcome });
    this.room.release();
  }

  /** The host may not have heard of these. */
  repeatCalls(): void {
    for (const [callId, call] of this.calls) this.tell(callId, call);
  }

  /** The program is over: nothing waits any more. */
  close(): void {
    this.dead = true;
    this.calls.clear();
    this.output.destroy();
    this.input.destroy();
  }

  private receive(chunk: Buffer): void {
    if (this.dead) return;
    try {
      for (const frame of this.decoder.push(chunk)) {
        if (this.dead) return;
        if (frame.kind !== "message") return this.violated("stream bytes");
        const checked = checkProgramMessage(frame.message);
        if (!checked.ok) return this.violated(checked.problem);
        this.take(checked.message);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.violated(error.message);
    }
    this.holdWhileFull();
  }

  private take(message: FromProgram): void {
    switch (message.type) {
      case "started":
        return this.options.onStarted(message);
      case "ended":
        return this.options.onEnded(message.end);
      case "log":
        return this.log(message);
      case "call":
        if (message.callId <= this.lastCallId) return this.violated(`call ${message.callId} after call ${this.lastCallId}`);
        this.lastCallId = message.callId;
        this.calls.set(message.callId, message.call);
        if (message.call.kind === "wait") this.options.onWaits("opened");
        return this.tell(message.callId, message.call);
    }
  }

  private log(entry: LogMessage): void {
    const { level, message, fields, at } = entry;
    this.options.logger.write(Buffer.from(`${JSON.stringify({ level, message, ...(fields === undefined ? {} : { fields }), at })}\n`));
  }

  private tell(callId: number, call: ProgramCallBody): void {
    this.options.link.send({ type: "program.call", attemptId: this.options.attemptId, callId, call });
  }

  private holdWhileFull(): void {
    const { link, logger } = this.options;
    if (this.dead) return;
    const resume = () => {
      if (!this.dead && link.hasSpace && logger.hasRoom && this.calls.size < openCallsMax) this.output.resume();
      else this.holdWhileFull();
    };
    if (!logger.hasRoom) this.hold((callback) => logger.onRoom(callback), resume);
    else if (!link.hasSpace) this.hold((callback) => link.onSpace(callback), resume);
    else if (this.calls.size >= openCallsMax) this.hold((callback) => this.room.add(callback), resume);
  }

  private hold(wait: (callback: () => void) => void, resume: () => void): void {
    this.output.pause();
    wait(resume);
  }

  private violated(problem: string): void {
    this.dead = true;
    this.output.resume();
    this.options.onViolation(problem);
  }
}
