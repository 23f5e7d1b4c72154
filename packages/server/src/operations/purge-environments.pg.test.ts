import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Environment } from "@helmr/protocol/api";
import { newId } from "../new-id.ts";
import { type Accounts, type Deployed, type Tenant, addDeployment, addTenant, insertRow, openAccounts } from "./accounts.fixture.ts";
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

/** Everything an environment can hold, with live runs under leases. */
async function fill(environmentId: string, sessions: number): Promise<void> {
  const { db, keys } = accounts.context;
  await putSecret(db, keys, { scope: { projectId: tenant.projectId, environmentId }, name: "A", value: "x" });
  await issueApiKey(db, { ...tenant, environmentId, name: "k", scopes: [], expiresInDays: null, creatorId: tenant.ownerId });
  const deployed = await addDeployment(accounts, { ...tenant, environmentId });
  const worker_id = newId();
  await insertRow(accounts, "workers", { id: worker_id, name: worker_id, state: "active" });
  const own = { org_id: tenant.orgId, project_id: tenant.projectId, environment_id: environmentId };
  for (let count = 0; count < sessions; count += 1) await addSession(own, deployed, worker_id);
  await insertRow(accounts, "schedules", { ...own, kind: "imperative", state: "active" });
}

async function addSession(
  own: { org_id: string; project_id: string; environment_id: string },
  deployed: Deployed,
  worker_id: string,
): Promise<void> {
  const { environment_id } = own;
  const [workspace_id, version, session_id, run_id] = [newId(), newId(), newId(), newId()];
  await insertRow(accounts, "workspaces", { ...own, id: workspace_id, deployment_sandbox_id: deployed.sandboxId, state: "active" });
  await insertRow(accounts, "workspace_versions", { environment_id, id: version, workspace_id, kind: "system", state: "ready" });
  await accounts.sql("update workspaces set current_version_id = $2 where id = $1", [workspace_id, version]);
  const pinned = { initial_deployment_id: deployed.deploymentId, active_deployment_id: deployed.deploymentId, current_run_id: run_id };
  await insertRow(accounts, "sessions", { ...own, ...pinned, id: session_id, state: "open", workspace_id });
  const run = { session_id, deployment_id: deployed.deploymentId, deployment_task_id: deployed.taskId, workspace_id, state: "executing" };
  await insertRow(accounts, "runs", { ...own, ...run, id: run_id });
  await insertRow(accounts, "leases", { kind: "run", run_id, worker_id, state: "held" });
  await insertRow(accounts, "tokens", { environment_id, state: "pending" });
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
