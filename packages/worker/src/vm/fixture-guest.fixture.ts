/** Talks to the fixture supervisor (packages/guest/src/init/fixture-supervisor.ts) of a machine. */
import { randomBytes } from "node:crypto";
import { encodeMessage, FrameDecoder } from "@helmr/protocol/guest";
import type { Machine } from "./driver.ts";

export interface Pong {
  monotonicNs: string;
  unixUs: number;
  random: string;
  counter: number;
}

export interface ToolResult {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
  control: string;
  milliseconds: number;
}

export interface ToolOptions {
  env?: Record<string, string>;
  stdin?: string | Uint8Array;
  lines?: string[];
  timeoutMs?: number;
}

interface Message {
  type: string;
  id?: number;
  result?: unknown;
  message?: string;
  bootId?: string;
}

const answerMs = 30_000;
export const guestPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export class FixtureGuest {
  private readonly machine: Machine;
  private readonly waiting = new Map<number, (message: Message) => void>();
  private nextId = 1;
  private greet: (hello: Message) => void = () => {};
  /** Of a machine that announces itself: after a boot and after it was taken over. */
  readonly hello: Promise<Message>;

  constructor(machine: Machine) {
    this.machine = machine;
    this.hello = new Promise((resolve) => {
      this.greet = resolve;
    });
    machine.control.once("close", () => {
      for (const waiting of this.waiting.values()) waiting({ type: "error", message: "The machine has ended" });
    });
    const decoder = new FrameDecoder();
    machine.control.on("data", (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) if (frame.kind === "message") this.receive(frame.message as Message);
    });
  }

  ping(timeoutMs: number = answerMs): Promise<Pong> {
    return this.ask({ type: "ping" }, timeoutMs) as Promise<Pong>;
  }

  tool(args: readonly string[], { env = {}, stdin = "", lines = [], timeoutMs = answerMs }: ToolOptions = {}): Promise<ToolResult> {
    return this.ask({ type: "tool", args, env, lines, stdin: Buffer.from(stdin).toString("base64") }, timeoutMs) as Promise<ToolResult>;
  }

  /** What every start begins with; disks as arguments of the tool. */
  async attach(...disks: string[]): Promise<ToolResult> {
    const clock = `${Date.now() * 1000}`;
    const result = await this.tool(["attach", "--clock", clock, "--entropy", "--hostname", "fixture", "--network", "on", ...disks], {
      stdin: randomBytes(64),
    });
    if (result.code !== 0) throw new FixtureFailure(`attach ended with ${result.code}: ${result.stderr}`);
    return result;
  }

  /** A command in the task's root, as root. */
  run(command: readonly string[], options: ToolOptions & { args?: readonly string[] } = {}): Promise<ToolResult> {
    const { args = [], env, ...rest } = options;
    return this.tool(["run", "--control", "5", ...args, "--", ...command], { env: { PATH: guestPath, ...env }, ...rest });
  }

  shell(script: string, options: ToolOptions & { args?: readonly string[] } = {}): Promise<ToolResult> {
    return this.run(["sh", "-c", script], options);
  }

  private ask(message: Record<string, unknown>, timeoutMs: number): Promise<unknown> {
    const id = this.nextId;
    this.nextId += 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new FixtureFailure(`No answer to ${JSON.stringify(message)} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.waiting.set(id, (answer) => {
        clearTimeout(timer);
        if (answer.type === "ok") resolve(answer.result);
        else reject(new FixtureFailure(answer.message ?? answer.type));
      });
      this.machine.control.write(encodeMessage({ ...message, id }));
    });
  }

  private receive(message: Message): void {
    if (message.type === "hello") return this.greet(message);
    const waiting = this.waiting.get(message.id ?? -1);
    this.waiting.delete(message.id ?? -1);
    waiting?.(message);
  }
}

export class FixtureFailure extends Error {
  override name = "FixtureFailure";
}
