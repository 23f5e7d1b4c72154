/**
 * Writes packages/protocol/reference/guest.md: the prose at the head of each file of the guest protocol, and the members of every message as
 * its schema has them. With `--check` it writes nothing and fails when the file differs.
 */
import { readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import * as guest from "../packages/protocol/src/guest/index.ts";

const source = (name: string) => fileURLToPath(new URL(`../packages/protocol/src/guest/${name}`, import.meta.url));
const file = fileURLToPath(new URL("../packages/protocol/reference/guest.md", import.meta.url));

const families = [
  "messages",
  "frames",
  "byte-streams",
  "handshake",
  "run",
  "program-calls",
  "processes",
  "files",
  "checkpoint",
  "build",
  "build-result",
  "network",
];

/** The first comment of a file, as it stands. */
function prose(name: string): string {
  const comment = /^\/\*\*([\s\S]*?)\*\//.exec(readFileSync(source(`${name}.ts`), "utf8"))?.[1] ?? "";
  const lines = comment.split("\n").map((line) => line.replace(/^ \* ?/, "").trimEnd());
  return lines.join("\n").trim();
}

type Schema = Record<string, unknown> & { anyOf?: Schema[]; oneOf?: Schema[]; properties?: Record<string, Schema>; required?: string[] };

/** JSON Schema as the notation that contract pages use. */
function notation(schema: Schema): string {
  const options = schema.anyOf ?? schema.oneOf;
  if (options !== undefined) return options.map(notation).join(" | ");
  if (schema["const"] !== undefined) return JSON.stringify(schema["const"]);
  if (Array.isArray(schema["enum"])) return (schema["enum"] as unknown[]).map((value) => JSON.stringify(value)).join(" | ");
  switch (schema["type"]) {
    case "object":
      return objectNotation(schema);
    case "array":
      return `[${notation(schema["items"] as Schema)}]${bound(schema["maxItems"], "≤")}`;
    case "string":
      return schema["contentEncoding"] === "base64" || schema["format"] === "base64" ? "base64" : `text${bound(schema["maxLength"], "≤")}`;
    case "integer":
      return `int${bound(schema["minimum"], "≥", 0)}${bound(schema["maximum"], "≤")}`;
    case undefined:
      return "any";
    default:
      return String(schema["type"]);
  }
}

function objectNotation(schema: Schema): string {
  if (schema.properties === undefined) return "{ …: " + notation((schema["additionalProperties"] ?? {}) as Schema) + " }";
  const required = new Set(schema.required);
  const members = Object.entries(schema.properties).map(([name, member]) => `${name}${required.has(name) ? "" : "?"}: ${notation(member)}`);
  return `{ ${members.join(", ")} }`;
}

function bound(value: unknown, sign: string, usual?: number): string {
  return typeof value !== "number" || value === usual || Math.abs(value) >= Number.MAX_SAFE_INTEGER ? "" : ` ${sign}${value}`;
}

function messageTable(union: z.ZodType): string {
  const schema = z.toJSONSchema(union, { unrepresentable: "any", io: "input" }) as Schema;
  const rows = (schema.oneOf ?? schema.anyOf ?? []).map((option) => {
    const { type, ...members } = option.properties ?? {};
    const inner = notation({ ...option, properties: members });
    return `- \`${String(type?.["const"])}\` \`${inner}\``;
  });
  return rows.join("\n");
}

function document(): string {
  const bounds = Object.entries(guest).flatMap(([name, value]) => (typeof value === "number" ? [`- \`${name}\` = ${value}`] : []));
  return [
    "# Guest protocol",
    `Version ${JSON.stringify((z.toJSONSchema(guest.helloMessage) as Schema).properties?.["protocol"]?.["const"])}, between a worker (host) and the supervisor in a machine (guest). Generated from packages/protocol/src/guest by \`npm run generate\`; do not edit.`,
    ...families.flatMap((name) => [`## ${name}`, "```text\n" + prose(name) + "\n```"]),
    "## Host → guest",
    messageTable(guest.hostMessage),
    "## Guest → host",
    messageTable(guest.guestMessage),
    "## Numbers",
    bounds.join("\n"),
  ]
    .join("\n\n")
    .concat("\n");
}

const text = document();
if (process.argv.includes("--check")) {
  const present = await readFile(file, "utf8").catch(() => "");
  if (present !== text) {
    process.stderr.write(`${file} is not what the sources give. Run: node scripts/generate-guest-protocol.ts\n`);
    process.exitCode = 1;
  }
} else {
  await writeFile(file, text);
}
