/**
 * A parked run on this host again: the files of its cut from the cache of this host or from the store, its disks over what they were, and the machine
 * restored. Until the control plane has heard `resumed` nothing in it moves; whatever fails before that is said as a failed restore, and the
 * control plane decides. Everything acquired is in the run's cleanup.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { RunLease } from "@helmr/protocol/worker";
import * as z from "zod";
import { BlobError } from "../chunks/blob-port.ts";
import { ChunkError } from "../chunks/sealing.ts";
import type { CutFiles } from "../checkpoints/checkpoint-cache.ts";
import { memoryOfBase, memoryOfTemplate, type TemplateMemory } from "../checkpoints/template-memory.ts";
import { LayeredDisk } from "../disks/layered-disk.ts";
import { acquireTemplate, type MachineDisks, readOnlyDisk } from "../guest/guest-machine.ts";
import type { Cleanup } from "../host/cleanup.ts";
import type { HeldTemplate } from "../templates/template-store.ts";
import { type Machine, type MachineSpec, VmError } from "../vm/driver.ts";
import type { WorkerHost } from "../worker-host.ts";
import type { Access } from "../workspace/base-store.ts";
import { scratchPath, workspacePath } from "./run-disks.ts";

type Checkpoint = NonNullable<RunLease["checkpoint"]>;
export type RestoreReason = "missing" | "corrupt" | "incompatible" | "restore_failed";

/** What the park left for its resume (park-run.ts). */
const resumeState = z.object({
  streams: z.tuple([z.number().int(), z.number().int(), z.number().int()]),
  workspaceBytes: z.number().int().positive(),
});
export type ResumeState = z.output<typeof resumeState>;

export class RestoreRefused extends Error {
  override name = "RestoreRefused";
  readonly reason: RestoreReason;
  constructor(reason: RestoreReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

export function readResumeState(checkpoint: Checkpoint): ResumeState {
  const parsed = resumeState.safeParse(checkpoint.resume_state);
  if (!parsed.success) throw new RestoreRefused("incompatible", "The checkpoint was written by another version of the worker");
  return parsed.data;
}

export interface Restored {
  machine: Machine;
  disks: MachineDisks;
  template: TemplateMemory;
  from: "host" | "store";
}

export interface RestoreParts {
  host: WorkerHost;
  lease: RunLease;
  checkpoint: Checkpoint;
  directory: string;
  access: Access;
  cleanup: Cleanup;
}

export async function restoreMachine(parts: RestoreParts): Promise<Restored> {
  const { host, lease, checkpoint, access, cleanup } = parts;
  const state = readResumeState(checkpoint);
  const [template, disks] = await bothOf(acquireTemplate(host, lease, { access, cleanup, onWait: () => {} }), resumeDisks(parts, state));
  const wanted = checkpoint.compatibility["templateKey"];
  if (wanted !== template.template.key)
    throw new RestoreRefused(
      "incompatible",
      `This worker makes machines with the template ${template.template.key}, not ${String(wanted)}`,
    );
  const { files, memory, from, done } = await cutFiles(parts, template);
  try {
    const machine = await host.driver.restore(
      await specOf(parts, template, disks),
      files,
      AbortSignal.any([access.signal, AbortSignal.timeout(host.limits.startMachineMs)]),
    );
    await cleanup.add("machine", () => machine.stop());
    return { machine, disks, template: memory, from };
  } finally {
    await done();
  }
}

async function specOf(parts: RestoreParts, template: HeldTemplate, disks: MachineDisks): Promise<MachineSpec> {
  const { lease, directory } = parts;
  return {
    id: lease.lease_id,
    directory,
    template: template.template,
    disks: {
      scratch: disks.scratch.machineDisk,
      workspace: disks.workspace.machineDisk,
      ...(disks.task === undefined ? {} : { task: await readOnlyDisk(disks.task) }),
    },
    limits: { milliCpu: lease.needs.milli_cpu },
    snapshotable: true,
  };
}

/** Of this host's cache, or made of what is in the store. `done`: the machine has its own copy. */
async function cutFiles(
  parts: RestoreParts,
  template: HeldTemplate,
): Promise<{ files: CutFiles; memory: TemplateMemory; from: Restored["from"]; done: () => Promise<void> }> {
  const { host, checkpoint, access, directory, cleanup } = parts;
  const local = memoryOfTemplate(host.artifacts, template.template);
  const kept = host.checkpoints.hold(checkpoint.checkpoint_id);
  if (kept !== undefined) return { files: kept, memory: local, from: "host", done: async () => kept.release() };
  const base = await host.bases.acquire(checkpoint.template, access);
  await cleanup.add("memory of the template", () => base.release());
  const place = join(directory, "restore");
  const files = await host.cuts.load({ memory: checkpoint.memory, device: checkpoint.device, template: base.path }, place, access);
  const memory = memoryOfBase(host.artifacts, base, checkpoint.template);
  return { files, memory, from: "store", done: () => rm(place, { recursive: true, force: true }) };
}

async function resumeDisks(
  { host, lease, checkpoint, directory, access, cleanup }: RestoreParts,
  state: ResumeState,
): Promise<MachineDisks> {
  const { base } = lease.workspace;
  if (base === null) throw new RestoreRefused("missing", "The workspace of the checkpoint has no content");
  const [workspace, scratch, task] = await Promise.all([
    host.bases.acquire(base, access),
    host.bases.acquire(checkpoint.scratch, access),
    host.bases.acquire(lease.task_tree, access),
  ]);
  for (const [what, held] of [
    ["workspace", workspace],
    ["scratch", scratch],
    ["task tree", task],
  ] as const)
    await cleanup.add(what, () => held.release());
  const over = (path: string, ground: typeof workspace, sizeBytes: number) =>
    LayeredDisk.create({ path, sizeBytes, ground: { kind: "base", base: ground } });
  return {
    workspace: await over(workspacePath(directory), workspace, state.workspaceBytes),
    scratch: await over(scratchPath(directory), scratch, checkpoint.scratch.length_bytes),
    task: task.path,
  };
}

/** What a failure on the way to a restored machine means for its checkpoint; undefined: it is not the checkpoint's. */
export function restoreFailure(error: unknown): { reason: RestoreReason; message: string } | undefined {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof RestoreRefused) return { reason: error.reason, message };
  if (error instanceof ChunkError) return { reason: error.code === "key_missing" ? "missing" : "corrupt", message };
  if (error instanceof BlobError) {
    if (error.code === "lease_stale") return undefined;
    return { reason: error.code === "blob_missing" ? "missing" : "restore_failed", message };
  }
  if (error instanceof VmError && error.code !== "aborted") return { reason: "restore_failed", message };
  return undefined;
}

/** Waits for both; when one fails, for the other too, so that what it acquired is in the cleanup. */
async function bothOf<A, B>(left: Promise<A>, right: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([left, right]);
  if (a.status === "rejected") throw a.reason;
  if (b.status === "rejected") throw b.reason;
  return [a.value, b.value];
}
