/**
 * The single-machine install, when one runs here. It leaves `client.env` with HELMR_API_URL in its state directory: HELMR_STATE_DIR, or
 * `.helmr` in the current directory or one above it. Only one that answers counts.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { type Host, environmentValue } from "../host.ts";
import { exchange } from "../http/transport.ts";
import { parseBaseUrl } from "./api-url.ts";

const answerMsMax = 2_000;

export async function localInstallUrl(host: Host): Promise<string | undefined> {
  for (const directory of stateDirectories(host)) {
    const url = await installedUrl(path.join(directory, "client.env"));
    if (url !== undefined && (await answers(url, host.signal))) return url;
  }
  return undefined;
}

function stateDirectories(host: Host): string[] {
  const named = environmentValue(host, "HELMR_STATE_DIR");
  if (named !== "") return [path.resolve(host.cwd, named)];
  const directories: string[] = [];
  for (let at = path.resolve(host.cwd); ; at = path.dirname(at)) {
    directories.push(path.join(at, ".helmr"));
    if (at === path.dirname(at)) return directories;
  }
}

async function installedUrl(file: string): Promise<string | undefined> {
  // Without the file there is no install here; one that cannot be read belongs to somebody else.
  const content = await readFile(file, "utf8").catch(() => "");
  const line = /^(?:export[ \t]+)?HELMR_API_URL=["']?([^"'\s]+)/m.exec(content);
  const parsed = parseBaseUrl(line?.[1] ?? "");
  return parsed.ok ? parsed.url : undefined;
}

async function answers(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const until = AbortSignal.any([signal, AbortSignal.timeout(answerMsMax)]);
    const answer = await exchange({ method: "GET", url: new URL(`${url}/healthz`), headers: {}, signal: until, silenceMsMax: answerMsMax });
    answer.stream.destroy();
    return answer.status === 200;
  } catch {
    return false;
  }
}
