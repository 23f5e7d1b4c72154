/** `credentials.json`: the login token of each base URL (cli §3). Tokens are never printed. */
import path from "node:path";
import { Failure } from "../failure.ts";
import type { Host } from "../host.ts";
import { configDirectory } from "./directory.ts";
import { readTextFile, refuseSharedFile, writePrivateFile } from "./private-file.ts";

type Credentials = Record<string, { access_token: string }>;

function credentialFile(host: Host): string {
  return path.join(configDirectory(host), "credentials.json");
}

async function readAll(host: Host): Promise<Credentials> {
  const file = credentialFile(host);
  await refuseSharedFile(file, host.platform);
  const content = await readTextFile(file);
  if (content === undefined || content.trim() === "") return {};
  const hosts = hostsOf(content);
  if (hosts === undefined) throw new Failure(`${file} is damaged; delete it and run: helmr login`);
  return hosts;
}

function hostsOf(content: string): Credentials | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch {
    return undefined;
  }
  const hosts = (parsed as { hosts?: unknown } | null)?.hosts;
  if (typeof hosts !== "object" || hosts === null) return undefined;
  const valid = Object.values(hosts).every(
    (entry: unknown) => typeof (entry as { access_token?: unknown } | null)?.access_token === "string",
  );
  return valid ? (hosts as Credentials) : undefined;
}

/** The token saved for exactly this base URL. */
export async function savedToken(host: Host, url: string): Promise<string | undefined> {
  const all = await readAll(host);
  return Object.hasOwn(all, url) ? all[url]?.access_token : undefined;
}

export async function saveToken(host: Host, url: string, token: string): Promise<void> {
  const hosts = { ...(await readAll(host)), [url]: { access_token: token } };
  await writePrivateFile(credentialFile(host), `${JSON.stringify({ hosts }, null, 2)}\n`);
}

export async function deleteToken(host: Host, url: string): Promise<void> {
  const { [url]: _gone, ...hosts } = await readAll(host);
  await writePrivateFile(credentialFile(host), `${JSON.stringify({ hosts }, null, 2)}\n`);
}
