/**
 * Every statement goes by an index: its generic plan, made with the settings of the server's own connections, never reads a whole table that grows. What
 * follows is that no answer becomes slower as history grows (test/bench/growth measures it).
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type TestDatabase, testDatabase } from "@helmr/test/services";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const sources = join(import.meta.dirname, "..", "..", "packages", "server", "src");
interface Registered {
  name: string;
  text: string;
}
for (const directory of ["store", "dispatch"]) {
  for (const file of (await readdir(join(sources, directory))).filter((name) => name.endsWith(".ts") && !name.includes(".test."))) {
    await import(pathToFileURL(join(sources, directory, file)).href);
  }
}
const { registeredStatements } = (await import(pathToFileURL(join(sources, "store", "statement.ts")).href)) as {
  registeredStatements: () => Registered[];
};
const { sessionOptions } = (await import(pathToFileURL(join(sources, "store", "db.ts")).href)) as { sessionOptions: string };

/** Tables with a few rows for each install, host or organization; reading all of one is what their statements are for. */
const small = new Set([
  "workers",
  "worker_enrollments",
  "schema_migrations",
  "organizations",
  "users",
  "members",
  "projects",
  "environments",
  "rate_limits",
  "secrets",
  "local_login_links",
  "login_sessions",
  "magic_links",
  "device_logins",
  "invitations",
  "api_keys",
]);

/** Statements that may read a whole table, each with its reason. */
const excused: Record<string, string> = {};

interface PlanNode {
  "Node Type": string;
  "Relation Name"?: string;
  Plans?: PlanNode[];
}

function* nodes(plan: PlanNode): Generator<PlanNode> {
  yield plan;
  for (const child of plan.Plans ?? []) yield* nodes(child);
}

describe("the generic plan", () => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await testDatabase();
    client = new pg.Client({ connectionString: database.url, options: sessionOptions });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  test.each(registeredStatements().map((statement) => [statement.name, statement.text] as const))(
    "of %s reads no growing table whole",
    async (name, text) => {
      if (/^\/\*[^*]*\*\/\s*(lock|truncate|listen)/i.test(text)) return;
      const { rows } = await client.query<{ "QUERY PLAN": [{ Plan: PlanNode }] }>(`explain (generic_plan, format json) ${text}`);
      const whole = [...nodes(rows[0]!["QUERY PLAN"][0].Plan)]
        .filter((node) => node["Node Type"] === "Seq Scan" && !small.has(node["Relation Name"] ?? ""))
        .map((node) => node["Relation Name"]);
      if (name in excused) expect(whole, `${name} is excused for nothing`).not.toEqual([]);
      else expect(whole).toEqual([]);
    },
  );
});
