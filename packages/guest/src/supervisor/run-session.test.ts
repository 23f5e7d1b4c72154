import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { guestStreams, loggerLineBytesMax } from "@helmr/protocol/guest";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testGuest, type TestGuest } from "./guest.fixture.ts";
import { TestHost } from "./test-host.fixture.ts";

let guest: TestGuest;
beforeEach(async () => {
  guest = await testGuest();
  await guest.attach();
});
afterEach(() => guest.dispose());

const stdout = () => guest.host.text(guestStreams.stdout);
const stderr = () => guest.host.text(guestStreams.stderr);

/** What has ended and only waits for its parent does not count. */
function isRunning(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.startsWith("Z") === false;
  } catch {
    return false;
  }
}

describe("a run", () => {
  test("returns its output, with everything it printed and where", async () => {
    const ended = await guest.run(`
      import { execFileSync } from "node:child_process";
      export const example = declare(async (ctx) => {
        console.log("to stdout", process.cwd());
        console.error("to stderr");
        execFileSync("sh", ["-c", "echo from a child; echo child error >&2"], { stdio: "inherit" });
        logger.warn("logged", { n: 1 });
        return { session: ctx.session.id, path: ctx.workspace.path, when: new Date(0), nothing: undefined };
      });`);
    expect(ended).toMatchObject({ reason: "returned", exitCode: 0, attemptId: "attempt" });
    expect(JSON.parse(ended.output?.json ?? "")).toEqual({ session: "session", path: "/workspace", when: "1970-01-01T00:00:00.000Z" });
    expect(stdout()).toBe(`to stdout ${guest.workspace}\nfrom a child\n`);
    expect(stderr()).toBe("to stderr\nchild error\n");
    expect(JSON.parse(guest.host.text(guestStreams.logger))).toMatchObject({ level: "warn", message: 'logged {"n":1}', fields: { n: 1 } });
    expect(ended.streams).toEqual({ stdout: stdout().length, stderr: stderr().length, logger: guest.host.length(guestStreams.logger) });
    const started = await guest.host.message("run.started");
    expect(started.nodeVersion).toMatch(/^v\d+/);
    expect(started.loadedMs).toBeGreaterThanOrEqual(started.bootedMs);
  });

  test("has no output when run() returns undefined", async () => {
    const ended = await guest.run(`export const example = declare(() => undefined);`);
    expect([ended.reason, ended.output]).toEqual(["returned", undefined]);
  });

  test("fails with the stack of what was thrown, in the lines of the source", async () => {
    const ended = await guest.run(`

      function inner() { throw new TypeError("it broke"); }
      export const example = declare(async () => inner());`);
    expect(ended).toMatchObject({ reason: "threw", exitCode: 1, message: "TypeError: it broke" });
    expect(stderr()).toContain("TypeError: it broke");
    expect(stderr()).toMatch(/inner .*tasks\/example\.ts:4:/);
  });

  test.each([
    ["an unhandled rejection", `Promise.reject(new Error("nobody looks")); await new Promise((r) => setTimeout(r, 5000));`],
    [
      "an exception in a timer",
      `setTimeout(() => { throw new Error("nobody looks"); }, 5); await new Promise((r) => setTimeout(r, 5000));`,
    ],
  ])("fails by %s", async (_name, body) => {
    const ended = await guest.run(`export const example = declare(async () => { ${body} });`);
    expect(ended).toMatchObject({ reason: "threw", exitCode: 1, message: "Error: nobody looks" });
    expect(stderr()).toContain("nobody looks");
  });

  test("tells an exit of the process from a return", async () => {
    const early = await guest.run(`export const example = declare(() => { console.log("x".repeat(300_000)); process.exit(0); });`);
    expect([early.reason, early.exitCode]).toEqual(["exited", 0]);
    expect(guest.host.length(guestStreams.stdout)).toBe(300_001);
  });

  test("has the exit code that the task chose", async () => {
    const ended = await guest.run(`export const example = declare(() => process.exit(7));`);
    expect(ended).toMatchObject({ reason: "threw", exitCode: 7, message: "The task exited with code 7" });
  });

  test("does not wait for what it left open, and ends what it left running", async () => {
    const ended = await guest.run(`
      import { spawn } from "node:child_process";
      export const example = declare(() => {
        setInterval(() => {}, 1000);
        const child = spawn("sleep", ["600"], { stdio: "inherit" });
        return child.pid;
      });`);
    expect(ended.reason).toBe("returned");
    const pid = Number(ended.output?.json);
    expect(pid).toBeGreaterThan(0);
    expect(isRunning(pid)).toBe(false);
  });

  test("fails when nothing can make run() return any more", async () => {
    const ended = await guest.run(`export const example = declare(() => new Promise(() => {}));`);
    expect(ended.reason).toBe("stalled");
  });

  test("is killed by a signal that nobody here sent", async () => {
    const ended = await guest.run(`export const example = declare(() => process.kill(process.pid, "SIGTERM"));`);
    expect(ended).toMatchObject({ reason: "signalled", signal: "SIGTERM", exitCode: null });
  });

  test("ran out of memory when the kernel says so, not when anybody kills it", async () => {
    guest.memory.oomKills = 1;
    guest.memory.peakBytes = 500 * 1_048_576;
    const ended = await guest.run(`export const example = declare(() => process.kill(process.pid, "SIGKILL"));`);
    expect(ended).toMatchObject({ reason: "out_of_memory", signal: "SIGKILL" });
    expect(ended.message).toContain("peak 500 MiB");
  });

  test("refuses an output that is too large or has no JSON form", async () => {
    const ended = await guest.run(`export const example = declare(() => "x".repeat(300_000));`);
    expect(ended).toMatchObject({ reason: "threw", detail: "output_invalid" });
  });

  test("refuses a payload that the schema refuses", async () => {
    const ended = await guest.run(`
      const schema = { "~standard": { version: 1, vendor: "test", validate: () => ({ issues: [{ message: "must be a text", path: ["name"] }] }) } };
      export const example = task({ id: "example", sandbox: box, payload: schema as never, run: () => 1 } as never);`);
    expect(ended).toMatchObject({ reason: "threw", detail: "payload_invalid" });
    expect(ended.message).toContain("must be a text");
  });
});

describe("a program that does not start", () => {
  test("names a task that is not there, and the near name that is", async () => {
    const ended = await guest.run(`export const other = task({ id: "examples", sandbox: box, run: () => 1 } as never);`);
    expect(ended).toMatchObject({ reason: "start_failed", failureKind: "task_not_found" });
    expect(ended.message).toContain('did you mean "examples"?');
  });

  test("names a module that is not there", async () => {
    const ended = await guest.run(`export {};`, { module: ".helmr/compiled/gone.mjs" });
    expect(ended).toMatchObject({ reason: "start_failed", failureKind: "task_not_found", detail: "module_missing" });
  });

  test("names a dependency that cannot be resolved, and the two ways to provide it", async () => {
    const ended = await guest.run(`import "left-pad-that-is-not-there"; export const example = declare(() => 1);`);
    expect(ended).toMatchObject({ reason: "start_failed", detail: "dependency_missing" });
    expect(ended.message).toMatch(/left-pad-that-is-not-there.*package\.json.*\/opt\/helmr-task\/node_modules/s);
  });

  test("shows what a module threw while it was loaded", async () => {
    const ended = await guest.run(`throw new Error("no configuration"); export const example = declare(() => 1);`);
    expect(ended).toMatchObject({ reason: "start_failed", detail: "module_failed" });
    expect(ended.message).toContain("no configuration");
    expect(stderr()).toMatch(/tasks\/example\.ts:2:/);
  });

  test("names node and the PATH that was searched when the image has none", async () => {
    const bare = await testGuest();
    try {
      await bare.attach({ image: { env: { PATH: "/nowhere:/neither" }, workdir: "/", user: "root" } });
      const ended = await bare.run(`export const example = declare(() => 1);`);
      expect(ended).toMatchObject({ reason: "start_failed", detail: "node_missing" });
      expect(ended.message).toContain("node was not found on PATH /nowhere:/neither");
    } finally {
      bare.dispose();
    }
  });
});

describe("environment and secrets", () => {
  test("gives the image's environment without LD_*, defaults below it, env secrets above it", async () => {
    const ended = await guest.run(`export const example = declare(() => ({ ...process.env }));`, {
      secrets: [
        { name: "KEY", env: "MY_KEY", value: "s3cret" },
        { name: "IMAGE", env: "IMAGE", value: "from a secret" },
      ],
    });
    const environment = JSON.parse(ended.output?.json ?? "{}") as Record<string, string>;
    expect(environment).toMatchObject({ INSTALL: "default", IMAGE: "from a secret", MY_KEY: "s3cret", HOME: "/root" });
    expect(Object.keys(environment).filter((name) => name.startsWith("LD_") || name.startsWith("HELMR_"))).toEqual([]);
  });

  test("places files before the task starts and takes them away before the run has ended", async () => {
    mkdirSync(join(guest.workspace, "config"));
    const ended = await guest.run(
      `import { readFileSync, statSync } from "node:fs";
      export const example = declare((ctx) => ["config/key", "certs/CERT"].map((path) => [readFileSync(path, "utf8"), (statSync(path).mode & 0o777).toString(8)]));`,
      {
        secrets: [
          { name: "KEY", file: "config/key", mode: "0o640", value: "key" },
          { name: "CERT", dir: "certs", value: "cert" },
        ],
      },
    );
    expect(JSON.parse(ended.output?.json ?? "")).toEqual([
      ["key", "640"],
      ["cert", "600"],
    ]);
    expect(guest.calls.filter((call) => call.includes("place"))).toEqual([
      "place /workspace/config/key",
      "place /workspace/certs/CERT",
      "unplace /workspace/certs/CERT",
      "unplace /workspace/config/key",
    ]);
    // The directories that were made for them are gone, the one that was there is not.
    expect(readdirSync(guest.workspace)).toEqual(["config"]);
    expect(readdirSync(join(guest.workspace, "config"))).toEqual([]);
  });

  test("fails before the task starts when the runtime user could not read a placement", async () => {
    const other = await testGuest();
    try {
      await other.attach({ image: { env: { PATH: process.env["PATH"] ?? "" }, workdir: "/", user: "node" } });
      const ended = await other.run(`export const example = declare(() => console.log("ran"));`, {
        secrets: [{ name: "KEY", file: "/srv/key", owner: "root", value: "x" }],
      });
      expect(ended).toMatchObject({ reason: "start_failed", detail: "secret_placement" });
      expect(ended.message).toMatch(/KEY at \/srv\/key could not be read.*root.*0600.*node/);
      expect(other.host.text(guestStreams.stdout)).toBe("");
    } finally {
      other.dispose();
    }
  });

  test("refuses a variable that would change how programs are loaded", async () => {
    const ended = await guest.run(`export const example = declare(() => 1);`, {
      secrets: [{ name: "X", env: "LD_PRELOAD", value: "/x.so" }],
    });
    expect(ended).toMatchObject({ reason: "start_failed", detail: "secret_placement" });
  });
});

describe("cancel, time and lease", () => {
  const waiting = `export const example = declare(async (ctx) => {
    console.log("started");
    await new Promise((resolve) => ctx.signal.addEventListener("abort", () => { console.log("aborted:", ctx.signal.reason.message); resolve(undefined); }));
    return "stopped in time";
  });`;
  const started = () => guest.host.until(() => stdout().includes("started"), "the task's first line");

  test("aborts the signal, lets the task finish, and the run is cancelled all the same", async () => {
    await guest.start(waiting);
    await started();
    await guest.host.ok({ type: "run.cancel", force: false, reason: "enough", graceMs: 10_000 });
    const ended = await guest.host.message("run.ended");
    expect(ended.reason).toBe("cancelled");
    expect(stdout()).toContain("aborted: The run was cancelled: enough");
  });

  test("stops a task that goes on after its grace", async () => {
    await guest.start(
      `export const example = declare(async () => { console.log("started"); for (;;) await new Promise((r) => setTimeout(r, 10)); });`,
    );
    await started();
    await guest.host.ok({ type: "run.cancel", force: false, reason: "", graceMs: 50 });
    expect(await guest.host.message("run.ended")).toMatchObject({ reason: "cancelled", signal: "SIGKILL" });
  });

  test("stops at once with force, even a task that never yields", async () => {
    await guest.start(`export const example = declare(() => { console.log("started"); for (;;); });`);
    await started();
    await guest.host.ok({ type: "run.cancel", force: true, reason: "", graceMs: 60_000 });
    expect(await guest.host.message("run.ended")).toMatchObject({ reason: "cancelled" });
    expect(await guest.host.refusal({ type: "run.cancel", force: true, reason: "", graceMs: 0 })).toBe("not_running");
  });

  test("ends a run when its active time is used up", async () => {
    const ended = await guest.run(`export const example = declare(() => { for (;;); });`, { activeMs: 400 });
    expect(ended.reason).toBe("timeout");
    expect(ended.activeMs).toBeGreaterThanOrEqual(400);
  });

  test("fences itself when the lease ends, whatever the host does", async () => {
    const short = await testGuest();
    try {
      await short.attach({ leaseMs: 600 });
      await short.start(`export const example = declare(() => { for (;;); });`);
      await short.host.message("fenced");
      expect(await short.host.message("run.ended")).toMatchObject({ reason: "lease_expired" });
      expect(await short.host.refusal({ type: "sync", freeze: false })).toBe("fenced");
      short.host.send({ type: "lease.extend", leaseMs: 60_000 });
      expect(await short.host.refusal({ type: "sync", freeze: false })).toBe("fenced");
    } finally {
      short.dispose();
    }
  });

  test("lives as long as the lease is extended", async () => {
    const short = await testGuest();
    try {
      await short.attach({ leaseMs: 1000 });
      const extending = setInterval(() => short.host.send({ type: "lease.extend", leaseMs: 1000 }), 200);
      const ended = await short.run(`export const example = declare(() => new Promise((r) => setTimeout(() => r(1), 2500)));`);
      clearInterval(extending);
      expect(ended.reason).toBe("returned");
    } finally {
      short.dispose();
    }
  });
});

describe("calls of the program", () => {
  test("reach the host once, and the answers the task", async () => {
    await guest.start(`
      const replies = streams.output("replies");
      export const example = declare(async () => {
        await replies.append({ text: "hello" });
        await metadata.set("step", 1);
        const token = await tokens.create({ timeout: "10m" });
        const result = await token.wait();
        return { id: token.id, result: result.data };
      });`);
    const append = await guest.host.message("program.call", ({ call }) => call.kind === "stream.append");
    expect(append.call).toMatchObject({ stream: "replies", json: '{"text":"hello"}' });
    guest.host.send({ type: "program.answer", callId: append.callId, outcome: { ok: true, value: {} } });
    const create = await guest.host.message("program.call", ({ call }) => call.kind === "token.create");
    expect(guest.host.messages.some((message) => message.type === "program.call" && message.call.kind === "metadata")).toBe(true);
    const token = { id: "018f0000-0000-7000-8000-000000000000", status: "pending", timeout_at: null };
    guest.host.send({ type: "program.answer", callId: create.callId, outcome: { ok: true, value: token } });
    const wait = await guest.host.message("program.call", ({ call }) => call.kind === "wait");
    expect(wait.call).toMatchObject({ on: { kind: "token", tokenId: token.id } });
    guest.host.send({
      type: "program.answer",
      callId: wait.callId,
      outcome: { ok: true, value: { kind: "token", status: "completed", data: { yes: true } } },
    });
    const ended = await guest.host.message("run.ended");
    expect(JSON.parse(ended.output?.json ?? "")).toEqual({ id: token.id, result: { yes: true } });
  });

  test("are refused to the task with the code of the refusal", async () => {
    await guest.start(`
      const replies = streams.output("unknown");
      export const example = declare(async () => { try { await replies.append(1); } catch (error) { return [error.name, error.code]; } });`);
    const { callId } = await guest.host.message("program.call");
    guest.host.send({ type: "program.answer", callId, outcome: { ok: false, code: "stream_not_found", message: "stream not found" } });
    const ended = await guest.host.message("run.ended");
    expect(ended.output?.json).toContain("stream_not_found");
  });

  test("are said again to a host that takes over, with the output it has not acknowledged", async () => {
    guest.host.acknowledging = false;
    await guest.start(
      `export const example = declare(async () => { console.log("before"); await timers.waitFor({ seconds: 60 }); console.log("after"); });`,
    );
    const call = await guest.host.message("program.call");
    await guest.host.until(() => stdout() === "before\n", "the first line");
    guest.host.disconnect();
    const second = new TestHost();
    second.connect(guest.supervisor.link);
    const hello = await second.message("hello");
    expect(second.messages[0]).toBe(hello);
    expect(hello.state).toMatchObject({ attached: true, run: { attemptId: "attempt", status: "running" } });
    expect(await second.message("program.call")).toEqual(call);
    await second.until(() => second.text(guestStreams.stdout) === "before\n", "the first line again");
    const answer = {
      type: "program.answer",
      callId: call.callId,
      outcome: { ok: true, value: { kind: "timer", status: "completed" } },
    } as const;
    second.send(answer);
    second.send(answer);
    expect(await second.message("run.ended")).toMatchObject({ reason: "returned" });
    expect(second.text(guestStreams.stdout)).toBe("before\nafter\n");
    second.disconnect();
    const third = new TestHost();
    third.connect(guest.supervisor.link);
    expect(await third.message("run.ended")).toMatchObject({ reason: "returned" });
    third.disconnect();
  });
});

describe("a program that misbehaves", () => {
  test("cannot fill memory or hold up control messages with output", async () => {
    guest.host.pause();
    const idle = process.memoryUsage().arrayBuffers;
    await compileAndStart(
      `export const example = declare(() => { for (let n = 0; n < 100; n += 1) console.log("y".repeat(1_000_000)); return "done"; });`,
    );
    let peak = 0;
    const watching = setInterval(() => (peak = Math.max(peak, process.memoryUsage().arrayBuffers - idle)), 20);
    guest.host.resume();
    await guest.host.until(() => guest.host.length(guestStreams.stdout) > 1_000_000, "some output");
    // A ping in the middle of it all is answered while most of the output is still to come.
    await guest.host.ok({ type: "ping" });
    expect(guest.host.length(guestStreams.stdout)).toBeLessThan(90_000_000);
    guest.host.streams.clear();
    const ended = await guest.host.message("run.ended");
    clearInterval(watching);
    expect(ended).toMatchObject({ reason: "returned" });
    expect(ended.streams.stdout).toBe(100_000_100);
    expect(guest.host.length(guestStreams.stdout)).toBe(100_000_100);
  });

  async function compileAndStart(source: string): Promise<void> {
    const starting = guest.start(source);
    guest.host.resume();
    await starting;
  }

  test.each([
    ["no frame at all", `writeSync(4, "this is no frame")`],
    ["a frame that is too long", `writeSync(4, Buffer.from([0x7f, 0xff, 0xff, 0xff, 0]))`],
    ["stream bytes", `writeSync(4, Buffer.from([0, 0, 0, 14, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 65]))`],
    ["an unknown message", `frame({ type: "attach" })`],
    [
      "a call out of order",
      `frame({ type: "call", callId: 5, call: { kind: "wait.cancel", waitCallId: 1 } }); frame({ type: "call", callId: 5, call: { kind: "wait.cancel", waitCallId: 1 } })`,
    ],
    ["a call of unknown kind", `frame({ type: "call", callId: 5, call: { kind: "secrets" } })`],
    ["an end of its own", `frame({ type: "ended", end: { outcome: "succeeded" } })`],
  ])("is stopped when it sends %s on its pipe", async (_name, code) => {
    const ended = await guest.run(`
      import { writeSync } from "node:fs";
      const frame = (value: unknown) => { const body = Buffer.from(JSON.stringify(value)); const head = Buffer.alloc(5); head.writeUInt32BE(body.length + 1); writeSync(4, Buffer.concat([head, body])); };
      export const example = declare(async () => { ${code}; await new Promise((r) => setTimeout(r, 20_000)); });`);
    expect(ended).toMatchObject({ reason: "threw", detail: "program_protocol", signal: "SIGKILL" });
  });

  test("logs without end and is slowed down, not stored", async () => {
    const ended = await guest.run(
      `export const example = declare(() => { for (let n = 0; n < 20_000; n += 1) logger.info("entry", { n, text: "z".repeat(500) }); });`,
    );
    expect(ended.reason).toBe("returned");
    const lines = guest.host.text(guestStreams.logger).trim().split("\n");
    expect(lines).toHaveLength(20_000);
    expect(lines.every((line) => line.length < loggerLineBytesMax)).toBe(true);
    expect(JSON.parse(lines.at(-1) as string)).toMatchObject({ fields: { n: 19_999 } });
  });
});

describe("one at a time", () => {
  test("refuses a second run, and everything before attach", async () => {
    await guest.start(`export const example = declare(() => new Promise((r) => setTimeout(() => r(1), 1500)));`);
    const again = await guest.host.request({
      type: "run.start",
      run: { id: "r", attemptId: "other", attemptNumber: 1, leaseId: "l", sessionId: "s", taskId: "example" },
      module: "m",
      exportName: "e",
      payload: null,
      secrets: [],
      activeMs: 1000,
    });
    expect(again).toMatchObject({ type: "error", code: "busy" });
    expect(await guest.host.message("run.ended")).toMatchObject({ reason: "returned" });
    const bare = await testGuest();
    try {
      expect(await bare.host.refusal({ type: "sync", freeze: false })).toBe("not_attached");
      expect(await bare.host.refusal({ type: "file", operation: { kind: "stat", path: "." } })).toBe("not_attached");
    } finally {
      bare.dispose();
    }
  });

  test("a full disk is named as the reason of a failure", async () => {
    writeFileSync(join(guest.workspace, "unrelated"), "");
    const ended = await guest.run(`export const example = declare(() => { throw new Error("ENOSPC"); });`);
    // The host's own disk is not full: the reason stays what it is.
    expect(ended.reason).toBe("threw");
  });
});
