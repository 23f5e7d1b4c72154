/** `helmr down`: ends everything an install started, the leftovers of killed parts included; `--purge` removes its state. */
import { readdir, readFile, readlink, realpath } from "node:fs/promises";
import { endProcess, identify, type ProcessId } from "./processes.ts";
import { findState, purgeState, readJson, type StateLayout } from "./state.ts";
import type { SupervisorRecord } from "./supervise.ts";
import { rm } from "node:fs/promises";

const supervisorGraceMs = 60_000;

export async function down(stateDirectory: string, options: { purge: boolean; say: (line: string) => void }): Promise<void> {
  const layout = await findState(stateDirectory);
  const ended = await endInstall(layout, { machines: "end" });
  options.say(ended === 0 ? "Nothing was running." : "Stopped.");
  if (options.purge) {
    await purgeState(layout);
    options.say(`Removed ${layout.root}.`);
  }
}

/** Returns how many processes were ended. Machines that are left to the next worker may have a run in them that it goes on with. */
export async function endInstall(layout: StateLayout, { machines }: { machines: "end" | "leave" }): Promise<number> {
  let ended = 0;
  const record = await readJson<SupervisorRecord>(layout.supervisor);
  if (record && (await identify(record.pid))?.startTime === record.startTime) {
    await endProcess(record, supervisorGraceMs);
    ended += 1;
  }
  for (const leftover of await leftovers(layout, { machines })) {
    await endProcess(leftover, 5_000);
    ended += 1;
  }
  await rm(layout.supervisor, { force: true });
  return ended;
}

/**
 * Processes of this install that nobody supervises any more: they name its data directory on their command line or in their environment, or, as
 * monitors, which are given everything as descriptors, hold files of it.
 */
async function leftovers(layout: StateLayout, { machines }: { machines: "end" | "leave" }): Promise<ProcessId[]> {
  const found: ProcessId[] = [];
  const files = await realpath(layout.data).catch(() => layout.data);
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid || pid === process.ppid) continue;
    if (!(await belongsTo(pid, { data: layout.data, machineFiles: machines === "end" ? `${files}/worker/` : undefined }))) continue;
    const id = await identify(pid);
    if (id) found.push(id);
  }
  return found;
}

async function belongsTo(pid: number, { data, machineFiles }: { data: string; machineFiles: string | undefined }): Promise<boolean> {
  const executable = await readlink(`/proc/${pid}/exe`).catch(() => "");
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  if (executable.endsWith("/postgres")) return command.split("\0").some((argument) => argument.includes(`${data}/`));
  if (/\/qemu-system-[a-z0-9_]+$/.test(executable)) return machineFiles !== undefined && holdsFileBelow(pid, machineFiles);
  if (!executable.endsWith("/node")) return false;
  const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
  return environment.split("\0").some((entry) => entry === `HELMR_LOCAL_DATA=${data}`);
}

async function holdsFileBelow(pid: number, directory: string): Promise<boolean> {
  for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
    if (target.startsWith(directory)) return true;
  }
  return false;
}
