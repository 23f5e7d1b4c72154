/** `packages/server/schema.sql`: what the migrations add up to, for review. With `--check` a difference fails. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeSchema } from "../test/services/describe-schema.ts";
import { startTestCluster, testDatabase } from "../test/services/postgres.ts";
import { repository } from "./run-step.ts";

const file = join(repository, "packages", "server", "schema.sql");
const header = `-- What the migrations add up to. Made by scripts/generate-schema.ts (npm run generate); never edited by hand.\n\n`;

const stop = await startTestCluster();
let text: string;
try {
  const database = await testDatabase();
  text = header + (await describeSchema(database.url));
  await database.drop();
} finally {
  await stop();
}
if (!process.argv.includes("--check")) await writeFile(file, text);
else if ((await readFile(file, "utf8").catch(() => "")) !== text) {
  process.stderr.write("packages/server/schema.sql differs from what the migrations add up to: run npm run generate\n");
  process.exitCode = 1;
}
