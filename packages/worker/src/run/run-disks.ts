/** The disks of a run, side by side: workspace over its version, scratch over an empty file system, the task's tree as it is. */
import { join } from "node:path";
import type { RunLease } from "@helmr/protocol/worker";
import { type EmptyKind, smallestDiskBytes } from "../disks/empty-disks.ts";
import { type DiskGround, LayeredDisk } from "../disks/layered-disk.ts";
import type { MachineDisks } from "../guest/guest-machine.ts";
import type { Cleanup } from "../host/cleanup.ts";
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
    workspaceDisk(host, lease, { path: join(directory, "workspace.qcow2"), access }),
    emptyDisk(host, "scratch", { path: join(directory, "scratch.qcow2"), sizeBytes: host.scratchMib * MiB }),
    host.bases.acquire(lease.task_tree, access),
  ] as const);
  await cleanup.add("scratch disk", () => scratch.release());
  await cleanup.add("task tree", () => task.release());
  return { workspace, scratch, task: task.path };
}

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
