/**
 * A control group of the host per machine: processor share, memory, number of tasks. Version 2 where it is mounted whole, else the version 1
 * hierarchies, else nothing (the guest's own size still bounds memory). Setting up is best effort; what was not possible is said.
 */
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { VmError } from "../driver.ts";

export interface GroupLimits {
  milliCpu: number;
  memoryBytes: number;
  tasks: number;
}

export interface HostCgroups {
  explanation: string;
  /** Makes the machine's group and moves the process into it. */
  place(id: string, pid: number, limits: GroupLimits): Promise<void>;
  /** Gives an existing group other limits. */
  limit(id: string, limits: GroupLimits): Promise<void>;
  remove(id: string): Promise<void>;
  /** Machines that have a group. */
  list(): Promise<string[]>;
  /** Removes the group above the machines' when nothing is left in it; it is made again when needed. */
  dissolve(): Promise<void>;
}

const root = "/sys/fs/cgroup";
const periodUs = 100_000;
const removeMs = 2_000;
const removePollMs = 10;

export async function findCgroups(name: string): Promise<HostCgroups> {
  const unified = await readFile(join(root, "cgroup.controllers"), "utf8").catch(() => undefined);
  if (unified !== undefined) return (await versionTwo(name, unified.trim().split(" "))) ?? none("the control group tree cannot be written");
  return (await versionOne(name)) ?? none("no control group hierarchy can be written");
}

function none(explanation: string): HostCgroups {
  const nothing = (): Promise<void> => Promise.resolve();
  return { explanation, place: nothing, limit: nothing, remove: nothing, list: () => Promise.resolve([]), dissolve: nothing };
}

async function versionTwo(name: string, controllers: readonly string[]): Promise<HostCgroups | undefined> {
  const parent = join(root, name);
  const wanted = ["cpu", "memory", "pids"].filter((controller) => controllers.includes(controller));
  const enable = wanted.map((controller) => `+${controller}`).join(" ");
  try {
    await writeFile(join(root, "cgroup.subtree_control"), enable);
    await mkdir(parent, { recursive: true });
    await writeFile(join(parent, "cgroup.subtree_control"), enable);
  } catch {
    return undefined;
  }
  const limit = (id: string, limits: GroupLimits): Promise<void> =>
    setKnown(join(parent, id), {
      "cpu.max": `${cpuQuotaUs(limits)} ${periodUs}`,
      "memory.max": String(limits.memoryBytes),
      "memory.swap.max": "0",
      "pids.max": String(limits.tasks),
    });
  return {
    explanation: `control groups version 2 (${wanted.join(" ")}) below ${parent}`,
    async place(id, pid, limits) {
      if ((await mkdir(parent, { recursive: true })) !== undefined) await writeFile(join(parent, "cgroup.subtree_control"), enable);
      await mkdir(join(parent, id), { recursive: true });
      await limit(id, limits);
      await writeFile(join(parent, id, "cgroup.procs"), String(pid));
    },
    limit,
    remove: (id) => removeGroup(join(parent, id)),
    list: () => listGroups(parent),
    dissolve: () => dissolveGroup(parent),
  };
}

async function versionOne(name: string): Promise<HostCgroups | undefined> {
  const hierarchies: string[] = [];
  for (const controller of ["cpu", "memory", "pids"]) {
    const made = await mkdir(join(root, controller, name), { recursive: true }).then(
      () => readFile(join(root, controller, name, "cgroup.procs"), "utf8"),
      () => undefined,
    );
    if (made !== undefined) hierarchies.push(controller);
  }
  if (hierarchies.length === 0) return undefined;
  const groups = (id: string): string[] => hierarchies.map((controller) => join(root, controller, name, id));
  const limit = async (id: string, limits: GroupLimits): Promise<void> => {
    const values = {
      "cpu.cfs_period_us": String(periodUs),
      "cpu.cfs_quota_us": String(cpuQuotaUs(limits)),
      "memory.limit_in_bytes": String(limits.memoryBytes),
      "pids.max": String(limits.tasks),
    };
    for (const group of groups(id)) await setKnown(group, values);
  };
  return {
    explanation: `control groups version 1 (${hierarchies.join(" ")}) named ${name}`,
    async place(id, pid, limits) {
      for (const group of groups(id)) await mkdir(group, { recursive: true });
      await limit(id, limits);
      for (const group of groups(id)) await writeFile(join(group, "cgroup.procs"), String(pid));
    },
    limit,
    async remove(id) {
      for (const group of groups(id)) await removeGroup(group);
    },
    list: async () => [...new Set((await Promise.all(hierarchies.map((controller) => listGroups(join(root, controller, name))))).flat())],
    async dissolve() {
      for (const controller of hierarchies) await dissolveGroup(join(root, controller, name));
    },
  };
}

function cpuQuotaUs({ milliCpu }: GroupLimits): number {
  // The kernel refuses less than a millisecond.
  return Math.max(1000, Math.round((milliCpu * periodUs) / 1000));
}

/** A file that this hierarchy does not have is skipped. */
async function setKnown(group: string, values: Record<string, string>): Promise<void> {
  const present = new Set(await readdir(group));
  for (const [file, value] of Object.entries(values)) if (present.has(file)) await writeFile(join(group, file), value);
}

/** A process that was killed may stay in its group for a moment, until its parent has taken notice. */
async function removeGroup(group: string): Promise<void> {
  const deadline = performance.now() + removeMs;
  for (;;) {
    const code = await tryRemove(group);
    if (code === undefined || code === "ENOENT") return;
    if (code !== "EBUSY" || performance.now() > deadline)
      throw new VmError("monitor_unresponsive", `The control group ${group} cannot be removed: ${code}`);
    await pause(removePollMs);
  }
}

function tryRemove(group: string): Promise<string | undefined> {
  return rmdir(group).then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );
}

/** Somebody's machines may still be in it. */
async function dissolveGroup(group: string): Promise<void> {
  await tryRemove(group);
}

async function listGroups(parent: string): Promise<string[]> {
  const entries = await readdir(parent, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}
