/**
 * How a worker borrows work. All routes are below /api/worker, JSON, with the worker's credential as bearer.
 *
 *   1. `enroll` once per host (enrollment secret of a group) → credential
 *   2. `start` once per process → epoch, and a verdict on every lease the host still holds machines for
 *   3. `claim` (long poll, woken by push) with free capacity → leases with everything needed
 *   4. `renew` every limits.leaseRenewMs for all leases in one call → deadlines, directives
 *   5. `channel` (WebSocket): the same directives at once; it only carries "look now", losing it costs latency
 *
 * Every later call names lease and fence. `stale` means: stop what the lease covers, kill the machine first, report nothing more about it.
 * A worker retries each call with jitter until the lease deadline, never less (engine §2). Durations, not instants, cross this wire, so that
 * a worker's wrong clock changes nothing.
 */
import * as z from "zod";
import { liveDownMessages, processOrder } from "./live.ts";

const id = z.uuid();
const count = z.number().int().nonnegative();

export const capacity = z.object({ milli_cpu: count, memory_mib: count, disk_mib: count, slots: count });
export type Capacity = z.output<typeof capacity>;

export const workerFacts = z.object({
  version: z.string().max(64),
  driver: z.string().max(32),
  driver_version: z.string().max(64),
  accelerator: z.enum(["kvm", "hvf", "tcg"]),
  accelerator_explanation: z.string().max(4096),
  cpu_family: z.string().max(256),
  architecture: z.enum(["amd64", "arm64"]),
  hostname: z.string().max(256),
  /** Digest of what its guests are made of: kernel, initramfs, substrate, and the machine that the driver describes. */
  guest: z.string().max(128).optional(),
});
export type WorkerFacts = z.output<typeof workerFacts>;

/** Which snapshots a worker can restore: those of an equal guest, cut by an equal monitor on equal processors. */
export function workerRestores(
  facts: Pick<WorkerFacts, "driver" | "driver_version" | "accelerator" | "cpu_family" | "architecture" | "guest">,
): string {
  const { driver, driver_version: version, accelerator, cpu_family: family, architecture, guest = "" } = facts;
  return [driver, version, accelerator, architecture, guest, family].join("|").slice(0, 512);
}

export const enrollRequest = z.object({ name: z.string().min(1).max(256), facts: workerFacts });
export const enrollResponse = z.object({ worker_id: id, worker_group: z.string(), credential: z.string() });

export const startRequest = z.object({
  facts: workerFacts,
  total: capacity,
  /** Leases whose machines still run on this host. */
  adopt: z.array(z.object({ lease_id: id, fence: count })).max(10_000),
});

export const fencedLease = z.object({ lease_id: id, fence: count });

/** A block artifact in the chunk store. */
export const artifactRef = z.object({
  artifact_id: id,
  manifest_key: z.string(),
  digest: z.string(),
  length_bytes: count,
});
export type ArtifactRef = z.output<typeof artifactRef>;

/** An artifact the worker has stored: packs first, then the manifest, then this call makes it true. */
export const newArtifact = z.object({
  artifact_id: id,
  manifest_key: z.string().max(1024),
  digest: z.string().max(128),
  length_bytes: count,
  stored_bytes: count,
  /** All packs the manifest refers to, new and old. */
  packs: z.array(z.object({ pack_id: id, object_key: z.string().max(1024), size_bytes: count })).max(100_000),
});
export type NewArtifact = z.output<typeof newArtifact>;

/** Keys of the tenant's chunks; kept in memory only. `id_key` makes chunk ids, `content_keys` opens chunks, `current` seals new ones. */
export const storageKeys = z.object({
  org_id: id,
  id_key: z.base64(),
  current: z.string(),
  content_keys: z.record(z.string(), z.base64()),
});
export type StorageKeys = z.output<typeof storageKeys>;

export const imageRef = z.object({
  /** `helmr/node:24`, or the digest of a built image. */
  ref: z.string(),
  /** Absent for the built-in base image, which every worker has. */
  artifact: artifactRef.nullable(),
  config: z.object({ env: z.record(z.string(), z.string()), workdir: z.string(), user: z.string() }),
});
export type ImageRef = z.output<typeof imageRef>;

export const networkPolicy = z.object({
  internet: z.boolean(),
  allow: z.array(z.string()).optional(),
  deny: z.array(z.string()).optional(),
});
export type NetworkPolicy = z.output<typeof networkPolicy>;

export const secretValue = z.object({
  name: z.string(),
  value: z.string(),
  env: z.string().optional(),
  file: z.string().optional(),
  dir: z.string().optional(),
  mode: z.string().optional(),
  owner: z.string().optional(),
});
export type SecretValue = z.output<typeof secretValue>;

export const machineNeeds = z.object({ milli_cpu: count, memory_mib: count, disk_mib: count });

export const workspaceMount = z.object({
  workspace_id: id,
  mount_id: id,
  fence: count,
  mount_path: z.string(),
  size_mib: count,
  base_version_id: id,
  /** null: the empty tree. */
  base: artifactRef.nullable(),
});
export type WorkspaceMount = z.output<typeof workspaceMount>;

export const checkpointRef = z.object({
  checkpoint_id: id,
  wait_id: id,
  call_id: count,
  compatibility: z.record(z.string(), z.unknown()),
  resume_state: z.record(z.string(), z.unknown()),
  template: artifactRef,
  memory: artifactRef,
  device: artifactRef,
  scratch: artifactRef,
  /** What the wait ended with: delivered as the answer of its call. */
  outcome: z.unknown(),
});

export const runLease = z.object({
  kind: z.literal("run"),
  lease_id: id,
  fence: count,
  ttl_ms: count,
  needs: machineNeeds,
  run: z.object({
    id,
    session_id: id,
    org_id: id,
    project_id: id,
    environment_id: id,
    deployment_id: id,
    attempt_id: id,
    attempt_number: z.number().int().positive(),
    task_id: z.string(),
    module: z.string(),
    export_name: z.string(),
    payload: z.unknown(),
    /** Active time that is left over all attempts. */
    active_ms_left: count,
    secrets: z.array(secretValue),
    trace_id: z.string(),
  }),
  /** How far the attempt's report has come: zeros for a new attempt, more for one that resumes. Lengths are of this attempt. */
  report: z.object({ accepted: count, stdout: count, stderr: count, logger: count }),
  image: imageRef,
  network: networkPolicy,
  task_tree: artifactRef,
  workspace: workspaceMount,
  checkpoint: checkpointRef.nullable(),
  /** It runs in the machine of this lease, a mount of the same worker; nothing is booted, and `needs` counts nothing. Absent: a machine of its own. */
  in_mount: z.object({ lease_id: id }).optional(),
  storage: storageKeys,
});
export type RunLease = z.output<typeof runLease>;

export const buildLease = z.object({
  kind: z.literal("build"),
  lease_id: id,
  fence: count,
  ttl_ms: count,
  needs: machineNeeds,
  deployment: z.object({
    id,
    org_id: id,
    project_id: id,
    environment_id: id,
    version: z.string(),
    content_hash: z.string(),
    source_bytes: count,
    attempt: z.number().int().positive(),
    /** Wall time the whole build may take. */
    timeout_ms: count,
  }),
  image: imageRef,
  network: networkPolicy,
  storage: storageKeys,
});
export type BuildLease = z.output<typeof buildLease>;

/** A workspace that somebody wants mounted without a run (connect, exec, terminal, live files). */
export const mountLease = z.object({
  kind: z.literal("mount"),
  lease_id: id,
  fence: count,
  ttl_ms: count,
  needs: machineNeeds,
  environment_id: id,
  org_id: id,
  image: imageRef,
  network: networkPolicy,
  /** Of the deployment whose runs may use the machine. */
  task_tree: artifactRef.nullable(),
  workspace: workspaceMount,
  storage: storageKeys,
});
export type MountLease = z.output<typeof mountLease>;

export const lease = z.discriminatedUnion("kind", [runLease, buildLease, mountLease]);
export type Lease = z.output<typeof lease>;

export const startResponse = z.object({
  epoch: count,
  adopted: z.array(id),
  stale: z.array(id),
  /** The adopted leases in full, as `claim` gave them: keys and secrets are in the worker's memory only, and this process has none yet. */
  leases: z.array(lease).optional(),
});

/** The host is told to stop: it wants no more work, and asks until nothing is held any more. */
export const drainRequest = z.object({ epoch: count });
export const drainResponse = z.object({ state: z.string(), held: count });

export const claimRequest = z.object({
  epoch: count,
  free: capacity,
  /** Image refs with a warm template, and workspaces with a local copy of their head: placement prefers them. */
  warm: z.object({ images: z.array(z.string()).max(1000), workspaces: z.array(id).max(10_000), checkpoints: z.array(id).max(10_000) }),
  kinds: z.array(z.enum(["run", "build", "mount"])).min(1),
  /**
   * Leases that this process has. The answer gives again what the worker holds in this epoch beyond these: the answer that gave it was lost.
   * Absent: nothing is given again.
   */
  held: z.array(id).max(10_000).optional(),
  /** How long the answer may wait for work. */
  wait_ms: z.number().int().min(0).max(60_000),
});
export type ClaimRequest = z.output<typeof claimRequest>;
export const claimResponse = z.object({ leases: z.array(lease) });

/** What the control plane wants of a holder; repeated on every renewal until it is done, so each must be safe to repeat. */
export const directive = z.discriminatedUnion("type", [
  z.object({ type: z.literal("cancel"), lease_id: id, force: z.boolean(), reason: z.string() }),
  /** The condition of an open wait came true (or ended): answer of the program call `call_id`. */
  z.object({ type: z.literal("wait.resolved"), lease_id: id, wait_id: id, call_id: count, outcome: z.unknown() }),
  z.object({ type: z.literal("park"), lease_id: id, wait_id: id }),
  z.object({ type: z.literal("capture"), lease_id: id, capture_id: id }),
  z.object({ type: z.literal("unmount"), lease_id: id }),
  processOrder,
  z.object({ type: z.literal("fenced"), lease_id: id }),
]);
export type Directive = z.output<typeof directive>;

export const renewRequest = z.object({
  epoch: count,
  leases: z
    .array(
      fencedLease.extend({
        active_ms: count.optional(),
        /** Calls of the program that still wait; the answer carries those that are resolved meanwhile. */
        open_calls: z.array(count).max(64).optional(),
      }),
    )
    .max(10_000),
});
export const renewResponse = z.object({
  results: z.array(
    z.discriminatedUnion("state", [
      z.object({ state: z.literal("held"), lease_id: id, ttl_ms: count, directives: z.array(directive) }),
      z.object({ state: z.literal("stale"), lease_id: id }),
    ]),
  ),
  drain: z.boolean(),
});

/** One text frame of the worker's WebSocket, control plane → worker; live.ts has the other direction. */
export const channelMessage = z.discriminatedUnion("type", [
  z.object({ type: z.literal("ready") }),
  z.object({ type: z.literal("ping") }),
  z.object({ type: z.literal("directive"), directive }),
  z.object({ type: z.literal("drain") }),
  ...liveDownMessages,
]);
export type ChannelMessage = z.output<typeof channelMessage>;

/** 409 answer of every fenced call whose fence is not the present one. */
export const staleResponse = z.object({ error: z.string(), code: z.literal("stale_lease") });
