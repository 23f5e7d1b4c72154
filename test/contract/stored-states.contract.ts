/** The unions of the domain and the check constraints of the schema name the same states. */
import { type TestDatabase, testDatabase } from "@helmr/test/services";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { deploymentStates } from "../../packages/server/src/domain/deployment.ts";
import { leaseKinds, leaseStates } from "../../packages/server/src/domain/lease.ts";
import { execStates, ptyStates } from "../../packages/server/src/domain/exec.ts";
import { gates } from "../../packages/server/src/domain/queue.ts";
import { runOutcomes, runStates } from "../../packages/server/src/domain/run.ts";
import { sessionStates } from "../../packages/server/src/domain/session.ts";
import { waitConditions, waitSuspensions } from "../../packages/server/src/domain/wait.ts";
import { workerStates } from "../../packages/server/src/domain/worker.ts";
import { mountStates, versionStates, workspaceStates } from "../../packages/server/src/domain/workspace.ts";

const unions: [table: string, column: string, union: readonly string[]][] = [
  ["sessions", "state", sessionStates],
  ["runs", "state", runStates],
  ["runs", "outcome", runOutcomes],
  ["leases", "state", leaseStates],
  ["leases", "kind", leaseKinds],
  ["run_queue", "gate", gates],
  ["deployments", "state", deploymentStates],
  ["workers", "state", workerStates],
  ["workspaces", "state", workspaceStates],
  ["workspace_mounts", "state", mountStates],
  ["workspace_versions", "state", versionStates],
  ["workspace_execs", "state", [...new Set([...execStates, ...ptyStates])]],
  ["run_waits", "condition", waitConditions],
  ["run_waits", "suspension", waitSuspensions],
];

let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await testDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

test.each(unions)("%s.%s", async (table, column, union) => {
  const { rows } = await client.query<{ definition: string }>(
    `select pg_get_constraintdef(c.oid) as definition from pg_constraint c join pg_class t on t.oid = c.conrelid
      where t.relname = $1 and c.contype = 'c' and pg_get_constraintdef(c.oid) ~ $2`,
    [table, `^CHECK \\(\\(${column} = ANY`],
  );
  expect(rows).toHaveLength(1);
  const stored = [...(rows[0]?.definition ?? "").matchAll(/'([a-z_]+)'::text/g)].map((match) => match[1]);
  expect(new Set(stored)).toEqual(new Set(union));
  expect(stored).toHaveLength(union.length);
});
