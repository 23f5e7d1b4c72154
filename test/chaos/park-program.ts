/**
 * The task of the park and resume tests. It keeps everything that a process can keep (heap, timers, an open file, a child behind pipes, a connection to itself,
 * random state, files on both disks), waits again and again, and looks after each wait whether all of it is still there.
 */
export const parkTasks = `
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { createServer, connect } from "node:net";
import { once } from "node:events";
import { hostname } from "node:os";
import { sandbox, streams, task, timers, tokens } from "@sdk";

const anything = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) } } as never;
const box = sandbox("box").resources({ cpu: 1, memory: "512Mi" });
export const orders = streams.input("orders", { schema: anything });

interface Step { wait: "token" | "timer" | "stream"; ms?: number; heapKiB: number; panic?: { when: "waits" | "goes on"; ms: number } }

/** The kernel of the guest dies, as seen from inside. A timer that is pending when the run parks goes off after it has come back. */
function panicSoon(step: Step, when: "waits" | "goes on", attempt: number) {
  if (step.panic?.when === when && attempt === 1) setTimeout(() => writeFileSync("/proc/sysrq-trigger", "c"), step.panic.ms);
}

function lineReader(stream: any) {
  let text = "";
  const waiting: ((line: string) => void)[] = [];
  const lines: string[] = [];
  stream.setEncoding("utf8");
  stream.on("data", (part: string) => {
    text += part;
    const parts = text.split("\\n");
    text = parts.pop() ?? "";
    for (const line of parts) (waiting.shift() ?? ((one: string) => lines.push(one)))(line);
  });
  return () => new Promise<string>((resolve) => { const line = lines.shift(); if (line === undefined) waiting.push(resolve); else resolve(line); });
}

async function openWorld() {
  const child = spawn("sh", ["-c", 'n=0; while read line; do n=$((n+1)); echo "$line $n $$"; done'], { stdio: ["pipe", "pipe", "inherit"] });
  const childLine = lineReader(child.stdout);
  const server = createServer((socket) => socket.pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect((server.address() as any).port, "127.0.0.1");
  await once(socket, "connect");
  const echoed = lineReader(socket);
  const file = openSync("journal", "w");
  const temporary = openSync("/tmp/journal", "w");
  let ticks = 0;
  const timer = setInterval(() => { ticks += 1; }, 50);
  return { child, childLine, server, socket, echoed, file, temporary, ticks: () => ticks, timer };
}

export const keeps = task({ id: "keeps", sandbox: box, payload: anything, maxDuration: 600,
  retry: { maxAttempts: 10, backoff: { minMs: 100, maxMs: 500 } },
  async run(payload: any, ctx: any) {
    const { steps, name } = payload as { steps: Step[]; name: string };
    const world = await openWorld();
    const born = { pid: process.pid, childPid: world.child.pid, host: hostname(), random: Array.from({ length: 8 }, Math.random).join() };
    const heap: Buffer[] = [];
    const sums: string[] = [];
    const problems: string[] = [];
    const uuids = new Set<string>();
    let after = 0;
    const check = (what: string, ok: boolean, seen?: unknown) => { if (!ok) problems.push(what + ": " + JSON.stringify(seen)); };
    for (const [index, step] of steps.entries()) {
      const bytes = randomBytes(step.heapKiB * 1024);
      heap.push(bytes);
      sums.push(createHash("sha256").update(bytes).digest("hex"));
      uuids.add(crypto.randomUUID());
      writeSync(world.file, "line " + index + "\\n");
      writeSync(world.temporary, "line " + index + "\\n");
      writeFileSync("file-" + index, String(index).repeat(1000));
      console.log(name + " waits " + index);
      const ticksBefore = world.ticks();
      panicSoon(step, "waits", ctx.run.attemptNumber);
      let data: any;
      if (step.wait === "token") {
        const token = await tokens.create({ timeout: "1h", metadata: { index } });
        const result: any = await token.wait();
        check("token", result.ok === true, result);
        data = result.data;
        check("token for " + index, data?.index === index, data);
      } else if (step.wait === "stream") {
        const result: any = await orders.wait();
        check("record", result.ok === true, result);
        data = result.data;
        check("record order", after === 0 ? data?.n > 0 : data?.n === after + 1, { data, after });
        after = data?.n ?? after;
      } else {
        const from = performance.now();
        await timers.waitFor((step.ms ?? 1000) + "ms" as never);
        data = { at: undefined };
      }
      console.log(name + " goes on " + index);
      panicSoon(step, "goes on", ctx.run.attemptNumber);
      if (typeof data?.at === "number") check("clock", Date.now() >= data.at - 5_000 && Date.now() < data.at + 300_000, { now: Date.now(), at: data.at });
      check("pid", process.pid === born.pid, process.pid);
      check("hostname", hostname() === born.host, hostname());
      heap.forEach((part, n) => check("heap " + n, createHash("sha256").update(part).digest("hex") === sums[n]));
      world.child.stdin.write("hello " + index + "\\n");
      check("child", (await world.childLine()) === "hello " + index + " " + (index + 1) + " " + born.childPid);
      world.socket.write("echo " + index + "\\n");
      check("socket", (await world.echoed()) === "echo " + index);
      for (let n = 0; n <= index; n += 1) check("file " + n, readFileSync("file-" + n, "utf8") === String(n).repeat(1000));
      const lines = Array.from({ length: index + 1 }, (_, n) => "line " + n + "\\n").join("");
      check("journal", readFileSync("journal", "utf8") === lines);
      check("scratch", readFileSync("/tmp/journal", "utf8") === lines);
      await new Promise((resolve) => setTimeout(resolve, 120));
      check("interval", world.ticks() > ticksBefore, world.ticks());
      check("signal", ctx.signal.aborted === false);
      if (problems.length > 0) throw new Error(problems.join("; "));
    }
    clearInterval(world.timer);
    world.socket.destroy();
    world.server.close();
    world.child.kill();
    closeSync(world.file);
    closeSync(world.temporary);
    check("uuids", uuids.size === steps.length);
    return { steps: steps.length, problems, records: after };
  } });
`;

export interface Step {
  wait: "token" | "timer" | "stream";
  ms?: number;
  heapKiB: number;
  /** In the first attempt the kernel of the guest is made to panic by the program. */
  panic?: { when: "waits" | "goes on"; ms: number };
}
