/**
 * The program's end of the pipe to the supervisor. Writes are synchronous on purpose: what a task logged or asked for is on its way before
 * anything else can end the process, and a supervisor that falls behind slows the task instead of filling its memory. The first message
 * is read synchronously too; only then, while the task runs already, the loop's own reading begins.
 */
import { readSync, writeSync } from "node:fs";
import type { Socket } from "node:net";
import { encodeMessage, FrameDecoder, hostFrameBytesMax } from "@helmr/protocol/guest";
import { type FromProgram, inputFd, outputFd, type StartMessage, type ToProgram } from "./pipe.ts";

const decoder = new FrameDecoder(hostFrameBytesMax);
/** What came together with the start message. */
const early: ToProgram[] = [];

export function send(message: FromProgram): void {
  const frame = encodeMessage(message);
  for (let at = 0; at < frame.length;) at += writeSync(outputFd, frame, at);
}

/** Undefined when the supervisor is gone. */
export function readStart(): StartMessage | undefined {
  const buffer = Buffer.allocUnsafe(65_536);
  for (;;) {
    const count = readSync(inputFd, buffer, 0, buffer.length, null);
    if (count === 0) return undefined;
    early.push(...messagesIn(Buffer.from(buffer.subarray(0, count))));
    const first = early.shift();
    if (first?.type === "start") return first;
  }
}

/** Gives every further message to `take`. The returned socket keeps the process alive while it is referenced. */
export async function listen(take: (message: ToProgram) => void): Promise<Socket> {
  const { Socket: SocketClass } = await import("node:net");
  const socket = new SocketClass({ fd: inputFd, readable: true, writable: false });
  socket.unref();
  socket.on("data", (chunk: Buffer) => {
    for (const message of messagesIn(chunk)) take(message);
  });
  socket.on("error", () => {
    // The supervisor is gone, and with it soon this process.
  });
  for (const message of early.splice(0)) take(message);
  return socket;
}

function messagesIn(chunk: Uint8Array): ToProgram[] {
  return decoder.push(chunk).map((frame) => (frame as { message: ToProgram }).message);
}
