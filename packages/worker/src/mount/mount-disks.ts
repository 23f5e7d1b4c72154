/** The disks of a mount: the workspace over its version, scratch over an empty file system. The task tree is for runs that use the machine. */
import { join } from "node:path";
import type { MountLease } from "@helmr/protocol/worker";
import { smallestDiskBytes } from "../disks/empty-disks.ts";
import { type DiskGround, LayeredDisk } from "../disks/layered-disk.ts";
import type { MachineDisks } from "../guest/guest-machine.ts";
import type { Cleanup } from "../host/cleanup.ts";
import { emptyDisk } from "../run/run-disks.ts";
import type { RunJournal } from "../run/run-journal.ts";
import type { WorkerHost } from "../worker-host.ts";
import type { Access } from "../workspace/base-store.ts";

const MiB = 1024 * 1024;
const workspacePath = (directory: string): string => join(directory, "workspace.qcow2");
const scratchPath = (directory: string): string => join(directory, "scratch.qcow2");

interface Parts {
  directory: string;
  access: Access;
  cleanup: Cleanup;
}

export async function prepareMountDisks(host: WorkerHost, lease: MountLease, { directory, access, cleanup }: Parts): Promise<MachineDisks> {
  const { base, size_mib: sizeMib } = lease.workspace;
  const path = workspacePath(directory);
  const workspace =
    base === null
      ? await emptyDisk(host, "workspace", { path, sizeBytes: sizeMib * MiB })
      : await LayeredDisk.create({
          path,
          sizeBytes: Math.max(base.length_bytes, sizeMib * MiB),
          ground: { kind: "base", base: await host.bases.acquire(base, access) },
        });
  const scratch = await emptyDisk(host, "scratch", { path: scratchPath(directory), sizeBytes: host.scratchMib * MiB });
  await cleanup.add("scratch disk", () => scratch.release());
  return { workspace, scratch, task: await taskTree(host, lease, { access, cleanup }) };
}

/** Of a machine that runs already. */
export async function reopenMountDisks(
  host: WorkerHost,
  lease: MountLease,
  { directory, journal, access, cleanup }: Parts & { journal: RunJournal },
): Promise<MachineDisks> {
  const { sizeBytes, base } = journal.workspace;
  const ground: DiskGround =
    base === null
      ? { kind: "empty", empty: await host.empties.get("workspace", sizeBytes) }
      : { kind: "base", base: await host.bases.acquire(base, access) };
  const workspace = LayeredDisk.reopen({ path: workspacePath(directory), sizeBytes, ground });
  const scratchBytes = Math.max(host.scratchMib * MiB, smallestDiskBytes);
  const scratch = LayeredDisk.reopen({
    path: scratchPath(directory),
    sizeBytes: scratchBytes,
    ground: { kind: "empty", empty: await host.empties.get("scratch", scratchBytes) },
  });
  await cleanup.add("scratch disk", () => scratch.release());
  return { workspace, scratch, task: await taskTree(host, lease, { access, cleanup }) };
}

async function taskTree(host: WorkerHost, lease: MountLease, { access, cleanup }: Omit<Parts, "directory">): Promise<string | undefined> {
  if (lease.task_tree === null) return undefined;
  const tree = await host.bases.acquire(lease.task_tree, access);
  await cleanup.add("task tree", () => tree.release());
  return tree.path;
}
