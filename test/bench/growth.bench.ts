/**
 * Start, dispatch and list with little and with much history in the database: 100 against 1,000,000 finished runs, and a queue of 10 against 10,000 ready
 * runs. Both sides are measured in the same run; the ratio of the medians is what counts. History is made in SQL, by copying what real runs left.
 */
import { deployProject, fakeWorker, succeed } from "@helmr/test/platform";
import { until } from "@helmr/test/services";
import pg from "pg";
import { type Install, startInstall } from "./install.ts";
import { type Benchmark, quantile, type Series } from "./measure.ts";

const ratioMax = 1.5;
const samplesEach = 150;

export const benchmark: Benchmark = {
  measures: "start, dispatch and lists from 100 to 1,000,000 finished runs, and from 10 to 10,000 ready runs",
  async run(args) {
    const total = Number(args[0] ?? 1_000_000);
    const install = await startInstall({ postgres: { max_wal_size: "4GB", shared_buffers: "256MB" } });
    const client = new pg.Client({ connectionString: install.databaseUrl });
    await client.connect();
    try {
      await deployProject(install, {});
      await runs(install, 100);
      await client.query("vacuum analyze");
      await measure(install);
      const little = await measure(install);
      await multiply(client, total);
      await client.query("vacuum analyze");
      await measure(install);
      const much = await measure(install);
      // As many samples on either side; one round first, so that both find warm caches.
      await queued(install, 10);
      const short: number[] = [];
      while (short.length < samplesEach) short.push(...(await queued(install, 10)));
      const long = await queued(install, 10_000);
      return [
        ...compare(little, much, `${total} finished runs`),
        ...compare({ "claim with a queue": short }, { "claim with a queue": long }, "10,000 ready runs"),
      ];
    } finally {
      await client.end();
      await install.close();
    }
  },
};

type Samples = Record<string, number[]>;

async function timed(action: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await action();
  return performance.now() - begun;
}

async function runs(install: Install, count: number): Promise<void> {
  let finished = 0;
  const worker = await fakeWorker({
    ...install,
    kinds: ["run"],
    async run(run) {
      await run.started();
      await run.log("stdout", "a line\n");
      await run.complete({ status: "succeeded", exit_code: 0, output: { value: 1 } });
      finished += 1;
    },
  });
  for (let index = 0; index < count; index += 1) await install.api.call("POST", "/api/sessions", { body: { task_id: "hello" } });
  await until("the runs end", () => finished === count, 60_000);
  await worker.stop();
}

/** One idle worker, one client, one thing at a time. */
async function measure(install: Install): Promise<Samples> {
  const samples: Samples = {
    start: [],
    "start to finished": [],
    "list runs": [],
    "list live runs": [],
    "list failed runs": [],
    "list sessions": [],
    counts: [],
    "get run": [],
  };
  const worker = await fakeWorker({ ...install, kinds: ["run"], run: succeed });
  for (let index = 0; index < samplesEach; index += 1) {
    const get = (path: string) => () => install.api.call("GET", path);
    let id = "";
    const begun = performance.now();
    samples["start"]?.push(
      await timed(async () => {
        id = (await install.api.call("POST", "/api/sessions", { body: { task_id: "hello" } })).json.run.id;
      }),
    );
    await until("the run ends", async () => (await install.api.call("GET", `/api/runs/${id}`)).json.status === "succeeded");
    samples["start to finished"]?.push(performance.now() - begun);
    samples["list runs"]?.push(await timed(get("/api/runs?status=all&limit=50")));
    samples["list live runs"]?.push(await timed(get("/api/runs")));
    samples["list failed runs"]?.push(await timed(get("/api/runs?status=failed&limit=50")));
    samples["list sessions"]?.push(await timed(get("/api/sessions?limit=50")));
    samples["counts"]?.push(await timed(get("/api/runs/counts")));
    samples["get run"]?.push(await timed(get(`/api/runs/${id}`)));
  }
  await worker.stop();
  return samples;
}

/** Claims of one run each while so many are ready. */
async function queued(install: Install, count: number): Promise<number[]> {
  for (let index = 0; index < count; index += 1) await install.api.call("POST", "/api/sessions", { body: { task_id: "hello" } });
  const worker = await fakeWorker({ ...install, claims: false });
  const samples: number[] = [];
  for (let index = 0; index < Math.min(count, samplesEach); index += 1) {
    const begun = performance.now();
    const [lease] = await worker.claim({ kinds: ["run"], free: { milli_cpu: 2_000, memory_mib: 2_048, disk_mib: 100_000, slots: 1 } });
    samples.push(performance.now() - begun);
    if (lease?.kind === "run") await succeed(worker.take(lease));
  }
  await worker.stop();
  const rest = await fakeWorker({ ...install, kinds: ["run"], run: succeed });
  await until("the queue is empty", async () => (await install.api.call("GET", "/api/runs/counts")).json.queued === 0, 300_000);
  await rest.stop();
  return samples;
}

function compare(little: Samples, much: Samples, what: string): Series[] {
  return Object.keys(little).map((name) => {
    const [before = [], after = []] = [little[name], much[name]];
    const ratio = quantile(after, 0.5) / quantile(before, 0.5);
    const shown = `${quantile(before, 0.5).toFixed(2)} → ${quantile(after, 0.5).toFixed(2)} ms`;
    return {
      name: `${name} with ${what} (${shown})`,
      unit: "×",
      samples: [ratio],
      target: `≤ ${ratioMax} × as with little`,
      met: ratio <= ratioMax,
    };
  });
}

/** Copies of finished runs with everything that hangs on them, spread over a year of the past. */
async function multiply(client: pg.Client, total: number): Promise<void> {
  const batch = 20_000;
  await client.query("set session_replication_role = replica");
  await client.query("set synchronous_commit = off");
  await client.query(
    "create temp table sources as select row_number() over () - 1 as n, id as run, session_id as session, workspace_id as workspace from runs where state = 'finished'",
  );
  const { rows } = await client.query<{ count: string }>("select count(*) from sources");
  const present = Number(rows[0]?.count);
  const statements = await Promise.all(copied.map((one) => copyStatement(client, one)));
  for (let made = present; made < total; made += batch) {
    await client.query("drop table if exists copies");
    await client.query(
      `create temp table copies as
       select s.run, s.session, s.workspace, uuidv7() as new_run, uuidv7() as new_session, uuidv7() as new_workspace, uuidv7() as new_version, uuidv7() as new_attempt,
              now() - random() * interval '365 days' as at
         from generate_series(1, $1) as g (n) join sources s on s.n = g.n % $2`,
      [Math.min(batch, total - made), present],
    );
    await client.query("analyze copies");
    for (const statement of statements) await client.query(statement);
  }
  await client.query("truncate run_counts");
  await client.query(
    "insert into run_counts (environment_id, outcome, shard, count) select environment_id, outcome, 0, count(*) from runs where state = 'finished' group by 1, 2",
  );
  await client.query("set session_replication_role = origin");
}

interface Copied {
  table: string;
  /** How its rows are found. */
  from: string;
  /** Columns that differ in the copy. */
  changes: Readonly<Record<string, string>>;
}

const copied: readonly Copied[] = [
  {
    table: "workspaces",
    from: "o.id = c.workspace",
    changes: {
      id: "c.new_workspace",
      current_version_id: "c.new_version",
      created_at: "c.at",
      updated_at: "c.at",
      last_activity_at: "c.at",
      last_mount_id: "null::uuid",
    },
  },
  {
    table: "workspace_versions",
    from: "o.workspace_id = c.workspace",
    changes: { id: "c.new_version", workspace_id: "c.new_workspace", created_at: "c.at" },
  },
  {
    table: "sessions",
    from: "o.id = c.session",
    changes: { id: "c.new_session", current_run_id: "c.new_run", workspace_id: "c.new_workspace", created_at: "c.at", updated_at: "c.at" },
  },
  {
    table: "runs",
    from: "o.id = c.run",
    changes: {
      id: "c.new_run",
      session_id: "c.new_session",
      workspace_id: "c.new_workspace",
      attempt_id: "c.new_attempt",
      created_at: "c.at",
      updated_at: "c.at",
      queued_at: "c.at",
      finished_at: "c.at",
    },
  },
  { table: "run_attempts", from: "o.run_id = c.run", changes: { id: "c.new_attempt", run_id: "c.new_run", created_at: "c.at" } },
  {
    table: "run_events",
    from: "o.run_id = c.run",
    changes: { run_id: "c.new_run", attempt_id: "c.new_attempt", occurred_at: "c.at", created_at: "c.at" },
  },
  {
    table: "run_log_chunks",
    from: "o.run_id = c.run",
    changes: { run_id: "c.new_run", attempt_id: "c.new_attempt", observed_at: "c.at" },
  },
  { table: "run_log_streams", from: "o.run_id = c.run", changes: { run_id: "c.new_run", attempt_id: "c.new_attempt" } },
];

async function copyStatement(client: pg.Client, { table, from, changes }: Copied): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    "select attname as name from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum",
    [table],
  );
  const names = rows.map(({ name }) => name);
  const unknown = Object.keys(changes).filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new TypeError(`${table} has no column ${unknown.join(", ")}`);
  return `insert into ${table} (${names.join(", ")}) select ${names.map((name) => changes[name] ?? `o.${name}`).join(", ")} from copies c join ${table} o on ${from}`;
}
