/**
 * Writes packages/protocol/reference/api.openapi.json from the endpoint table. With `--check` it writes nothing and fails when the file
 * differs.
 */
import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { openApiDocument } from "../packages/protocol/src/api/openapi.ts";

const file = fileURLToPath(new URL("../packages/protocol/reference/api.openapi.json", import.meta.url));
const text = `${JSON.stringify(openApiDocument(), null, 2)}\n`;

if (process.argv.includes("--check")) {
  const present = await readFile(file, "utf8").catch(() => "");
  if (present !== text) {
    console.error(`${file} is not what the endpoint table gives. Run: node scripts/generate-openapi.ts`);
    process.exitCode = 1;
  }
} else {
  await writeFile(file, text);
}
