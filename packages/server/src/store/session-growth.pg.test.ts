/**
 * What appends, lists and resolutions touch does not grow with history: each statement runs with the plan that the server keeps (generic), over tables with a
 * long past, and the pages it reads are counted. Counting pages instead of time makes the result the same on any machine.
 */
import { type TestDatabase, testDatabase } from "@helmr/test/services";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensureLocalInstall } from "../operations/ensure-local-install.ts";
import { openHints } from "../hints.ts";
import { openDb } from "./db.ts";
import { registeredStatements } from "./statement.ts";

const tokens = 100_000;
const records = 50_000;
let database: TestDatabase;
let client: pg.Client;
let environment: string;
let streamId: string;
let sessionId: string;
let middle: { id: string; created_at: string };

beforeAll(async () => {
  await Promise.all(["continuation", "run-wait", "schedule", "stream", "token"].map((name) => import(`${import.meta.dirname}/${name}.ts`)));
  database = await testDatabase();
  const db = openDb({ url: database.url, poolSize: 2 });
  const hints = await openHints(null);
  const install = await ensureLocalInstall({ db, hints, publicUrl: "http://localhost" }, undefined);
  await db.close();
  environment = install.environmentId;
  client = new pg.Client({
    connectionString: database.url,
    options: "-c enable_seqscan=off -c jit=off -c plan_cache_mode=force_generic_plan",
  });
  await client.connect();
  await seed(install.orgId, install.projectId);
}, 120_000);
afterAll(async () => {
  await client.end();
  await database.drop();
});

/** One environment with everything: tokens of every state, a session with a long stream, thousands of ended waits, and many live ones of others. */
async function seed(org: string, project: string): Promise<void> {
  const scope = `'${org}'::uuid, '${project}'::uuid, '${environment}'::uuid`;
  await client.query("set session_replication_role = replica");
  await client.query(
    `insert into tokens (id, environment_id, state, due_at, timeout_at, data, secret_key_id, created_at)
     select gen_random_uuid(), '${environment}', case when n % 3 = 1 then 'pending' when n % 10 = 0 then 'cancelled' when n % 3 = 0 then 'expired' else 'completed' end,
            case when n % 3 = 1 then now() + interval '1 day' end, now() + interval '1 day', '1', 'k', now() - (${tokens} - n) * interval '1 second' from generate_series(1, ${tokens}) n`,
  );
  const ids = await client.query<{ session: string; run: string; stream: string; workspace: string; deployment: string }>(
    "select gen_random_uuid() as session, gen_random_uuid() as run, gen_random_uuid() as stream, gen_random_uuid() as workspace, gen_random_uuid() as deployment",
  );
  const { session, run, stream, workspace, deployment } = ids.rows[0]!;
  sessionId = session;
  streamId = stream;
  await client.query(
    `insert into sessions (id, org_id, project_id, environment_id, task_id, initial_deployment_id, active_deployment_id, fingerprint, state, current_run_id, workspace_id)
     values ('${session}', ${scope}, 'hello', '${deployment}', '${deployment}', '', 'open', '${run}', '${workspace}')`,
  );
  await client.query(
    `insert into session_streams (id, environment_id, session_id, direction, name, sequence) values ('${stream}', '${environment}', '${session}', 'input', 'a', ${records})`,
  );
  await client.query(
    `insert into stream_records (id, stream_id, sequence, data, data_bytes, content_type, correlation_id, idempotency_key_hash, idempotency_fingerprint)
     select gen_random_uuid(), '${stream}', n, '{"n": 1}', 8, 'application/json', 'c' || n % 100, sha256(n::text::bytea), '' from generate_series(1, ${records}) n`,
  );
  await client.query(
    `insert into continuations (record_id, session_id, stream_id, sequence, state) select id, '${session}', stream_id, sequence, 'started' from stream_records`,
  );
  await client.query(
    `insert into run_waits (id, environment_id, run_id, attempt_id, call_id, kind, condition, suspension, parkable, stream_id, params, wake_at)
     select gen_random_uuid(), '${environment}', case when n % 2 = 0 then '${run}'::uuid else gen_random_uuid() end, gen_random_uuid(), n, 'stream',
            case when n % 2 = 0 then 'satisfied' else 'open' end, 'live', true, case when n % 2 = 0 then '${stream}'::uuid else gen_random_uuid() end, '{}',
            now() + n * interval '1 second' from generate_series(1, 40000) n`,
  );
  await client.query(
    `insert into schedules (id, org_id, project_id, environment_id, kind, task_id, deduplication_key, cron, timezone, state, next_fire_at, due_at)
     select gen_random_uuid(), ${scope}, 'imperative', 'hello', 's' || n, '0 0 * * *', 'UTC', 'active', now() + n * interval '1 second', now() + n * interval '1 second'
       from generate_series(1, 20000) n`,
  );
  await client.query("set session_replication_role = origin");
  await client.query("vacuum analyze");
  middle = (
    await client.query<{ id: string; created_at: string }>(
      `select id, created_at::text from tokens order by created_at offset ${tokens / 2} limit 1`,
    )
  ).rows[0]!;
}

interface Plan {
  "Shared Hit Blocks": number;
  "Shared Read Blocks": number;
}

const prepared = new Set<string>();

type Value = null | number | string | Buffer;

function literal(value: Value): string {
  if (value === null) return "null";
  if (Buffer.isBuffer(value)) return `'\\x${value.toString("hex")}'`;
  return typeof value === "number" ? String(value) : pg.escapeLiteral(value);
}

/** Pages that one execution of the kept plan touches. */
async function pages(name: string, params: Record<string, Value>): Promise<number> {
  const statement = registeredStatements().find((one) => one.name === name) as unknown as
    | { text: string; parameters: string[] }
    | undefined;
  if (!statement) throw new TypeError(`no statement ${name}`);
  const values = statement.parameters.map((parameter) => {
    if (!(parameter in params)) throw new TypeError(`${name} needs ${parameter}`);
    return params[parameter] ?? null;
  });
  // EXPLAIN with parameters of its own would plan for their values: only a prepared statement gets the plan that is kept.
  if (!prepared.has(name)) await client.query(`prepare ${name} as ${statement.text}`);
  prepared.add(name);
  const literals = values.length === 0 ? "" : `(${values.map(literal).join(", ")})`;
  const found = await client.query<{ "QUERY PLAN": [{ Plan: Plan }] }>(
    `explain (analyze, buffers, format json) execute ${name}${literals}`,
  );
  const { Plan: plan } = found.rows[0]!["QUERY PLAN"][0];
  return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
}

/** A page of a list is a row of the heap each at worst, and the way down some indexes. */
const pageOfList = 100 + 40;
const few = 40;

describe("tokens", () => {
  const first = { after_at: "-infinity", after_id: "00000000-0000-0000-0000-000000000000" };
  test.each([
    ["token_list", {}],
    ["token_list_of_state", { state: "completed" }],
    ["token_list_of_state", { state: "cancelled" }],
    ["token_list_pending", {}],
    ["token_list_expired", {}],
  ])("%s %j, from the beginning and from the middle", async (name, over) => {
    const params = { environment_id: environment, row_limit: 101, ...over };
    expect(await pages(name, { ...params, ...first })).toBeLessThan(pageOfList);
    expect(await pages(name, { ...params, after_at: middle.created_at, after_id: middle.id })).toBeLessThan(pageOfList);
  });

  test("one of them, by id and by what is due", async () => {
    expect(await pages("token_get", { environment_id: environment, id: middle.id })).toBeLessThan(few);
    expect(await pages("token_overdue", { row_limit: 200 })).toBeLessThan(few);
    expect(await pages("token_next_timeout", {})).toBeLessThan(few);
  });
});

describe("streams", () => {
  test("records: the first, the last, by correlation, by key", async () => {
    const page = { stream_id: streamId, row_limit: 100, bytes_max: 1_000_000 };
    for (const after of [0, records / 2, records - 5]) {
      expect(await pages("stream_record_list", { ...page, after })).toBeLessThan(pageOfList);
      expect(await pages("stream_record_list_of_correlation", { ...page, after, correlation_id: "c7" })).toBeLessThan(pageOfList);
    }
    expect(await pages("stream_record_by_key", { stream_id: streamId, key_hash: Buffer.alloc(32) })).toBeLessThan(few);
    expect(await pages("stream_lock", { id: streamId })).toBeLessThan(few);
  });

  test("continuations and waits of a session with a long past", async () => {
    expect(await pages("continuation_oldest", { session_id: sessionId })).toBeLessThan(few);
    expect(await pages("continuation_stranded", { after: "00000000-0000-0000-0000-000000000000" })).toBeLessThan(few);
    expect(
      await pages("wait_fitting", { run_id: sessionId, stream_id: streamId, sequence: records + 1, correlation_id: null }),
    ).toBeLessThan(few);
    expect(await pages("wait_open_count", { run_id: sessionId })).toBeLessThan(few);
  });
});

test("loops look at what is due, among tens of thousands that are not", async () => {
  expect(await pages("wait_due", { row_limit: 200 })).toBeLessThan(few);
  expect(await pages("wait_next_wake", {})).toBeLessThan(few);
  expect(await pages("schedule_due", { row_limit: 200 })).toBeLessThan(few);
  expect(await pages("schedule_next_due", {})).toBeLessThan(few);
});
