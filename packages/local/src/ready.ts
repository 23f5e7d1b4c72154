/** What `up` says when everything serves. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { LocalError } from "./local-error.ts";
import { type StateLayout, readJson, writePrivate } from "./state.ts";
import type { SupervisorRecord } from "./supervise.ts";

export interface Ready {
  api_url: string;
  api_key: string;
  console_url: string;
  login_url: string;
  accelerator: string;
  state_dir: string;
}

interface LocalHandoff {
  api_url: string;
  api_key: string;
  login_url: string;
}

interface WorkerReady {
  accelerator: string;
  accelerator_explanation: string;
}

export const handoffFile = (layout: StateLayout): string => join(layout.data, "server", "local.json");
export const workerReadyFile = (layout: StateLayout): string => join(layout.data, "worker", "ready.json");

export async function readyFacts(layout: StateLayout, options: { freshLink: boolean }): Promise<Ready> {
  if (options.freshLink) await askForFreshLink(layout);
  const handoff = await readJson<LocalHandoff>(handoffFile(layout));
  const worker = await readJson<WorkerReady>(workerReadyFile(layout));
  if (!handoff) throw new LocalError("The server has not written its key.", `see ${join(layout.logs, "server.log")}`);
  await writePrivate(layout.clientEnv, `HELMR_API_URL='${handoff.api_url}'\nHELMR_API_KEY='${handoff.api_key}'\n`);
  return {
    api_url: handoff.api_url,
    api_key: handoff.api_key,
    console_url: handoff.api_url,
    login_url: handoff.login_url,
    accelerator: worker?.accelerator ?? "unknown",
    state_dir: layout.root,
  };
}

/** Each link works once; the server writes a new one when it gets SIGUSR2. */
async function askForFreshLink(layout: StateLayout): Promise<void> {
  const server = (await readJson<SupervisorRecord>(layout.supervisor))?.components["server"];
  if (!server) return;
  const written = async () => (await stat(handoffFile(layout)).catch(() => undefined))?.mtimeMs;
  const before = await written();
  process.kill(server.pid, "SIGUSR2");
  const deadline = Date.now() + 5_000;
  while (Date.now() < deadline && (await written()) === before) await delay(20);
}

export function describeReady(ready: Ready): string {
  const accelerator =
    ready.accelerator === "tcg"
      ? "tcg (software emulation: no usable hardware virtualization; ./helmr doctor says why)"
      : ready.accelerator;
  return `
Helmr is ready.

  Console      ${ready.console_url}
  Log in once  ${ready.login_url}
  Accelerator  ${accelerator}
  State        ${ready.state_dir}

Next:
  ./helmr deploy examples/hello
  ./helmr session start hello --payload name=Ada --follow
  ./helmr init --dir ../my-project     a project of your own
`;
}

export async function printEnvironment(layout: StateLayout): Promise<string> {
  const text = await readFile(layout.clientEnv, "utf8").catch(() => undefined);
  if (text === undefined) throw new LocalError("This install has never been started.", "./helmr up");
  return text.replace(/^/gm, "export ").replace(/export $/, "");
}
