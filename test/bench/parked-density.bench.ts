/**
 * What parked runs cost the control plane: many of them (10,000), parked over the real wire by a worker without machines, whose cuts have no bytes. What one
 * costs in the blob store is `park`'s to say. Afterwards: memory of the server, size of the database, and how long a claim and a completion take beside
 * all of them.
 */
import { readFile } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { deployProject, fakeFacts, fakeWorker, type FakeWorker, newArtifact } from "@helmr/test/platform";
import { type RunLease, workerRestores } from "@helmr/protocol/worker";
import pg from "pg";
import { startInstall } from "./install.ts";
import type { Benchmark } from "./measure.ts";

const atOnce = 16;

export const benchmark: Benchmark = {
  measures: "10,000 parked runs on one control plane: memory, database, and the time a token takes to bring one of them back",
  async run(args) {
    const count = Number(args[0] ?? 10_000);
    const install = await startInstall({ server: { HELMR_WAIT_LIVE_MS: "0" } });
    const pool = new pg.Pool({ connectionString: install.databaseUrl, max: 1 });
    try {
      await deployProject(install);
      const worker = await fakeWorker({
        url: install.url,
        enrollmentSecret: install.enrollmentSecret,
        claims: false,
        capacity: { slots: 64 },
      });
      const before = await costs(install.pids.server, pool);
      const began = performance.now();
      const tokens = await parkMany(install.api, worker, count);
      const seconds = (performance.now() - began) / 1_000;
      const after = await costs(install.pids.server, pool);
      const back: number[] = [];
      for (const id of tokens.slice(0, 50)) {
        const since = performance.now();
        await install.api.call("POST", `/api/tokens/${id}/complete`, { body: { data: null } });
        const [lease] = await worker.claim({ kinds: ["run"], wait_ms: 10_000 });
        back.push(performance.now() - since);
        if (lease?.kind !== "run" || lease.checkpoint === null) throw new TypeError("The run did not come back with its checkpoint");
      }
      await worker.stop();
      return [
        { name: "parked-runs", unit: "runs", samples: [tokens.length], target: "≥ 10,000", met: tokens.length >= 10_000 },
        { name: "parks-per-second", unit: "runs/s", samples: [count / seconds] },
        { name: "server-memory-per-parked-run", unit: "KiB", samples: [(after.memoryKib - before.memoryKib) / count] },
        { name: "database-per-parked-run", unit: "KiB", samples: [(after.databaseKib - before.databaseKib) / count] },
        { name: "token-to-resume-lease", unit: "ms", samples: back },
      ];
    } finally {
      await pool.end();
      await install.close();
    }
  },
};

type Api = Awaited<ReturnType<typeof startInstall>>["api"];

async function parkMany(api: Api, worker: FakeWorker, count: number): Promise<string[]> {
  const tokens: string[] = [];
  for (let done = 0; done < count; done += atOnce) {
    const started = Array.from({ length: Math.min(atOnce, count - done) }, () =>
      api.call("POST", "/api/sessions", { body: { task_id: "hello", payload: null } }),
    );
    await Promise.all(started);
    let open = started.length;
    while (open > 0) {
      const leases = await worker.claim({ kinds: ["run"], wait_ms: 5_000 });
      const runs = leases.filter((lease) => lease.kind === "run");
      tokens.push(...(await Promise.all(runs.map((lease) => parkOne(worker, lease)))));
      open -= runs.length;
    }
  }
  return tokens;
}

async function parkOne(worker: FakeWorker, lease: RunLease): Promise<string> {
  const { run } = lease;
  const held = { lease_id: lease.lease_id, fence: lease.fence, attempt_id: run.attempt_id };
  await worker.post("attemptStarted", held, run.id);
  const created = await worker.post("call", { ...held, call_id: 1, call: { kind: "token.create" } }, run.id);
  if (created.state !== "answered") throw new TypeError(`No token: ${JSON.stringify(created)}`);
  const { id } = created.value as { id: string };
  const on = { kind: "token" as const, token_id: id };
  const waiting = await worker.post("call", { ...held, call_id: 2, call: { kind: "wait", on, parkable: true } }, run.id);
  if (waiting.state !== "waiting") throw new TypeError(`No wait: ${JSON.stringify(waiting)}`);
  const artifact = () => newArtifact(run.org_id);
  const parked = await worker.post(
    "park",
    {
      ...held,
      wait_id: waiting.wait_id,
      checkpoint_id: randomUUID(),
      active_ms: 1,
      report_through: 0,
      compatibility: {},
      requires: workerRestores(fakeFacts),
      resume_state: {},
      template: artifact(),
      memory: artifact(),
      device: artifact(),
      scratch: artifact(),
      workspace: { status: "captured", version_id: randomUUID(), artifact: artifact(), size_bytes: 0, entry_count: 0 },
      key_id: "k",
      stored_bytes: 1,
      pause_ms: 1,
    },
    run.id,
  );
  if (parked.state !== "parked") throw new TypeError(`Not parked: ${JSON.stringify(parked)}`);
  (worker.held as Map<string, unknown>).delete(lease.lease_id);
  return id;
}

async function costs(pid: number, pool: pg.Pool): Promise<{ memoryKib: number; databaseKib: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const { rows } = await pool.query<{ size: string }>("select pg_database_size(current_database()) as size");
  return { memoryKib: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]), databaseKib: Number(rows[0]!.size) / 1024 };
}
