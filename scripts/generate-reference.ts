/**
 * docs/reference: errors.md from the table of codes in the protocol, configuration.md from the settings of the server and the worker; and what the
 * console says about each code, because its bundle takes types from the protocol and no code. With `--check` a difference fails.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errorDefinitions } from "../packages/protocol/src/shared/errors.ts";
import { settings as serverSettings } from "../packages/server/src/config.ts";
import { settings as workerSettings } from "../packages/worker/src/config.ts";
import { repository } from "./run-step.ts";

interface SettingRow {
  name: string;
  default: unknown;
  secret: boolean;
  doc: string;
}

/** Defaults that are read off the machine at start. */
const machineDefaults: Record<string, string> = {
  HELMR_WORKER_NAME: "the host's name",
  HELMR_WORKER_CPUS: "all of the host's",
  HELMR_WORKER_MEMORY_MIB: "80 % of the host's",
};

const cell = (text: string) => text.replaceAll("|", "\\|");
const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.map(cell).join(" | ")} |`).join("\n");

function settingsTable(settings: Record<string, SettingRow>): string {
  const rows = Object.values(settings).map(({ name, default: fallback, secret, doc }) => [
    `\`${name}\``,
    machineDefaults[name] ?? defaultText(fallback),
    secret ? `${doc} (secret: never printed)` : doc,
  ]);
  return table(["Variable", "Default", "What it is for"], rows);
}

function defaultText(value: unknown): string {
  if (value === undefined) return "required";
  if (value === "" || (Array.isArray(value) && value.length === 0)) return "";
  return `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;
}

const generated = "<!-- Made by scripts/generate-reference.ts (npm run generate); never edited by hand. -->";

const configuration = `${generated}
# Configuration

Processes read these variables at start, say all problems at once, and never look at the environment again. \`./helmr up\` sets what it needs
for a single machine and passes the others on. \`--print-config\` prints what a process would use, without the secrets.

## Server (control plane and dispatcher)

${settingsTable(serverSettings)}

## Worker

${settingsTable(workerSettings)}

## Single-machine install

${table(
  ["Variable", "Default", "What it is for"],
  [
    ["`HELMR_STATE_DIR`", "`.helmr` of the checkout", "everything the install writes: database, blobs, keys, guest images, logs"],
    ["`HELMR_PORT`", "8787, or a free one", "port of API and console"],
  ],
)}
`;

const errors = `${generated}
# Error codes

An error answer is \`{ "error": text, "code": code, … }\`. Texts may change, codes do not. *Repeat* says whether the same request may succeed later
without change.

${table(
  ["Code", "Status", "Means", "Next step", "Repeat"],
  Object.entries(errorDefinitions).map(([code, { status, message, next, retryable }]) => [
    `\`${code}\``,
    String(status),
    message,
    next,
    retryable ? "yes" : "no",
  ]),
)}
`;

const widthMax = 140;
const stepLines = Object.entries(errorDefinitions).map(([code, { next }]) => {
  const line = `  ${code}: ${JSON.stringify(next)},`;
  return line.length <= widthMax ? line : `  ${code}:\n    ${JSON.stringify(next)},`;
});
const nextSteps = `/** What to do about an error code. Made by scripts/generate-reference.ts (npm run generate); never edited by hand. */
export const nextSteps: Readonly<Record<string, string>> = {
${stepLines.join("\n")}
};
`;

await mkdir(join(repository, "docs", "reference"), { recursive: true });
const outputs = {
  "docs/reference/configuration.md": configuration,
  "docs/reference/errors.md": errors,
  "packages/console/src/api/next-steps.ts": nextSteps,
};
for (const [name, text] of Object.entries(outputs)) {
  const path = join(repository, name);
  if (!process.argv.includes("--check")) await writeFile(path, text);
  else if ((await readFile(path, "utf8").catch(() => "")) !== text) {
    process.stderr.write(`${name} differs from its sources: run npm run generate\n`);
    process.exitCode = 1;
  }
}
