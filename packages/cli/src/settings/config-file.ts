/** `config.toml`: one key, `default_host` (cli §3). Other lines are the user's and stay. */
import path from "node:path";
import { Failure } from "../failure.ts";
import type { Host } from "../host.ts";
import { configDirectory } from "./directory.ts";
import { readTextFile, writePrivateFile } from "./private-file.ts";

const hostLine = /^\s*default_host\s*=\s*(.*)$/;

function configFile(host: Host): string {
  return path.join(configDirectory(host), "config.toml");
}

export async function readDefaultHost(host: Host): Promise<string | undefined> {
  const file = configFile(host);
  const content = await readTextFile(file);
  for (const line of (content ?? "").split(/\r?\n/)) {
    const match = hostLine.exec(line);
    if (!match) continue;
    const value = tomlString(match[1] ?? "");
    if (value === undefined) throw new Failure(`${file}: default_host must be a string such as "https://helmr.example.com"`);
    return value.trim() === "" ? undefined : value;
  }
  return undefined;
}

export async function writeDefaultHost(host: Host, url: string): Promise<void> {
  const file = configFile(host);
  const line = `default_host = ${JSON.stringify(url)}`;
  const lines = ((await readTextFile(file)) ?? "").split(/\r?\n/);
  const at = lines.findIndex((existing) => hostLine.test(existing));
  // The key belongs to no table, so a new one stands before everything else.
  if (at === -1) lines.unshift(line);
  else lines[at] = line;
  await writePrivateFile(file, `${lines.join("\n").trimEnd()}\n`);
}

/** A basic or literal TOML string, with an optional comment behind it. */
function tomlString(text: string): string | undefined {
  const literal = /^'([^']*)'\s*(?:#.*)?$/.exec(text);
  if (literal) return literal[1];
  const basic = /^("(?:[^"\\]|\\.)*")\s*(?:#.*)?$/.exec(text);
  if (!basic) return undefined;
  try {
    return JSON.parse(basic[1] as string) as string;
  } catch {
    // TOML knows escapes that JSON does not; none of them can be part of a URL.
    return undefined;
  }
}
