/** The build log with a memory of its last lines, for the message of a command that failed. */
import type { OutgoingStream } from "../supervisor/outgoing-stream.ts";
import { buildLimits } from "./build-limits.ts";

export class TailOutput {
  private readonly stream: OutgoingStream;
  private last = Buffer.alloc(0);

  constructor(stream: OutgoingStream) {
    this.stream = stream;
  }

  write(data: Uint8Array): void {
    this.last = Buffer.concat([this.last, data]).subarray(-buildLimits.tailBytes);
    this.stream.write(data);
  }

  get hasRoom(): boolean {
    return this.stream.hasRoom;
  }

  onRoom(callback: () => void): void {
    this.stream.onRoom(callback);
  }

  line(text: string): void {
    this.write(Buffer.from(`${text}\n`));
  }

  /** Whole lines. */
  get tail(): string {
    const text = this.last.toString("utf8");
    const start = this.last.length < buildLimits.tailBytes ? 0 : text.indexOf("\n") + 1;
    return text.slice(start).trim();
  }
}
