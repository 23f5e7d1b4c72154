/**
 * Streams, waits and tokens with little and with much history: a session with a handful of records against one with a million, a handful of tokens against a
 * million in one environment. Both sides are measured in the same run; the ratio of the medians is what counts. History is made in SQL.
 */
import type { RunLease, WorkerBody, WorkerResponse } from "@helmr/protocol/worker";
import { deployProject, fakeWorker, type FakeWorker } from "@helmr/test/platform";
import { until } from "@helmr/test/services";
import pg from "pg";
import { type Install, startInstall } from "./install.ts";
import { type Benchmark, quantile, type Series } from "./measure.ts";

const ratioMax = 1.5;
const samplesEach = 200;

export const benchmark: Benchmark = {
  measures: "append, list, resolve and tokens from a handful to 1,000,000 records and tokens",
  async run(args) {
    const total = Number(args[0] ?? 1_000_000);
    const install = await startInstall({ postgres: { max_wal_size: "4GB", shared_buffers: "256MB" } });
    const client = new pg.Client({ connectionString: install.databaseUrl });
    await client.connect();
    const worker = await fakeWorker({ ...install, claims: false });
    try {
      await worker.openChannel();
      await deployProject(install, {
        streams: [
          { direction: "input", name: "in", fingerprint: "a" },
          { direction: "output", name: "out", fingerprint: "b" },
        ],
      });
      const program = await startProgram(install, worker);
      // A page of each kind, so that both sides show as much.
      for (let index = 0; index < 60; index += 1)
        for (const timeout of [1, "1h"]) await install.api.call("POST", "/api/tokens", { body: { timeout } });
      await settle(client);
      await measure(install, program);
      const little = await measure(install, program);
      await multiply(client, program.sessionId, total);
      await settle(client);
      await measure(install, program);
      return compare(little, await measure(install, program), total);
    } finally {
      await worker.stop();
      await client.end();
      await install.close();
    }
  },
};

/** What loading left to do is not what is measured. */
async function settle(client: pg.Client): Promise<void> {
  await client.query("vacuum analyze");
  await client.query("checkpoint");
}

interface Program {
  sessionId: string;
  call: (call: WorkerBody<"call">["call"]) => Promise<WorkerResponse<"call">>;
  resolved: (answer: WorkerResponse<"call">) => Promise<unknown>;
}

async function startProgram(install: Install, worker: FakeWorker): Promise<Program> {
  const { session } = (await install.api.call("POST", "/api/sessions", { body: { task_id: "hello" } })).json;
  const lease = (await worker.claim({ kinds: ["run"] }))[0] as RunLease;
  await worker.take(lease).started();
  const renewing = setInterval(() => void worker.renew().catch(() => clearInterval(renewing)), 10_000).unref();
  const fenced = { lease_id: lease.lease_id, fence: lease.fence, attempt_id: lease.run.attempt_id };
  let callId = 0;
  return {
    sessionId: session.id,
    call: (call) => worker.post("call", { ...fenced, call_id: (callId += 1), call }, lease.run.id),
    resolved: (answer) => {
      const waitId = answer.state === "waiting" ? answer.wait_id : "";
      return until("the outcome is pushed", () => worker.directives.some((one) => one.type === "wait.resolved" && one.wait_id === waitId));
    },
  };
}

type Samples = Record<string, number[]>;

async function measure({ api }: Install, { sessionId, call, resolved }: Program): Promise<Samples> {
  const samples: Samples = {};
  const timed = async <T>(name: string, action: () => Promise<T>): Promise<T> => {
    const begun = performance.now();
    const result = await action();
    (samples[name] ??= []).push(performance.now() - begun);
    return result;
  };
  const streams = `/api/sessions/${sessionId}`;
  const get = (name: string, path: string) => timed(name, () => api.call("GET", path));
  const post = (name: string, path: string, body: object) => timed(name, () => api.call("POST", path, { body }));
  for (let index = 0; index < samplesEach; index += 1) {
    const key = `${performance.now()}`;
    await post("append output", `${streams}/outputs/out`, { data: { index }, idempotency_key: key });
    await get("list records", `${streams}/outputs/out?limit=50`);
    await get("read record", `${streams}/outputs/out/read?cursor=10`);
    await get("list streams", `${streams}/streams`);
    const { sequence } = (await post("append input", `${streams}/inputs/in`, { data: { index } })).json.record;
    await call({ kind: "stream.peek", stream: "in", after_sequence: sequence - 1 });
    const opened = await timed("open a wait", () =>
      call({ kind: "wait", on: { kind: "stream", stream: "in", after_sequence: sequence }, parkable: true }),
    );
    await timed("append to a wait until its holder hears", async () => {
      await api.call("POST", `${streams}/inputs/in`, { body: { data: { index } } });
      await resolved(opened);
    });
    const token = (await post("create a token", "/api/tokens", { idempotency_key: key })).json;
    const waited = await call({ kind: "wait", on: { kind: "token", token_id: token.id }, parkable: true });
    await timed("complete a token until its holder hears", async () => {
      await api.call("POST", `/api/tokens/${token.id}/complete`, { body: { data: 1 } });
      await resolved(waited);
    });
    await get("list tokens", "/api/tokens?limit=50");
    await get("list pending tokens", "/api/tokens?limit=50&status=pending");
    await get("list expired tokens", "/api/tokens?limit=50&status=expired");
    await get("list tokens from one on", `/api/tokens?limit=50&cursor=${token.id}`);
  }
  return samples;
}

function compare(little: Samples, much: Samples, total: number): Series[] {
  return Object.keys(little).map((name) => {
    const [before = [], after = []] = [little[name], much[name]];
    const ratio = quantile(after, 0.5) / quantile(before, 0.5);
    const shown = `${quantile(before, 0.5).toFixed(2)} → ${quantile(after, 0.5).toFixed(2)} ms`;
    return {
      name: `${name} with ${total} (${shown})`,
      unit: "×",
      samples: [ratio],
      target: `≤ ${ratioMax} × as with little`,
      met: ratio <= ratioMax,
    };
  });
}

/** A million tokens of every state in the environment, a million records before and in the streams of the session, a million ended waits of its run. */
async function multiply(client: pg.Client, sessionId: string, total: number): Promise<void> {
  await client.query("set session_replication_role = replica");
  await client.query("set synchronous_commit = off");
  await client.query(
    `insert into tokens (id, environment_id, state, due_at, timeout_at, data, secret_key_id, created_at)
     select uuidv7(), t.environment_id, case n % 4 when 0 then 'pending' when 1 then 'completed' when 2 then 'expired' else 'cancelled' end,
            case when n % 4 = 0 then now() + interval '7 days' end, now() + interval '7 days', case when n % 4 = 1 then '1'::json end, t.secret_key_id,
            now() - n * interval '30 seconds'
       from (select * from tokens limit 1) t, generate_series(1, $1) n`,
    [total],
  );
  for (const name of ["in", "out"]) {
    await client.query(
      `insert into stream_records (id, stream_id, sequence, data, data_bytes, content_type, created_at)
       select uuidv7(), t.id, t.sequence + n, '{"n": 1}', 8, 'application/json', now() from session_streams t, generate_series(1, $2) n where t.session_id = $1 and t.name = $3`,
      [sessionId, total / 2, name],
    );
  }
  await client.query("update session_streams set sequence = sequence + $2 where session_id = $1", [sessionId, total / 2]);
  await client.query(
    `insert into run_waits (id, environment_id, run_id, attempt_id, call_id, kind, condition, suspension, parkable, stream_id, params, resolved_at, created_at)
     select uuidv7(), w.environment_id, w.run_id, w.attempt_id, -n, 'stream', 'satisfied', 'live', true, w.stream_id, '{}', now() - interval '1 day', now() - interval '1 day'
       from (select * from run_waits where kind = 'stream' limit 1) w, generate_series(1, $1) n`,
    [total],
  );
  await client.query("set session_replication_role = origin");
}
