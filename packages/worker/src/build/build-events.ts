/**
 * Events of a deployment build on their way to the control plane: phases, and one event per line of the build's log, numbered and in order. Kept in
 * memory, because a build does not outlive its worker; bounded, because the guest is only told to forget its log when the lines were accepted.
 */
import type { Masker } from "@helmr/protocol/shared";
import type { BuildEvent } from "@helmr/protocol/worker";
import type { WorkerClient } from "../control/client.ts";
import type { HeldLease } from "../control/held-lease.ts";

export interface BuildEventsOptions {
  client: WorkerClient;
  held: HeldLease;
  deploymentId: string;
}

interface Numbered {
  event: Omit<BuildEvent, "age_ms">;
  at: number;
  /** Offset in the guest's log behind this line. */
  logOffset: number;
}

const batchEvents = 500;
const lineBytesMax = 16 * 1024;
const linesMax = 20_000;

export class BuildEvents {
  private readonly options: BuildEventsOptions;
  private readonly queue: Numbered[] = [];
  private accepted = 0;
  private logOffset = 0;
  private lines = 0;
  private rest = Buffer.alloc(0);
  private sending: Promise<void> | undefined;
  private over = false;
  /** The log of the present machine begins here; who is told how much of it was accepted. */
  private logStart = 0;
  private acknowledge: (offset: number) => void = () => {};
  private masker: Masker | undefined;

  constructor(options: BuildEventsOptions) {
    this.options = options;
    options.held.lost.addEventListener("abort", () => (this.over = true), { once: true });
  }

  /** Number of the last event. */
  get last(): number {
    return this.accepted + this.queue.length;
  }

  say(kind: `deployment.${string}`, message: string, attributes: Record<string, unknown> = {}): void {
    this.add({ kind, severity: "info", message: message.slice(0, 60_000), attributes });
  }

  /** Another machine speaks from now on, from its offset 0 on. Values the masker knows are in no line. */
  beginLog(acknowledge: (offset: number) => void, masker?: Masker): void {
    this.endLog();
    this.logStart = this.logOffset;
    this.acknowledge = acknowledge;
    this.masker = masker;
  }

  private accept(offset: number): void {
    if (offset > this.logStart) this.acknowledge(offset - this.logStart);
  }

  /** Bytes of the guest's log. */
  log(data: Uint8Array): void {
    this.logOffset += data.length;
    let bytes = Buffer.concat([this.rest, data]);
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10)) {
      this.line(bytes.subarray(0, end));
      bytes = bytes.subarray(end + 1);
    }
    while (bytes.length > lineBytesMax) {
      this.line(bytes.subarray(0, lineBytesMax));
      bytes = bytes.subarray(lineBytesMax);
    }
    this.rest = Buffer.from(bytes);
    // Nothing to send: what came ends in the middle of a line.
    if (this.queue.length === 0) this.accept(this.logOffset - this.rest.length);
  }

  /** The unfinished last line. */
  endLog(): void {
    if (this.rest.length > 0) this.line(this.rest);
    this.rest = Buffer.alloc(0);
  }

  /** Resolves when everything was accepted, or nothing will be any more. */
  async drain(): Promise<void> {
    while (this.queue.length > 0 && !this.over) {
      this.pump();
      await this.sending;
    }
  }

  private line(bytes: Buffer): void {
    this.lines += 1;
    if (this.lines > linesMax + 1) return;
    const text =
      this.lines > linesMax
        ? `The log has more than ${linesMax} lines; the rest is left out`
        : bytes.subarray(0, lineBytesMax).toString("utf8");
    const shown = this.masker?.active === true ? this.masker.maskText(text) : text;
    this.add({ kind: "deployment.log", severity: "info", message: shown.replaceAll("\0", "\u{fffd}").replace(/\r$/, ""), attributes: {} });
  }

  private add(event: Numbered["event"]): void {
    this.queue.push({ event, at: Date.now(), logOffset: this.logOffset - this.rest.length });
    this.pump();
  }

  private pump(): void {
    if (this.sending !== undefined || this.over) return;
    this.sending = this.sendAll().finally(() => {
      this.sending = undefined;
    });
  }

  private async sendAll(): Promise<void> {
    const { client, held, deploymentId } = this.options;
    while (this.queue.length > 0 && !this.over) {
      const batch = this.queue.slice(0, batchEvents);
      const now = Date.now();
      const events = batch.map(({ event, at }) => ({ ...event, age_ms: Math.max(0, now - at) }));
      const body = { ...held.fenced, first: this.accepted + 1, events };
      const result = await client.call("buildReport", body, { id: deploymentId, deadline: held.deadline, signal: held.lost });
      if (result.kind !== "ok") {
        this.over = true;
        if (result.kind === "stale") held.lose("stale");
        return;
      }
      const count = Math.min(this.queue.length, Math.max(0, result.value.accepted - this.accepted));
      const done = this.queue.splice(0, count);
      this.accepted += count;
      const offset = done.at(-1)?.logOffset;
      if (offset !== undefined) this.accept(offset);
    }
  }
}
