/** The disks of a run, side by side: workspace over its version, scratch over an empty file system, the task's tree as it is. */
import { join } from "node:path";
import type { RunLease } from "@helmr/protocol/worker";
import { type EmptyKind, smallestDiskBytes } from "../disks/empty-disks.ts";
import { type DiskGround, LayeredDisk } from "../disks/layered-disk.ts";
import type { MachineDisks } from "../guest/guest-machine.ts";
import type { Cleanup } from "../host/cleanup.ts";
import type { RunJournal } from "./run-journal.ts";
import type { WorkerHost } from "../worker-host.ts";
import type { Access, Base } from "../workspace/base-store.ts";

const MiB = 1024 * 1024;

export async function prepareRunDisks(
  host: WorkerHost,
  lease: RunLease,
  parts: { directory: string; access: Access; cleanup: Cleanup },
): Promise<MachineDisks> {
  const { directory, access, cleanup } = parts;
  const [workspace, scratch, task] = await settledTogether([
    workspaceDisk(host, lease, { path: workspacePath(directory), access }),
    emptyDisk(host, "scratch", { path: scratchPath(directory), sizeBytes: host.scratchMib * MiB }),
    host.bases.acquire(lease.task_tree, access),
  ] as const);
  await cleanup.add("scratch disk", () => scratch.release());
  await cleanup.add("task tree", () => task.release());
  return { workspace, scratch, task: task.path };
}

/** The disks of a machine that runs already. What is below them is held again. */
export async function reopenRunDisks(
  host: WorkerHost,
  lease: RunLease,
  parts: { directory: string; journal: RunJournal; access: Access; cleanup: Cleanup },
): Promise<MachineDisks> {
  const { directory, journal, access, cleanup } = parts;
  const { sizeBytes, base } = journal.workspace;
  const ground: DiskGround =
    base === null
      ? { kind: "empty", empty: await host.empties.get("workspace", sizeBytes) }
      : { kind: "base", base: await host.bases.acquire(base, access) };
  const workspace = LayeredDisk.reopen({ path: workspacePath(directory), sizeBytes, ground });
  const scratchBytes = journal.scratch?.length_bytes ?? Math.max(host.scratchMib * MiB, smallestDiskBytes);
  const scratch = LayeredDisk.reopen({
    path: scratchPath(directory),
    sizeBytes: scratchBytes,
    ground:
      journal.scratch === undefined
        ? { kind: "empty", empty: await host.empties.get("scratch", scratchBytes) }
        : { kind: "base", base: await host.bases.acquire(journal.scratch, access) },
  });
  const task = await host.bases.acquire(lease.task_tree, access);
  await cleanup.add("scratch disk", () => scratch.release());
  await cleanup.add("task tree", () => task.release());
  return { workspace, scratch, task: task.path };
}

export const workspacePath = (directory: string): string => join(directory, "workspace.qcow2");
export const scratchPath = (directory: string): string => join(directory, "scratch.qcow2");

async function workspaceDisk(host: WorkerHost, lease: RunLease, parts: { path: string; access: Access }): Promise<LayeredDisk> {
  const { base, size_mib: sizeMib } = lease.workspace;
  if (base === null) return emptyDisk(host, "workspace", { path: parts.path, sizeBytes: sizeMib * MiB });
  const ground: DiskGround = { kind: "base", base: await host.bases.acquire(base, parts.access) };
  return LayeredDisk.create({ path: parts.path, sizeBytes: Math.max(base.length_bytes, sizeMib * MiB), ground });
}

export async function emptyDisk(host: WorkerHost, kind: EmptyKind, parts: { path: string; sizeBytes: number }): Promise<LayeredDisk> {
  const sizeBytes = Math.max(parts.sizeBytes, smallestDiskBytes);
  const ground: DiskGround = { kind: "empty", empty: await host.empties.get(kind, sizeBytes) };
  return LayeredDisk.create({ path: parts.path, sizeBytes, ground });
}

/** Like Promise.all, but when one fails the others are waited for and given back. */
async function settledTogether<A extends LayeredDisk, B extends LayeredDisk, C extends Base>(
  work: readonly [Promise<A>, Promise<B>, Promise<C>],
): Promise<[A, B, C]> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === "rejected");
  if (failed === undefined) return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as [A, B, C];
  for (const result of results) if (result.status === "fulfilled") await result.value.release();
  throw failed.reason;
}
