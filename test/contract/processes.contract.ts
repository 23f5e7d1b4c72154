/** The server as an install with several processes has it: two control planes, two dispatchers, a migration task; hints travel between them. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureLocalInstall, newEnrollmentSecret, openParts, readConfig, telemetryTo } from "@helmr/server";
import { deployProject, type FakeWorker, fakeWorker, type WireClient, wireClient } from "@helmr/test/platform";
import { brokenInvariants, type TestDatabase, testDatabase, until } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { collect } from "./api-fixture.ts";

const main = join(import.meta.dirname, "..", "..", "packages", "server", "src", "main");
const enrollmentSecret = newEnrollmentSecret();
let database: TestDatabase;
let directory: string;
let keyFile: string;
const children: ChildProcess[] = [];
const clients: WireClient[] = [];

interface Running {
  child: ChildProcess;
  url: string;
  output: () => string;
}

async function start(name: string, port = 0): Promise<Running> {
  const child = spawn(process.execPath, [join(main, `${name}.ts`)], {
    env: {
      PATH: process.env["PATH"],
      HELMR_DATABASE_URL: database.url,
      HELMR_STATE_DIR: directory,
      HELMR_KEY_FILE: keyFile,
      HELMR_ENROLLMENT_SECRET: enrollmentSecret,
      HELMR_PUBLIC_URL: "http://localhost:1",
      PORT: String(port),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (data: Buffer) => (output += data.toString()));
  return { child, url: `http://127.0.0.1:${port}`, output: () => output };
}

async function startControlPlane(): Promise<Running> {
  const running = await start("control-plane", await freePort());
  const client = wireClient(running.url);
  await until(
    `the control plane is ready: ${running.output()}`,
    async () => (await client.call("GET", "/readyz").catch(() => undefined))?.status === 200,
    20_000,
  );
  client.close();
  return running;
}

async function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

const exit = (child: ChildProcess) =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise((resolve) => child.once("exit", resolve));

let planes: Running[];
let apis: WireClient[];
let worker: FakeWorker;

beforeAll(async () => {
  database = await testDatabase();
  directory = await mkdtemp(join(tmpdir(), "helmr-processes-"));
  keyFile = join(directory, "keys.json");
  // The local mode makes the key file; the processes under test only read it.
  const config = readConfig({ HELMR_DATABASE_URL: database.url, HELMR_STATE_DIR: directory, HELMR_MODE: "local" });
  const parts = await openParts(config, { telemetry: telemetryTo(), shared: false });
  const install = await ensureLocalInstall({ ...parts.accounts, publicUrl: config.publicUrl }, undefined);
  await parts.close();
  planes = await Promise.all([startControlPlane(), startControlPlane()]);
  await Promise.all([start("dispatcher"), start("dispatcher")]);
  apis = planes.map((plane) => wireClient(plane.url, { bearer: install.apiKey }));
  clients.push(...apis);
  await deployProject({ api: apis[0]!, url: planes[0]!.url, enrollmentSecret });
  worker = await fakeWorker({ url: planes[1]!.url, enrollmentSecret, claims: false });
});
afterAll(async () => {
  await worker?.stop();
  for (const client of clients) client.close();
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map(exit));
  await rm(directory, { recursive: true, force: true });
  await database.drop();
});

describe("two control planes", () => {
  test("a start at one wakes a claim that waits at the other", async () => {
    const waiting = worker.claim({ kinds: ["run"], wait_ms: 30_000 });
    await until("the claim waits", async () => (await apis[1]!.call("GET", "/healthz")).status === 200);
    const begun = performance.now();
    const started = await apis[0]!.call("POST", "/api/sessions", { body: { task_id: "hello" } });
    const [lease] = await waiting;
    expect(lease?.kind === "run" && lease.run.id).toBe(started.json.run.id);
    expect(performance.now() - begun).toBeLessThan(2_000);
    if (lease?.kind !== "run") return;
    const run = worker.take(lease);
    await run.started();
    const api = { plane: { api: apis[0]! } } as never;
    const followed = collect(api, `/api/runs/${lease.run.id}/events`);
    await run.complete({ status: "succeeded", exit_code: 0 });
    const completed = performance.now();
    expect((await followed).events.at(-1)?.data.kind).toBe("run.completed");
    expect(performance.now() - completed).toBeLessThan(2_000);
  });
});

describe("dispatchers", () => {
  test("one leads each loop; when it is killed the other takes over", async () => {
    // Which of the two leads is not seen from outside; so each is killed once, the first after a third has joined.
    const dispatchers = children.filter((child) => child.spawnargs.some((argument) => argument.endsWith("dispatcher.ts")));
    await start("dispatcher");
    for (const dispatcher of dispatchers) {
      dispatcher.kill("SIGKILL");
      const { json } = await apis[0]!.call("POST", "/api/sessions", { body: { task_id: "hello", ttl: "10ms" } });
      await until(
        "the run expires",
        async () => (await apis[1]!.call("GET", `/api/runs/${json.run.id}`)).json.status === "expired",
        20_000,
      );
    }
  });
});

describe("stopping", () => {
  test("SIGTERM ends a control plane in order, with a long poll and a stream open", async () => {
    const plane = await startControlPlane();
    const api = wireClient(plane.url, { bearer: "" });
    clients.push(api);
    const idle = await fakeWorker({ url: plane.url, enrollmentSecret, claims: false });
    const poll = idle.claim({ kinds: ["run"], wait_ms: 60_000 }).catch(() => []);
    await until("the poll waits", async () => (await api.call("GET", "/healthz")).status === 200);
    plane.child.kill("SIGTERM");
    expect(await exit(plane.child)).toBe(0);
    await poll;
    idle.kill();
    expect(plane.output()).toContain('"event":"stopped"');
  });

  test("the whole left a sound state behind", async () => {
    expect(await brokenInvariants(database.url)).toEqual([]);
  });
});

test("migrate says what it applied; a bad configuration says everything at once", async () => {
  const migrating = await start("migrate");
  expect(await exit(migrating.child)).toBe(0);
  expect(JSON.parse(migrating.output())).toEqual({ applied: [] });
  const child = spawn(process.execPath, [join(main, "control-plane.ts")], {
    env: { PATH: process.env["PATH"], PORT: "x" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let output = "";
  child.stderr.on("data", (data: Buffer) => (output += data.toString()));
  expect(await exit(child)).toBe(2);
  expect(output).toMatch(/HELMR_DATABASE_URL is not set[^]*PORT must be an integer/);
  expect(await readFile(keyFile, "utf8")).toContain("secrets");
});
