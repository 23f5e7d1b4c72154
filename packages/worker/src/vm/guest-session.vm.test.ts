/** The release guest in real machines, spoken to over the guest protocol alone: no control plane, no leases, no store. */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFile, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type BuildResult, buildResult, type GuestMessage, guestStreams, type RunEnded } from "@helmr/protocol/guest";
import { guestCacheDirectory, guestIngredients } from "@helmr/test/services/guest";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { GuestLink, type HostRequest } from "../guest/guest-link.ts";
import type { Machine, MachineDisk, MachineSpec, Template } from "./driver.ts";
import { QemuDriver } from "./qemu/driver.ts";

const mib = 1024 * 1024;
const answerMs = 60_000;

let driver: QemuDriver;
let template: Template;
let home: string;
/** Disk with the compiled tasks below. */
let taskDisk: string;
let modules: Map<string, string>;
const sessions: Session[] = [];

/** The projects built here use it; this test does not. */
const sdk = "@helmr/sdk";
const tasks = `
import { execSync, spawn } from "node:child_process";
import nodeCrypto, { randomInt, randomUUID } from "node:crypto";
import { promisify } from "node:util";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { logger, sandbox, task, timers } from "${sdk}";
const box = sandbox("box");
const declare = (id: string, run: (payload: any, ctx: any) => unknown) => task({ id, sandbox: box, run: (ctx: any) => run(undefined, ctx) } as never);
const started = Math.random();

export const facts = declare("facts", () => {
  console.log("from console");
  execSync("echo from a child; echo reopened > /dev/stdout; echo to stderr >&2", { stdio: "inherit" });
  logger.info("noted");
  return { cwd: process.cwd(), uid: process.getuid!(), pid: process.pid, environment: { ...process.env }, init: readFileSync("/proc/1/comm", "utf8").trim() };
});
export const secrets = declare("secrets", () => ["config/key", "/srv/deep/cert"].map((path) => [readFileSync(path, "utf8"), (statSync(path).mode & 0o777).toString(8)]));
export const waits = declare("waits", async () => {
  const state = { started, pid: process.pid };
  console.log("before");
  await timers.waitFor({ seconds: 600 });
  console.log("after");
  return { same: state.started === started && state.pid === process.pid, year: new Date().getUTCFullYear() };
});
const draw = async () => ({
  math: Math.random(),
  uuid: randomUUID(),
  webUuid: crypto.randomUUID(),
  int: randomInt(2 ** 47),
  bytes: nodeCrypto.randomBytes(16).toString("hex"),
  values: Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex"),
  pooled: (await promisify(nodeCrypto.randomBytes)(16)).toString("hex"),
  key: nodeCrypto.generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }).x,
});
export const draws = declare("draws", async () => {
  // What a process keeps ahead is there when it is parked.
  for (let n = 0; n < 5; n += 1) await draw();
  await timers.waitFor({ seconds: 600 });
  return draw();
});
export const leaves = declare("leaves", () => {
  spawn("sh", ["-c", "(setsid sleep 600 &); while :; do sleep 0.2; done"], { detached: true, stdio: "inherit" }).unref();
  return "left";
});
export const eats = declare("eats", () => {
  const kept: Buffer[] = [];
  for (;;) kept.push(Buffer.alloc(16 * 1024 * 1024, 1));
});
export const fills = declare("fills", () => {
  for (let n = 0; ; n += 1) writeFileSync("big-" + n, Buffer.alloc(4 * 1024 * 1024, n));
});
export const hangs = declare("hangs", () => {
  console.log("busy");
  for (;;) {}
});
export const idles = declare("idles", async () => {
  mkdirSync("docs");
  writeFileSync("docs/note", "written by the task");
  console.log("idle");
  await timers.waitFor({ seconds: 600 });
});
`;

class Session {
  readonly machine: Machine;
  readonly link: GuestLink;
  readonly spec: MachineSpec;
  readonly messages: GuestMessage[] = [];
  private readonly texts = new Map<number, string>();
  private readonly watchers = new Set<() => void>();

  /** `predecessor`: the session of the machine that was parked, which has taken some of the streams. */
  constructor(machine: Machine, spec: MachineSpec, predecessor?: Session) {
    this.machine = machine;
    this.spec = spec;
    this.link = new GuestLink(machine.control);
    for (const type of ["run.started", "run.ended", "program.call", "process.ended", "build.phase", "fenced"] as const) {
      this.link.on(type, (message) => {
        this.messages.push(message);
        this.notify();
      });
    }
    for (const stream of Object.values(guestStreams)) this.listen(stream, predecessor?.text(stream).length);
    sessions.push(this);
  }

  listen(stream: number, from = 0): void {
    let next = from;
    const data = (bytes: Uint8Array) => {
      this.texts.set(stream, this.text(stream) + Buffer.from(bytes).toString("latin1"));
      next += bytes.length;
      this.link.acknowledge(stream, next);
      this.notify();
    };
    this.link.receiveStream(stream, { data, end: () => this.notify() }, from);
  }

  text(stream: number): string {
    return this.texts.get(stream) ?? "";
  }

  request(message: HostRequest): Promise<unknown> {
    return this.link.request(message, answerMs);
  }

  attach(change: Partial<Extract<HostRequest, { type: "attach" }>> = {}): Promise<unknown> {
    const { workspace, task } = this.spec.disks;
    return this.request({
      type: "attach",
      resumed: false,
      clock: { unixUs: Date.now() * 1000, entropy: randomBytes(64).toString("base64") },
      hostname: "session",
      leaseMs: 300_000,
      disks: { scratch: "disk", workspace: workspace === undefined ? null : { path: "/workspace" }, task: task !== undefined },
      image: { env: { PATH: "/usr/local/bin:/usr/bin:/bin", OF_IMAGE: "yes", LD_PRELOAD: "/never.so" }, workdir: "/", user: "root" },
      environment: { OF_INSTALL: "yes" },
      network: { enabled: false },
      ...change,
    });
  }

  start(task: string, change: Partial<Extract<HostRequest, { type: "run.start" }>> = {}): Promise<unknown> {
    return this.request({
      type: "run.start",
      run: { id: "run", attemptId: "attempt", attemptNumber: 1, leaseId: "lease", sessionId: "session", taskId: task },
      module: modules.get(task) ?? "",
      exportName: task,
      payload: {},
      secrets: [],
      activeMs: 120_000,
      ...change,
    });
  }

  async message<T extends GuestMessage["type"]>(type: T): Promise<Extract<GuestMessage, { type: T }>> {
    await this.until(() => this.messages.some((message) => message.type === type), type);
    return this.messages.find((message) => message.type === type) as Extract<GuestMessage, { type: T }>;
  }

  async run(task: string, change: Parameters<Session["start"]>[1] = {}): Promise<RunEnded> {
    await this.start(task, change);
    return this.message("run.ended");
  }

  async exec(
    command: string[],
    options: { terminal?: { cols: number; rows: number } } = {},
  ): Promise<{ processId: number; output: () => string }> {
    const processId = (execs += 1);
    const [stdin, stdout, stderr] = [1000 + processId * 10, 1001 + processId * 10, 1002 + processId * 10] as const;
    this.listen(stdout);
    this.listen(stderr);
    const streams = options.terminal === undefined ? { stdin, stdout, stderr } : { stdin, stdout };
    await this.request({ type: "process.start", processId, command, cwd: "/workspace", env: {}, streams, ...options });
    return { processId, output: () => this.text(stdout) };
  }

  async ended(processId: number): Promise<Extract<GuestMessage, { type: "process.ended" }>> {
    const matches = (message: GuestMessage) => message.type === "process.ended" && message.processId === processId;
    await this.until(() => this.messages.some(matches), `the end of process ${processId}`);
    return this.messages.find(matches) as Extract<GuestMessage, { type: "process.ended" }>;
  }

  until(condition: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.watchers.delete(check);
        reject(new Error(`${what} did not come; stderr: ${this.text(guestStreams.stderr)}; ${JSON.stringify(this.messages.slice(-3))}`));
      }, answerMs);
      const check = () => {
        if (!condition()) return;
        clearTimeout(timer);
        this.watchers.delete(check);
        resolve();
      };
      this.watchers.add(check);
      check();
    });
  }

  private notify(): void {
    for (const watcher of this.watchers) watcher();
  }
}

let execs = 0;

function emptyDisk(path: string, sizeMib: number): MachineDisk {
  writeFileSync(path, "");
  truncateSync(path, sizeMib * mib);
  execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", path]);
  return { path, format: "raw", readOnly: false, sizeBytes: sizeMib * mib };
}

async function open(change: Partial<MachineSpec> = {}, workspaceMib = 64): Promise<Session> {
  const directory = await mkdtemp(join(home, "machine-"));
  const id = directory.slice(directory.lastIndexOf("/") + 1);
  const disks = {
    scratch: emptyDisk(join(directory, "scratch.raw"), 256),
    workspace: emptyDisk(join(directory, "workspace.raw"), workspaceMib),
    ...(taskDisk === undefined
      ? {}
      : { task: { path: taskDisk, format: "raw" as const, readOnly: true, sizeBytes: (await stat(taskDisk)).size } }),
  };
  const spec: MachineSpec = { id, directory, template, disks, limits: { milliCpu: 2000 }, snapshotable: false, ...change };
  return new Session(await driver.start(spec, AbortSignal.timeout(60_000)), spec);
}

/** Builds the tasks above the way a deployment does; the machine's workspace disk becomes the task disk. */
async function buildTasks(): Promise<BuildResult> {
  const session = await open({}, 256);
  await session.attach({ disks: { scratch: "disk", workspace: { path: "/opt/helmr-task" }, task: false } });
  const files = {
    "package.json": JSON.stringify({ name: "p", type: "module", packageManager: "npm@11.0.0", dependencies: { [sdk]: "0.1.0" } }),
    "helmr.config.ts": `import { defineConfig } from "${sdk}"; export default defineConfig({ project: "p", dirs: ["./tasks"] });`,
    "tasks/all.ts": tasks,
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(home, "source", path)), { recursive: true });
    writeFileSync(join(home, "source", path), text);
  }
  const tar = execFileSync("tar", ["-C", join(home, "source"), "-cf", "-", "."]);
  const answer = session.request({
    type: "build.start",
    sourceStream: 20,
    sourceBytes: tar.length,
    installDependencies: true,
    timeoutMs: 120_000,
  });
  await session.link.sendStream(
    20,
    (async function* () {
      yield tar;
    })(),
  );
  const result = buildResult.parse(await answer);
  await session.machine.stop();
  taskDisk = join(home, "task.raw");
  await copyFile((session.spec.disks.workspace as MachineDisk).path, taskDisk);
  return result;
}

beforeAll(async () => {
  const { kernel, initramfs, substrate, baseImage, monitorTools } = await guestIngredients("release");
  const cache = guestCacheDirectory();
  home = await mkdtemp(join(tmpdir(), "helmr-session-"));
  driver = new QemuDriver({
    stateDirectory: join(cache, "driver"),
    probe: { kernel, initramfs },
    tools: monitorTools,
    cgroupName: `helmr-session-${process.pid}`,
  });
  const spec = { kernel, initramfs, substrate, image: baseImage.path, shape: { vcpus: 1, memoryMib: 512 } };
  const directory = join(home, "template");
  await mkdir(directory);
  template = await driver.createTemplate(spec, directory, AbortSignal.timeout(120_000));
  const result = await buildTasks();
  expect(result.status === "failed" ? result.failure : result.status).toBe("built");
  if (result.status === "built") modules = new Map(result.index.tasks.map((task) => [task.id, task.module]));
});
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.machine.stop();
});
afterAll(async () => {
  await driver?.close();
  if (home !== undefined) await rm(home, { recursive: true, force: true });
});

describe("a run in a real guest", () => {
  test("works as the image's user in the workspace, and everything it prints arrives", async () => {
    const session = await open();
    await session.attach({
      image: { env: { PATH: "/usr/local/bin:/usr/bin:/bin", OF_IMAGE: "yes", LD_PRELOAD: "/never.so" }, workdir: "/", user: "1234:1234" },
    });
    const ended = await session.run("facts", { secrets: [{ name: "KEY", env: "KEY", value: "v" }] });
    expect(ended).toMatchObject({ reason: "returned", exitCode: 0 });
    const facts = JSON.parse(ended.output?.json ?? "") as { environment: Record<string, string> };
    expect(facts).toMatchObject({ cwd: "/workspace", uid: 1234, init: "init" });
    expect(facts.environment).toEqual({
      PATH: "/usr/local/bin:/usr/bin:/bin",
      OF_IMAGE: "yes",
      OF_INSTALL: "yes",
      KEY: "v",
      HOME: "/",
      USER: "1234",
      LOGNAME: "1234",
      PWD: "/workspace",
    });
    expect(session.text(guestStreams.stdout)).toBe("from console\nfrom a child\nreopened\n");
    expect(session.text(guestStreams.stderr)).toBe("to stderr\n");
    expect(JSON.parse(session.text(guestStreams.logger))).toMatchObject({ level: "info", message: "noted" });
    expect(ended.usage.memoryPeakBytes).toBeGreaterThan(10 * mib);
    expect(ended.usage.workspaceSizeBytes).toBeGreaterThan(40 * mib);
  });

  test("reads its secrets as files, and neither they nor their places are on the workspace's disk afterwards", async () => {
    const session = await open();
    await session.attach();
    const ended = await session.run("secrets", {
      secrets: [
        { name: "KEY", file: "config/key", value: "the-key-in-the-workspace" },
        { name: "CERT", file: "/srv/deep/cert", mode: "0644", value: "cert" },
      ],
    });
    expect(ended.message).toBeUndefined();
    expect(JSON.parse(ended.output?.json ?? "")).toEqual([
      ["the-key-in-the-workspace", "600"],
      ["cert", "644"],
    ]);
    await session.request({ type: "sync", freeze: true });
    await session.machine.stop();
    const { path } = session.spec.disks.workspace as MachineDisk;
    expect(execFileSync("debugfs", ["-R", "ls -p /", path], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })).not.toContain(
      "config",
    );
    expect(spawnSync("grep", ["-a", "the-key-in-the-workspace", path]).stdout.toString("latin1")).toBe("");
  });

  test("leaves nothing running, however it was detached", async () => {
    const session = await open();
    await session.attach();
    expect(await session.run("leaves")).toMatchObject({ reason: "returned" });
    const look = await session.exec(["sh", "-c", "cat /proc/[0-9]*/comm | sort | uniq -c; true"]);
    await session.ended(look.processId);
    expect(look.output()).not.toMatch(/sleep/);
  });

  test("that needs too much memory is told from one that is killed", async () => {
    const session = await open();
    await session.attach();
    expect(await session.run("eats")).toMatchObject({ reason: "out_of_memory", signal: "SIGKILL" });
    // The supervisor and the machine go on.
    expect(await session.request({ type: "ping" })).toBeUndefined();
  });

  test("that fills its disk says so", async () => {
    const session = await open();
    await session.attach();
    expect(await session.run("fills")).toMatchObject({ reason: "disk_full", exitCode: 1 });
  });

  test("that never yields is cancelled by force, and fenced when the lease ends", async () => {
    const session = await open();
    await session.attach();
    await session.start("hangs");
    await session.until(() => session.text(guestStreams.stdout).includes("busy"), "its first line");
    await session.request({ type: "run.cancel", force: true, reason: "", graceMs: 0 });
    expect(await session.message("run.ended")).toMatchObject({ reason: "cancelled", signal: "SIGKILL" });
    const second = await open();
    await second.attach();
    await second.start("hangs");
    await second.until(() => second.text(guestStreams.stdout).includes("busy"), "its first line");
    second.link.notify({ type: "lease.extend", leaseMs: 200 });
    await second.message("fenced");
    expect(await second.message("run.ended")).toMatchObject({ reason: "lease_expired" });
  });

  test("starts in a machine that has rehearsed, more than once", async () => {
    const session = await open();
    await session.request({ type: "rehearse" });
    await session.request({ type: "rehearse" });
    await session.attach();
    expect(await session.run("facts")).toMatchObject({ reason: "returned" });
  });
});

describe("beside a run", () => {
  test("execs and terminals work in its workspace", async () => {
    const session = await open();
    await session.attach();
    await session.start("idles");
    await session.until(() => session.text(guestStreams.stdout).includes("idle"), "its line");
    const shell = await session.exec(["sh"], { terminal: { cols: 100, rows: 30 } });
    const type = (text: string, offset: number) => session.machine.control.write(bytesOf(1000 + shell.processId * 10, offset, text));
    type("stty size; cat docs/note; tty\n", 0);
    await session.until(() => /30 100[\s\S]*written by the task[\s\S]*\/dev\/pts/.test(shell.output()), "the answers of the shell");
    await session.request({ type: "process.resize", processId: shell.processId, cols: 120, rows: 40 });
    type("stty size; exit 7\n", 30);
    expect(await session.ended(shell.processId)).toMatchObject({ exitCode: 7, signal: null });
    expect(shell.output()).toContain("40 120");
    const sleeper = await session.exec(["sleep", "600"]);
    await session.request({ type: "process.signal", processId: sleeper.processId, signal: "SIGTERM" });
    expect(await session.ended(sleeper.processId)).toMatchObject({ exitCode: null, signal: "SIGTERM" });
    await expect(session.exec(["no-such-command"])).rejects.toThrow("no-such-command was not found on PATH");
  });

  test("its files are read and written, and nothing outside of the workspace is", async () => {
    const session = await open();
    await session.attach();
    await session.start("idles");
    await session.until(() => session.text(guestStreams.stdout).includes("idle"), "its line");
    const list = await session.request({ type: "file", operation: { kind: "list", path: ".", limit: 10 } });
    expect(list).toMatchObject({ entries: [{ path: "docs", kind: "directory" }, { path: "lost+found" }] });
    session.listen(500);
    await session.request({ type: "file", operation: { kind: "read", path: "docs/note", start: 0, stream: 500 } });
    await session.until(() => session.text(500) === "written by the task", "the file");
    const link = await session.exec(["sh", "-c", "ln -s /etc/passwd out; ln -s docs/note in; id -u"]);
    await session.ended(link.processId);
    await expect(session.request({ type: "file", operation: { kind: "read", path: "out", start: 0, stream: 501 } })).rejects.toThrow(
      "leaves the tree",
    );
    session.listen(502);
    await session.request({ type: "file", operation: { kind: "read", path: "in", start: 11, stream: 502 } });
    await session.until(() => session.text(502) === "the task", "the end of the file");
  });
});

describe("a parked machine", () => {
  interface Cut {
    session: Session;
    directory: string;
    disks: MachineSpec["disks"];
    snapshot: Awaited<ReturnType<Machine["snapshot"]>>;
    call: Extract<GuestMessage, { type: "program.call" }>;
  }

  async function park(task: string): Promise<Cut> {
    const session = await open({ snapshotable: true });
    await session.attach();
    await session.start(task);
    const call = await session.message("program.call");
    await session.request({ type: "park.prepare" });
    const directory = await mkdtemp(join(home, "machine-"));
    const disks = await copied(session.spec.disks, directory, { copy: false });
    const snapshot = await session.machine.snapshot(
      join(directory, "snapshot"),
      async () => void (await copied(session.spec.disks, directory)),
    );
    await session.machine.stop();
    return { session, directory, disks, snapshot, call };
  }

  async function copied(
    disks: MachineSpec["disks"],
    directory: string,
    { copy }: { copy: boolean } = { copy: true },
  ): Promise<MachineSpec["disks"]> {
    const moved: MachineSpec["disks"] = { ...disks };
    for (const slot of ["scratch", "workspace"] as const) {
      const disk = disks[slot] as MachineDisk;
      moved[slot] = { ...disk, path: join(directory, `${slot}.raw`) };
      if (copy) await copyFile(disk.path, moved[slot].path);
    }
    return moved;
  }

  async function restore({ session, directory, disks, snapshot }: Cut): Promise<Session> {
    const spec: MachineSpec = { ...session.spec, id: directory.slice(directory.lastIndexOf("/") + 1), directory, disks };
    const restored = new Session(await driver.restore(spec, snapshot, AbortSignal.timeout(60_000)), spec, session);
    await restored.attach({ resumed: true, disks: undefined });
    return restored;
  }

  async function answered(restored: Session, { call }: Cut): Promise<RunEnded> {
    expect(await restored.message("program.call")).toEqual(call);
    const outcome = { ok: true, value: { kind: "timer", status: "completed" } } as const;
    restored.link.notify({ type: "program.answer", callId: call.callId, outcome });
    return restored.message("run.ended");
  }

  test("goes on in another one: same process, same memory, nothing printed twice", async () => {
    const cut = await park("waits");
    expect(cut.session.text(guestStreams.stdout)).toBe("before\n");
    const restored = await restore(cut);
    const ended = await answered(restored, cut);
    expect(JSON.parse(ended.output?.json ?? "")).toEqual({ same: true, year: new Date().getUTCFullYear() });
    expect(restored.text(guestStreams.stdout)).toBe("after\n");
    expect(ended.streams.stdout).toBe("before\nafter\n".length);
  });

  test("draws other random numbers each time it is restored, of every kind that Node has", async () => {
    const cut = await park("draws");
    const directory = await mkdtemp(join(home, "machine-"));
    const snapshot = { memory: join(directory, "memory"), device: join(directory, "device") };
    for (const part of ["memory", "device"] as const) await copyFile(cut.snapshot[part], snapshot[part]);
    const twin: Cut = { ...cut, directory, disks: await copied(cut.disks, directory), snapshot: { ...cut.snapshot, ...snapshot } };
    const drawn: Record<string, unknown>[] = [];
    for (const each of [cut, twin]) {
      const restored = await restore(each);
      const ended = await answered(restored, each);
      drawn.push(JSON.parse(ended.output?.json ?? "") as Record<string, unknown>);
      await restored.machine.stop();
    }
    const same = Object.keys(drawn[0] ?? {}).filter((kind) => drawn[0]?.[kind] === drawn[1]?.[kind]);
    expect({ kinds: Object.keys(drawn[0] ?? {}).length, same }).toEqual({ kinds: 8, same: [] });
  });
});

function bytesOf(stream: number, offset: number, text: string): Uint8Array {
  const data = Buffer.from(text);
  const frame = Buffer.alloc(17 + data.length);
  frame.writeUInt32BE(13 + data.length);
  frame[4] = 1;
  frame.writeUInt32BE(stream, 5);
  frame.writeBigUInt64BE(BigInt(offset), 9);
  data.copy(frame, 17);
  return frame;
}
