/** For tests of operations: accounts over a database of their own, with mails kept, statements counted and hints recorded. */
import { testDatabase } from "@helmr/test/services";
import pg from "pg";
import type { AccountContext } from "../account-context.ts";
import { type AccountConfig, accountSettings } from "../account-settings.ts";
import { assert, required } from "../assert.ts";
import { openHints } from "../hints.ts";
import { generateKeyRing } from "../key-ring.ts";
import { type Mail, openOutbox } from "../mail/outbox.ts";
import { newId } from "../new-id.ts";
import { isRefusal } from "../outcome.ts";
import { openKeys } from "../secrets.ts";
import { openDb } from "../store/db.ts";
import { userInsert } from "../store/user.ts";
import { createProject } from "./change-projects.ts";
import { createOrganization } from "./create-organization.ts";

export interface Accounts {
  context: AccountContext;
  databaseUrl: string;
  mails: Mail[];
  /** Names of the statements sent so far. */
  statements: string[];
  /** Hints sent so far. */
  hinted: string[];
  /** SQL of the test itself: to age rows, to look at what is stored. */
  sql<R extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<R[]>;
  close(): Promise<void>;
}

const accountDefaults: AccountConfig = {
  mode: "self_hosted",
  publicUrl: "http://localhost:8787",
  host: "127.0.0.1",
  corsOrigins: [],
  setupToken: "s3tup-token",
  magicLinkDebug: false,
  githubClientId: "",
  githubClientSecret: "",
  githubUrl: "https://github.invalid",
  githubApiUrl: "https://api.github.invalid",
};

export async function openAccounts(config: Partial<AccountConfig> = {}): Promise<Accounts> {
  const database = await testDatabase();
  const statements: string[] = [];
  const db = openDb({ url: database.url, poolSize: 10, intercept: (name, phase) => phase === "before" && statements.push(name) });
  const hints = await openHints(null);
  const hinted: string[] = [];
  const mails: Mail[] = [];
  const transport = { send: async (mail: Mail) => void mails.push(mail), close: async () => undefined };
  const outbox = openOutbox({ transport, report: () => undefined });
  const pool = new pg.Pool({ connectionString: database.url, max: 3 });
  // Dropping the database may cut a connection that is just saying goodbye.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => void client.on("error", () => undefined));
  const recorded = {
    ...hints,
    send: (topic: string) => {
      hinted.push(topic);
      hints.send(topic);
    },
  };
  return {
    databaseUrl: database.url,
    context: {
      db,
      hints: recorded,
      keys: openKeys(generateKeyRing()),
      outbox,
      settings: accountSettings({ ...accountDefaults, ...config }),
    },
    mails,
    statements,
    hinted,
    sql: async <R extends object>(text: string, values?: unknown[]) => (await pool.query<R & pg.QueryResultRow>(text, values)).rows,
    async close() {
      await outbox.close(1_000);
      await hints.close();
      await db.close();
      await pool.end();
      await database.drop();
    },
  };
}

export async function addUser(context: AccountContext, email: string): Promise<string> {
  const user = { id: newId(), email, display_name: "", profile_image_url: "", github_id: null, local_user: false };
  return required(await context.db.tx((tx) => userInsert(tx, user)), "the address is new").id;
}

export interface Tenant {
  orgId: string;
  ownerId: string;
  projectId: string;
  /** production */
  environmentId: string;
  stagingId: string;
}

/** An organization with an owner and a project. More than one fits into a database only in managed mode, so that is what is used. */
export async function addTenant(context: AccountContext, slug = "acme"): Promise<Tenant> {
  const ownerId = await addUser(context, `owner@${slug}.example.com`);
  const managed = { ...context, settings: { ...context.settings, mode: "managed" as const } };
  const organization = await createOrganization(managed, { userId: ownerId, slug, name: slug, setupToken: undefined });
  assert(!isRefusal(organization), "the slug is free");
  const project = await createProject(context.db, organization.id, { slug: "shop", name: "Shop" });
  assert(!isRefusal(project), "the slug is free");
  const [production, staging] = required(project.environments, "a project comes with its environments");
  return {
    orgId: organization.id,
    ownerId,
    projectId: project.id,
    environmentId: required(production, "production").id,
    stagingId: required(staging, "staging").id,
  };
}

/** An active member of the tenant. */
export async function addMember(accounts: Accounts, tenant: Tenant, member: { email: string; role: string }): Promise<string> {
  const userId = await addUser(accounts.context, member.email);
  await accounts.sql("insert into members (org_id, user_id, role) values ($1, $2, $3)", [tenant.orgId, userId, member.role]);
  return userId;
}

export interface Deployed {
  deploymentId: string;
  sandboxId: string;
  taskId: string;
}

/**
 * A row of a table that other parts of the product own: what must not be null and was not given gets a value of its type, so that a new column there
 * does not break tests here.
 */
export async function insertRow(accounts: Accounts, table: string, given: Record<string, unknown>): Promise<void> {
  const missing = await accounts.sql<{ name: string; type: string }>(
    `select column_name as name, data_type as type from information_schema.columns
      where table_name = $1 and is_nullable = 'NO' and column_default is null and is_identity = 'NO' and not column_name = any($2::text[])`,
    [table, Object.keys(given)],
  );
  const row = { ...Object.fromEntries(missing.map(({ name, type }) => [name, fillers[type]?.()])), ...given };
  const names = Object.keys(row);
  await accounts.sql(
    `insert into ${table} (${names.join(", ")}) values (${names.map((_, index) => `$${index + 1}`).join(", ")})`,
    Object.values(row),
  );
}

const fillers: Readonly<Record<string, () => unknown>> = {
  uuid: newId,
  text: () => "x",
  integer: () => 1,
  bigint: () => 1,
  boolean: () => false,
  bytea: () => Buffer.from(newId()),
  json: () => "{}",
  jsonb: () => "{}",
  ARRAY: () => [],
  "timestamp with time zone": () => new Date(),
};

/** A promoted deployment with the task `hello`, its sandbox `box`, queue `work` and the streams `in` and `out`. */
export async function addDeployment(accounts: Accounts, tenant: Pick<Tenant, "orgId" | "projectId" | "environmentId">): Promise<Deployed> {
  const [deploymentId, sandboxId, taskId] = [newId(), newId(), newId()];
  const own = { org_id: tenant.orgId, project_id: tenant.projectId, environment_id: tenant.environmentId };
  const { environment_id } = own;
  await insertRow(accounts, "deployments", { ...own, id: deploymentId, version: "20260101.1", content_hash: newId(), state: "deployed" });
  await accounts.sql("update environments set current_deployment_id = $2 where id = $1", [environment_id, deploymentId]);
  const sandbox = {
    environment_id,
    deployment_id: deploymentId,
    sandbox_id: "box",
    image_ref: "helmr/node:24",
    workspace_path: "/workspace",
  };
  await insertRow(accounts, "deployment_sandboxes", { ...sandbox, id: sandboxId, network: '{"internet":true}' });
  const task = { environment_id, deployment_id: deploymentId, sandbox_id: sandboxId, task_id: "hello", queue_name: "work" };
  await insertRow(accounts, "deployment_tasks", { ...task, id: taskId, retry: '{"enabled":false}', max_duration_seconds: 900 });
  await insertRow(accounts, "deployment_queues", { deployment_id: deploymentId, name: "work" });
  for (const [direction, name] of [
    ["input", "in"],
    ["output", "out"],
  ]) {
    await insertRow(accounts, "deployment_streams", { deployment_id: deploymentId, direction, name });
  }
  return { deploymentId, sandboxId, taskId };
}
