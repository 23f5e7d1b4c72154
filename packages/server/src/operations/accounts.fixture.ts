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

/** A promoted deployment with the task `hello`, its sandbox `box`, queue `work` and the streams `in` and `out`. */
export async function addDeployment(accounts: Accounts, tenant: Pick<Tenant, "orgId" | "projectId" | "environmentId">): Promise<Deployed> {
  const [deploymentId, sandboxId, taskId] = [newId(), newId(), newId()];
  const { orgId, projectId, environmentId } = tenant;
  await accounts.sql(
    `insert into deployments (id, org_id, project_id, environment_id, version, content_hash, source_size_bytes, api_version, bundle_format_version,
                              worker_protocol_version, state, trace_id)
     values ($4, $1, $2, $3, '20260101.1', 'sha256:x', 1, 'v', 2, 'w', 'deployed', 't')`,
    [orgId, projectId, environmentId, deploymentId],
  );
  await accounts.sql("update environments set current_deployment_id = $2 where id = $1", [environmentId, deploymentId]);
  await accounts.sql(
    `insert into deployment_sandboxes (id, environment_id, deployment_id, sandbox_id, fingerprint, image_ref, workspace_path, milli_cpu, memory_mib, network)
     values ($2, $1, $3, 'box', 'f', 'helmr/node:24', '/workspace', 1000, 512, '{"internet":true}')`,
    [environmentId, sandboxId, deploymentId],
  );
  await accounts.sql(
    `insert into deployment_tasks (id, environment_id, deployment_id, task_id, sandbox_id, file_path, export_name, module_path, queue_name,
                                   max_duration_seconds, retry)
     values ($2, $1, $3, 'hello', $4, 'tasks/hello.ts', 'hello', 'hello.mjs', 'work', 900, '{"enabled":false}')`,
    [environmentId, taskId, deploymentId, sandboxId],
  );
  await accounts.sql("insert into deployment_queues (deployment_id, name) values ($1, 'work')", [deploymentId]);
  await accounts.sql(
    "insert into deployment_streams (deployment_id, direction, name, fingerprint) values ($1, 'input', 'in', 'f'), ($1, 'output', 'out', 'f')",
    [deploymentId],
  );
  return { deploymentId, sandboxId, taskId };
}
