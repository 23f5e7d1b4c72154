/** Parked runs, on two workers with short windows: what a user sees of them, and what becomes of those that cannot come back. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFile, mkdir, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { until } from "@helmr/test/services";
import { guestCacheDirectory } from "@helmr/test/services/guest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parkTasks, type Step } from "../chaos/park-program.ts";
import { playSeed } from "../chaos/park-seed.ts";
import { TwoWorkers } from "../chaos/two-workers.ts";

const repository = join(import.meta.dirname, "..", "..");
const limits = { timeout: 600_000 };
let install: TwoWorkers;
beforeAll(async () => {
  install = await TwoWorkers.open();
  install.workers[0]!.start();
  await install.deploy(parkTasks);
}, 600_000);
afterAll(async () => {
  await install?.close();
}, 120_000);

const start = (steps: Step[], task = "keeps") => install.startRun(task, { steps, name: "e2e" });
const step = (wait: Step["wait"], ms?: number): Step => ({ wait, heapKiB: 500, ...(ms === undefined ? {} : { ms }) });
const parked = (runId: string) =>
  install.untilRun("the run is parked", runId, ({ state }) => state === "waiting" || state === "finished", 300_000);
const finished = (runId: string) => install.untilRun("the run ends", runId, ({ state }) => state === "finished", 300_000);
const all = { outcome: "succeeded", attempt_number: 1, output: { problems: [] } };

async function complete(runId: string, data: object): Promise<void> {
  const [token] = await install.pendingTokens(runId);
  await install.completeToken(token!, data);
}

describe("on one worker", () => {
  test("an approval, a timer and an input record come to a run that was parked; its machine was given back meanwhile", limits, async () => {
    const { runId, sessionId } = await start([step("token"), step("timer", 3_000), step("stream")]);
    expect(await parked(runId)).toMatchObject({ state: "waiting" });
    await until("its machine is gone", async () => (await install.monitors(0)).length === 0, 30_000);
    const { json: run } = await install.call("GET", `/api/runs/${runId}`);
    expect(run).toMatchObject({ status: "waiting", pending_wait: { kind: "token", status: "parked" } });
    const { json: session } = await install.call("GET", `/api/sessions/${sessionId}`);
    expect(session).toMatchObject({ activity: "waiting" });
    await complete(runId, { index: 0, at: Date.now() });
    await until(
      "the run waits for a record, parked",
      async () =>
        (await install.rows("select 1 from run_waits where run_id = $1 and kind = 'stream' and suspension = 'parked'", [runId])).length > 0,
      300_000,
    );
    const sent = await install.call("POST", `/api/sessions/${sessionId}/inputs/orders`, { data: { n: 1 } });
    expect(sent.status).toBe(201);
    expect(await finished(runId)).toMatchObject(all);
    const kinds = (await install.rows("select kind from run_events where run_id = $1 and kind not like 'log%' order by seq", [runId])).map(
      ({ kind }) => kind,
    );
    expect(kinds).toEqual([
      "run.created",
      ...Array.from({ length: 3 }, () => ["run_wait.created", "run_wait.completed"]).flat(),
      "run.completed",
    ]);
  });

  test("a parked run is cancelled where it is, and so is one whose session is cancelled", limits, async () => {
    const runs = await Promise.all([start([step("token")]), start([step("token")])]);
    for (const { runId } of runs) await parked(runId);
    expect(await install.call("POST", `/api/runs/${runs[0].runId}/cancel`, {})).toMatchObject({ json: { run: { status: "cancelled" } } });
    expect((await install.call("POST", `/api/sessions/${runs[1].sessionId}/cancel`, { reason: "enough" })).status).toBe(200);
    for (const { runId } of runs) expect(await install.runState(runId)).toMatchObject({ state: "finished", outcome: "cancelled" });
    expect(await install.rows("select 1 from checkpoints where state = 'ready'")).toEqual([]);
  });
});

describe("on two workers", () => {
  beforeAll(() => install.workers[1]!.start());

  test("a run goes on on another host: same process, same memory, same files", limits, async () => {
    const { runId } = await start([step("token"), step("token")]);
    await parked(runId);
    await install.workers[0]!.end("SIGTERM");
    await complete(runId, { index: 0, at: Date.now() });
    await install.untilRun("the other worker has it", runId, ({ worker }) => worker === "b", 300_000);
    await parked(runId);
    install.workers[0]!.start();
    await install.workers[1]!.end("SIGTERM");
    await complete(runId, { index: 1, at: Date.now() });
    expect(await finished(runId)).toMatchObject(all);
    install.workers[1]!.start();
  });

  test("a worker that is told to stop parks what waits before it goes", limits, async () => {
    const { runId } = await start([step("token")]);
    await install.untilRun("the run waits", runId, ({ state }) => state === "waiting" || state === "executing", 300_000);
    await until("its wait is open", async () => (await install.pendingTokens(runId)).length === 1, 120_000);
    await Promise.all(install.workers.map((worker) => worker.end("SIGTERM")));
    expect(await install.runState(runId)).toMatchObject({ state: "waiting" });
    for (const worker of install.workers) worker.start();
    await complete(runId, { index: 0, at: Date.now() });
    expect(await finished(runId)).toMatchObject(all);
  });

  test("two seeds of the property", limits, async () => {
    const results = await Promise.allSettled([playSeed(install, 1), playSeed(install, 2)]);
    expect(results.map((result) => (result.status === "rejected" ? String(result.reason) : "survived"))).toEqual(["survived", "survived"]);
    await install.end();
    expect(await install.invariants()).toEqual([]);
  });
});

/** Local copies do not help: what is in the store counts. */
async function forgetLocally(): Promise<void> {
  await Promise.all(install.workers.map((worker) => worker.end("SIGTERM")));
  for (const name of ["a", "b"]) {
    const state = join(install.directory, `worker-${name}`);
    for (const cache of ["checkpoints", "packs", "bases"]) await rm(join(state, cache), { recursive: true, force: true });
  }
}

describe("whose content key is rotated", () => {
  type Ring = Record<string, { id: string; key: string }[]>;

  test("is stored again under the new key, and comes back when the old one is gone", limits, async () => {
    await Promise.all(install.workers.map((worker) => worker.end("SIGTERM")));
    install.workers[0]!.start();
    const { runId } = await start([step("token")]);
    await parked(runId);
    await forgetLocally();
    const file = join(install.directory, "server", "keys.json");
    const ring = JSON.parse(await readFile(file, "utf8")) as Ring;
    const [old] = ring["content"]!;
    const fresh = { id: "k-new", key: randomBytes(32).toString("base64") };
    const restartWith = async (content: Ring[string]) => {
      await writeFile(file, JSON.stringify({ ...ring, content }), { mode: 0o600 });
      await install.server.restart();
    };
    await restartWith([fresh, old!]);
    const { PATH = "" } = process.env;
    const { stdout } = await promisify(execFile)(process.execPath, [join(repository, "packages/server/src/main/rotate-content.ts")], {
      env: { PATH, ...install.server.environment },
      timeout: 300_000,
    });
    const { remaining, unreadable } = JSON.parse(stdout) as Record<string, unknown>;
    expect({ unreadable, keys: Object.keys(remaining as object) }).toEqual({ unreadable: 0, keys: [fresh.id] });
    await restartWith([fresh]);
    install.workers[0]!.start();
    await complete(runId, { index: 0, at: Date.now() });
    expect(await finished(runId)).toMatchObject(all);
  });
});

describe("that cannot come back", () => {
  test("because a chunk was changed: the run fails and says so", limits, async () => {
    const { runId } = await start([step("token")]);
    await parked(runId);
    await forgetLocally();
    const [artifact] = await install.rows(
      "select p.object_key from checkpoints c join artifact_packs a on a.artifact_id = c.memory_artifact_id join packs p on p.id = a.pack_id where c.run_id = $1 limit 1",
      [runId],
    );
    const path = await findBlob(join(install.directory, "server", "blobs"), artifact!["object_key"]);
    const bytes = await readFile(path);
    bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] as number) ^ 0xff;
    await writeFile(path, bytes);
    install.workers[0]!.start();
    await complete(runId, { index: 0 });
    const state = await install.untilRun(
      "its restore has failed",
      runId,
      ({ attempt_number, state }) => state === "finished" || attempt_number > 1,
      300_000,
    );
    const events = await install.rows("select attributes from run_events where run_id = $1 and kind = 'run.execution_lost'", [runId]);
    expect({ state, events }).toMatchObject({ events: [{ attributes: { code: "checkpoint_corrupt" } }] });
    await install.call("POST", `/api/runs/${runId}/cancel`, { force: true });
  });
});

describe("after an upgrade of the guest", () => {
  /** As a release with another substrate prepares it: a byte that no file system looks at differs. */
  async function otherGuest(): Promise<string> {
    const place = join(install.directory, "other-guest");
    await mkdir(place, { recursive: true });
    const ingredients = JSON.parse(await readFile(join(guestCacheDirectory(), "ingredients.json"), "utf8")) as { substrate: string };
    const substrate = join(place, "substrate.ext4");
    await copyFile(ingredients.substrate, substrate);
    const file = await open(substrate, "r+");
    await file.write("another release", 0);
    await file.close();
    await writeFile(join(place, "ingredients.json"), JSON.stringify({ ...ingredients, substrate }));
    return place;
  }

  test(
    "a parked run is not given to a worker of the new one; it says what it waits for, and goes on at one of the old",
    limits,
    async () => {
      await Promise.all(install.workers.map((worker) => worker.end("SIGTERM")));
      install.workers[0]!.start();
      const { runId } = await start([step("token")]);
      await parked(runId);
      await install.workers[0]!.end("SIGTERM");
      install.workers[1]!.start({ HELMR_GUEST_DIR: await otherGuest() });
      await complete(runId, { index: 0 });
      let run: Record<string, unknown> = {};
      const needs = () => JSON.stringify(run["blocked"] ?? null).includes("can restore the run");
      await until(
        "it says what it waits for",
        async () => ((run = (await install.call("GET", `/api/runs/${runId}`)).json), needs()),
        120_000,
      );
      expect(await install.runState(runId)).toMatchObject({ state: "queued", attempt_number: 1 });
      install.workers[0]!.start();
      expect(await finished(runId)).toMatchObject(all);
      await install.workers[1]!.end("SIGTERM");
    },
  );
});

describe("a day later", () => {
  test("on a host that is new to it, after server and workers were away: the same process, and its clock is right", limits, async () => {
    if (!install.workers[0]!.running) install.workers[0]!.start();
    await install.workers[1]!.end("SIGTERM");
    const { runId, sessionId } = await start([step("stream")]);
    await parked(runId);
    await Promise.all(install.workers.map((worker) => worker.end("SIGTERM")));
    await install.server.end("SIGKILL");

    const day = 86_400_000;
    const tomorrow = await install.moveClocks(day);
    install.server.start(tomorrow);
    install.workers[1]!.start(tomorrow);
    const [clock] = await install.rows("select extract(epoch from now())::float8 * 1000 as ms");
    expect(Math.abs(clock!["ms"] - Date.now() - day)).toBeLessThan(60_000);
    // The program compares its clock with the one of the sender.
    const sent = await install.call("POST", `/api/sessions/${sessionId}/inputs/orders`, { data: { n: 1, at: Date.now() + day } });
    expect(sent.status).toBe(201);
    expect(await finished(runId)).toMatchObject(all);
    // Leases that ended a day ago are forgotten.
    const places = await install.rows(
      `select made.name as parked, taken.name as resumed from checkpoints c join workers made on made.id = c.worker_id
         join leases l on l.run_id = c.run_id join workers taken on taken.id = l.worker_id where c.run_id = $1`,
      [runId],
    );
    expect(places).toEqual([{ parked: "a", resumed: "b" }]);
    await install.end();
    expect(await install.invariants()).toEqual([]);
  });
});

async function findBlob(directory: string, key: string): Promise<string> {
  const name = key.slice(key.lastIndexOf("/") + 1);
  for (const entry of await readdir(directory, { recursive: true })) {
    const path = join(directory, entry);
    if (entry.endsWith(name) && (await stat(path)).isFile()) return path;
  }
  throw new TypeError(`No blob ${key} in ${directory}`);
}
