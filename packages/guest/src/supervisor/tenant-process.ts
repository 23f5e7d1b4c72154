/**
 * One process of the tenant with everything it starts: the program, an exec, a terminal, a build step.
 *
 *   starting ── `started` of the tool ──▶ running ── its main process ends ──▶ clearing (its group is killed) ──▶ gone
 *      └─────── `failed` of the tool ─────────────────────────────────────────────────────────────────────────────┘
 *
 * `exited` tells how the main process ended, `gone` that nothing of it is left and its output has been read to the end. Reading the output
 * stands still while the host has not taken enough of it; then the tool, and with it the process, waits too.
 */
import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";
import type { Duplex, Readable, Writable } from "node:stream";
import type { ControlGroup, ControlGroups, GroupMemory } from "./control-group.ts";
import { controlFd, type GuestTool, type ToolRun } from "./guest-tool.ts";
import type { OutgoingStream } from "./outgoing-stream.ts";

export type ProcessExit =
  | { kind: "exited"; code: number | null; signal: string | null }
  /** The process never ran: what the tool says, with the errno of the stage that failed. */
  | { kind: "not_started"; stage: string; errno: number; text: string };

export interface ProcessRemains {
  /** false: something that the kernel cannot kill is left. */
  clean: boolean;
  memory: GroupMemory;
}

export interface TenantProcessSpec extends ToolRun {
  stdout: OutgoingStream;
  /** Absent: dropped; a terminal has none. */
  stderr?: OutgoingStream;
}

export interface ProcessGround {
  tool: GuestTool;
  groups: ControlGroups;
}

export class TenantProcess {
  readonly exited: Promise<ProcessExit>;
  readonly gone: Promise<ProcessRemains>;
  /** Pid as the tenant sees it, once it runs; undefined when it never did. */
  readonly started: Promise<number | undefined>;
  readonly group: ControlGroup;
  readonly stdin: Writable | undefined;
  readonly pipeIn: Writable | undefined;
  readonly pipeOut: Readable | undefined;
  private readonly control: Duplex | undefined;
  private killed = false;
  private failure: Extract<ProcessExit, { kind: "not_started" }> | undefined;

  constructor(ground: ProcessGround, spec: TenantProcessSpec) {
    this.group = ground.groups.leaf(spec.group);
    const child = ground.tool.run(spec);
    const stdio = child.stdio as readonly (Duplex | null | undefined)[];
    this.stdin = stdio[0] ?? undefined;
    this.pipeIn = spec.pipes ? (stdio[3] ?? undefined) : undefined;
    this.pipeOut = spec.pipes ? (stdio[4] ?? undefined) : undefined;
    this.control = stdio[controlFd] ?? undefined;
    for (const writable of [this.stdin, this.pipeIn]) {
      writable?.on("error", () => {
        // The process closed its end or is gone; its end is told by `exited`.
      });
    }
    const outputs = [capture(stdio[1], spec.stdout), capture(stdio[2], spec.stderr)];
    this.started = this.readControl();
    this.exited = this.watch(child);
    this.gone = this.clear(outputs);
  }

  /** To its process group; SIGKILL to everything it started. */
  signal(name: string): boolean {
    const number = (constants.signals as Record<string, number>)[name];
    if (number === undefined) return false;
    if (number === constants.signals.SIGKILL) this.group.kill();
    else this.control?.write(`signal ${number}\n`);
    return true;
  }

  resize(cols: number, rows: number): void {
    this.control?.write(`resize ${cols} ${rows}\n`);
  }

  kill(): void {
    this.killed = true;
    this.group.kill();
  }

  private watch(child: ChildProcess): Promise<ProcessExit> {
    return new Promise((resolve) => {
      child.on("error", (error: NodeJS.ErrnoException) => {
        resolve({ kind: "not_started", stage: "tool", errno: Math.abs(error.errno ?? 0), text: error.message });
      });
      child.on("exit", (code, signal) => {
        // The last control line may still be unread when the end is known.
        void this.started.then(() => resolve(this.failure ?? { kind: "exited", code, signal }));
      });
    });
  }

  private async clear(outputs: CapturedOutput[]): Promise<ProcessRemains> {
    await this.exited;
    this.group.kill();
    const clean = await this.group.emptied();
    // Only a process that the kernel cannot kill keeps an end open; then nothing more is waited for.
    if (!clean) for (const output of outputs) output.abandon();
    await Promise.all(outputs.map((output) => output.ended));
    this.stdin?.destroy();
    this.control?.destroy();
    const memory = this.group.memory();
    this.group.remove();
    return { clean, memory };
  }

  private readControl(): Promise<number | undefined> {
    const { control } = this;
    if (control === undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      let line = "";
      control.on("error", () => resolve(undefined));
      control.on("close", () => resolve(undefined));
      control.on("data", (chunk: Buffer) => {
        line += chunk.toString("utf8");
        for (let end = line.indexOf("\n"); end >= 0; end = line.indexOf("\n")) {
          const words = line.slice(0, end).split(" ");
          line = line.slice(end + 1);
          if (words[0] === "started") {
            // The group was perhaps still empty when it was killed.
            if (this.killed) this.group.kill();
            resolve(Number(words[1]));
          }
          if (words[0] === "failed") {
            this.failure = { kind: "not_started", stage: words[1] ?? "start", errno: Number(words[2]), text: words.slice(3).join(" ") };
            resolve(undefined);
          }
        }
      });
    });
  }
}

interface CapturedOutput {
  ended: Promise<void>;
  abandon(): void;
}

/** Reads an output to its end; without a stream it is dropped. */
function capture(source: Readable | null | undefined, stream: OutgoingStream | undefined): CapturedOutput {
  if (source === null || source === undefined) return { ended: Promise.resolve(), abandon: () => {} };
  source.on("data", (chunk: Buffer) => {
    if (stream === undefined) return;
    stream.write(chunk);
    if (stream.hasRoom) return;
    source.pause();
    stream.onRoom(() => source.resume());
  });
  const ended = new Promise<void>((resolve) => {
    source.on("error", () => source.destroy());
    source.on("close", () => resolve());
  });
  return { ended, abandon: () => void source.destroy() };
}
