import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Environment } from "@helmr/protocol/api";
import { newId } from "../new-id.ts";
import { type Accounts, type Tenant, addDeployment, addTenant, openAccounts } from "./accounts.fixture.ts";
import { createEnvironment, deleteEnvironment } from "./change-environments.ts";
import { deleteProject } from "./change-projects.ts";
import { issueApiKey } from "./issue-api-keys.ts";
import { purgeDeletedEnvironments } from "./purge-environments.ts";
import { putSecret } from "./put-secret.ts";

let accounts: Accounts;
let tenant: Tenant;
beforeAll(async () => {
  accounts = await openAccounts();
});
beforeEach(async () => {
  await accounts.sql("truncate organizations, users, workers cascade");
  tenant = await addTenant(accounts.context);
});
afterAll(() => accounts.close());

/** Everything an environment can hold, with a live run under a lease. */
async function fill(environmentId: string, sessions: number): Promise<void> {
  const { db, keys } = accounts.context;
  const scope = { projectId: tenant.projectId, environmentId };
  await putSecret(db, keys, { scope, name: "A", value: "x" });
  await issueApiKey(db, { ...tenant, environmentId, name: "k", scopes: [], expiresInDays: null, creatorId: tenant.ownerId });
  const own = [tenant.orgId, tenant.projectId, environmentId];
  const worker = newId();
  const { deploymentId: deployment, sandboxId: sandbox, taskId: task } = await addDeployment(accounts, { ...tenant, environmentId });
  await accounts.sql("insert into workers (id, worker_group, name, credential_hash, state) values ($1, 'default', $2, $3, 'active')", [
    worker,
    worker,
    Buffer.from(worker),
  ]);
  for (let count = 0; count < sessions; count += 1) await addSession({ own, environmentId, deployment, sandbox, task, worker });
  await accounts.sql(
    "insert into schedules (id, org_id, project_id, environment_id, kind, task_id, deduplication_key, cron, timezone, state) values ($4, $1, $2, $3, 'imperative', 'hello', 'd', '* * * * *', 'UTC', 'active')",
    [...own, newId()],
  );
}

async function addSession(ids: {
  own: string[];
  environmentId: string;
  deployment: string;
  sandbox: string;
  task: string;
  worker: string;
}): Promise<void> {
  const [workspace, version, session, run, token] = [newId(), newId(), newId(), newId(), newId()];
  await accounts.sql(
    "insert into workspaces (id, org_id, project_id, environment_id, deployment_sandbox_id, sandbox_id, sandbox_fingerprint, state) values ($4, $1, $2, $3, $5, 's', 'f', 'active')",
    [...ids.own, workspace, ids.sandbox],
  );
  await accounts.sql(
    "insert into workspace_versions (id, environment_id, workspace_id, kind, state, content_digest) values ($1, $2, $3, 'system', 'ready', 'd')",
    [version, ids.environmentId, workspace],
  );
  await accounts.sql("update workspaces set current_version_id = $2 where id = $1", [workspace, version]);
  await accounts.sql(
    `insert into sessions (id, org_id, project_id, environment_id, task_id, initial_deployment_id, active_deployment_id, fingerprint, state, current_run_id, workspace_id)
     values ($4, $1, $2, $3, 'hello', $5, $5, '', 'open', $6, $7)`,
    [...ids.own, session, ids.deployment, run, workspace],
  );
  await accounts.sql(
    `insert into runs (id, org_id, project_id, environment_id, session_id, deployment_id, deployment_task_id, task_id, workspace_id, turn_index, state, payload, queue_name,
                       max_duration_seconds, retry, api_version, deployment_version, trace_id)
     values ($4, $1, $2, $3, $5, $6, $7, 'hello', $8, 0, 'executing', '{}', 'q', 900, '{}', 'v', 'd', 't')`,
    [...ids.own, run, session, ids.deployment, ids.task, workspace],
  );
  await accounts.sql(
    `insert into leases (id, kind, run_id, worker_id, worker_epoch, fence, state, milli_cpu, memory_mib, disk_mib, deadline)
     values ($1, 'run', $2, $3, 1, 1, 'held', 1, 1, 1, now() + interval '1 minute')`,
    [newId(), run, ids.worker],
  );
  await accounts.sql("insert into tokens (id, environment_id, state, timeout_at) values ($1, $2, 'pending', now())", [
    token,
    ids.environmentId,
  ]);
}

const tables = [
  "sessions",
  "runs",
  "leases",
  "workspaces",
  "workspace_versions",
  "deployments",
  "deployment_tasks",
  "schedules",
  "tokens",
  "secrets",
  "api_keys",
];
const counts = async () =>
  Object.fromEntries(
    await Promise.all(tables.map(async (table) => [table, (await accounts.sql(`select 1 from ${table}`)).length] as const)),
  );
const add = async (slug: string) =>
  ((await createEnvironment(accounts.context.db, tenant, { slug, name: slug, color_hex: "#000000" })) as Environment).id;

test("takes a deleted environment apart with everything in it, page by page, and leaves its neighbours alone", async () => {
  const gone = await add("gone");
  await fill(tenant.stagingId, 2);
  const before = await counts();
  await fill(gone, 7);
  await deleteEnvironment(accounts.context.db, accounts.context.hints, { ...tenant, environmentId: gone });

  const limits = { rowsPerPage: 2, pagesPerPass: 3 };
  const first = await purgeDeletedEnvironments(accounts.context.db, limits);
  expect(first.more).toBe(true);
  expect(first.changed).toBeLessThanOrEqual(6);
  for (let pass = 0; pass < 20; pass += 1) if (!(await purgeDeletedEnvironments(accounts.context.db, limits)).more) break;
  expect(await accounts.sql("select 1 from environments where id = $1", [gone])).toEqual([]);
  expect(await counts()).toEqual(before);
});

test("passes at once do each other's work", async () => {
  const gone = await add("gone");
  await fill(gone, 6);
  await deleteEnvironment(accounts.context.db, accounts.context.hints, { ...tenant, environmentId: gone });
  await Promise.all(Array.from({ length: 3 }, () => purgeDeletedEnvironments(accounts.context.db)));
  await purgeDeletedEnvironments(accounts.context.db);
  expect(await accounts.sql("select 1 from environments where id = $1", [gone])).toEqual([]);
  expect(Object.values(await counts()).every((count) => count === 0)).toBe(true);
});

test("a deleted project goes with its environments", async () => {
  await fill(tenant.environmentId, 1);
  await deleteProject(accounts.context.db, accounts.context.hints, tenant.orgId, tenant.projectId);
  const pass = await purgeDeletedEnvironments(accounts.context.db);
  expect(pass.more).toBe(false);
  expect(await accounts.sql("select 1 from projects")).toEqual([]);
  expect(await accounts.sql("select 1 from environments")).toEqual([]);
});

test("what is not deleted is not touched", async () => {
  await fill(tenant.environmentId, 1);
  expect(await purgeDeletedEnvironments(accounts.context.db)).toEqual({ changed: 0, more: false });
});
