/**
 * The few words a driver exchanges with a guest's supervisor before there is a machine (protocol/guest/handshake.ts): hello, ping, rehearse.
 * The stream is left at a frame boundary for whoever gets the machine; until then its guest says nothing, because nobody asks.
 */
import type { Duplex } from "node:stream";
import { encodeMessage, FrameDecoder } from "@helmr/protocol/guest";
import { VmError } from "../driver.ts";

interface Answer {
  type: string;
  message?: string;
}

/** Waits for a message of this type; everything else is dropped. */
export function untilMessage(stream: Duplex, types: readonly string[], signal: AbortSignal): Promise<Answer> {
  const decoder = new FrameDecoder();
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      stream.off("data", receive);
      stream.off("close", closed);
      stream.off("error", failed);
      signal.removeEventListener("abort", aborted);
      settle();
    };
    const closed = (): void => finish(() => reject(new VmError("monitor_died", `The guest's channel closed before it said ${types[0]}`)));
    const failed = (error: Error): void => finish(() => reject(error));
    const aborted = (): void => finish(() => reject(signal.reason as Error));
    const receive = (chunk: Buffer): void => {
      try {
        for (const frame of decoder.push(chunk)) {
          const message = frame.kind === "message" ? (frame.message as Answer) : undefined;
          if (message && types.includes(message.type)) return finish(() => resolve(message));
        }
      } catch (error) {
        failed(error instanceof Error ? error : new VmError("boot_failed", String(error)));
      }
    };
    if (signal.aborted) return aborted();
    stream.on("data", receive);
    stream.on("close", closed);
    stream.on("error", failed);
    signal.addEventListener("abort", aborted, { once: true });
    stream.resume();
  });
}

export async function askSupervisor(stream: Duplex, request: { type: string; id: number }, signal: AbortSignal): Promise<void> {
  const answered = untilMessage(stream, ["ok", "error"], signal);
  stream.write(encodeMessage(request));
  const answer = await answered;
  if (answer.type === "error")
    throw new VmError("restore_failed", `The guest answered ${request.type} with: ${answer.message ?? "no reason"}`);
}
