/** Tasks of ends.e2e.ts: one for every way to end. */
import { spawn } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { type PayloadSchema, sandbox, task } from "@helmr/sdk";

const box = sandbox("ends");
const small = sandbox("ends-small").resources({ disk: "64Mi" });

function anything<T>(): PayloadSchema<T> {
  return { "~standard": { version: 1, vendor: "e2e", validate: (value) => ({ value: value as T }) } };
}

interface Complaint {
  what: string;
}

function complain({ what }: Complaint): never {
  throw new RangeError(what);
}

export const throws = task({
  id: "throws",
  sandbox: box,
  payload: anything<Complaint>(),
  run(complaint) {
    writeFileSync("before.txt", "written before it threw");
    complain(complaint);
  },
});

const files = () => ({
  files: readdirSync(".")
    .filter((name) => name !== "lost+found")
    .sort(),
});
export const look = task({ id: "look", sandbox: box, run: files });
export const lookSmall = task({ id: "look-small", sandbox: small, run: files });

export const spins = task({
  id: "spins",
  sandbox: box,
  async run() {
    await new Promise((resolve) => process.stdout.write("spinning\n", resolve));
    for (;;);
  },
});

export const stalls = task({ id: "stalls", sandbox: box, run: () => new Promise<void>(() => {}) });

export const exits = task({ id: "exits", sandbox: box, payload: anything<{ code: number }>(), run: ({ code }) => process.exit(code) });

export const signalsItself = task({
  id: "signals-itself",
  sandbox: box,
  run: () => {
    process.kill(process.pid, "SIGKILL");
    return new Promise<void>(() => setInterval(() => {}, 1_000));
  },
});

export const fills = task({
  id: "fills",
  sandbox: small,
  run() {
    for (let n = 0; ; n += 1) writeFileSync(`big-${n}`, Buffer.alloc(4 * 1024 * 1024, n));
  },
});

export const forks = task({
  id: "forks",
  sandbox: box,
  async run() {
    const children = [1, 2, 3].map((n) =>
      spawn("sh", ["-c", "echo child at work; while :; do sleep 1; done"], {
        detached: true,
        stdio: n === 1 ? ["ignore", "inherit", "inherit"] : "ignore",
      }),
    );
    await Promise.all(children.map((child) => new Promise((resolve) => child.once("spawn", resolve))));
    for (const child of children) child.unref();
    await new Promise((resolve) => setTimeout(resolve, 500));
    return { children: children.length };
  },
});

export const attacks = task({
  id: "attacks",
  sandbox: box,
  payload: anything<{ how: "crash" | "power off" | "kill init" }>(),
  async run({ how }) {
    await new Promise((resolve) => process.stdout.write(`about to ${how}\n`, resolve));
    // Its last words are on their way.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    if (how === "kill init") process.kill(1, "SIGKILL");
    else writeFileSync("/proc/sysrq-trigger", how === "crash" ? "c" : "o");
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    return "still here";
  },
});

export const talks = task({
  id: "talks",
  sandbox: box,
  payload: anything<{ lines: number; width: number }>(),
  async run({ lines, width }) {
    let bytes = 0;
    for (let first = 0; first < lines; first += 1_000) {
      let block = "";
      for (let line = first; line < first + 1_000; line += 1) block += `${"x".repeat(width - String(line).length - 2)} ${line}\n`;
      bytes += block.length;
      if (!process.stdout.write(block)) await new Promise((resolve) => process.stdout.once("drain", resolve));
    }
    return { bytes };
  },
});

export const tidies = task({
  id: "tidies",
  sandbox: box,
  async run(ctx) {
    process.stdout.write("working\n");
    await new Promise((resolve) => {
      const alive = setInterval(() => {}, 1_000);
      ctx.signal.addEventListener("abort", () => {
        clearInterval(alive);
        resolve(undefined);
      });
    });
    writeFileSync("tidied.txt", "yes");
    console.log(`told to stop: ${ctx.signal.aborted}`);
  },
});
