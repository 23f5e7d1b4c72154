/**
 * What granted leases carry to their worker (protocol/worker/leases.ts): everything an attempt or a build needs, secrets included. Reading again gives the
 * same, so an answer that was lost can be given once more. A run whose secrets are gone is ended here: it must not start with half of them.
 */
import type { ArtifactRef, BuildLease, Lease, RunLease, StorageKeys } from "@helmr/protocol/worker";
import { required } from "../assert.ts";
import { builtInImage } from "../domain/declarations.ts";
import { engineLimits } from "../limits.ts";
import {
  type ArtifactColumns,
  type BuildLeaseRow,
  leaseContentBuilds,
  leaseContentRuns,
  type RunLeaseRow,
} from "../store/lease-content.ts";
import { leaseEndingRunByLease } from "../store/lease.ts";
import { deliverSecrets, type Delivery, unavailableSecretText } from "./deliver-secrets.ts";
import { endFailedAttempt } from "./end-attempt.ts";
import type { EngineContext } from "../engine-context.ts";

export async function readLeases(
  context: EngineContext,
  leases: readonly { id: string; kind: "run" | "build" | "mount" }[],
): Promise<Lease[]> {
  const ids = (kind: string) => leases.filter((lease) => lease.kind === kind).map((lease) => lease.id);
  const [runs, builds, mounts] = [ids("run"), ids("build"), ids("mount")];
  const storage = storageReader(context);
  const [runRows, buildRows, mountLeases] = await Promise.all([
    runs.length > 0 ? leaseContentRuns(context.db, runs) : [],
    builds.length > 0 ? leaseContentBuilds(context.db, builds) : [],
    mounts.length > 0 ? context.hooks.readMountLeases(context, mounts) : [],
  ]);
  const runLeases = await Promise.all(runRows.map((row) => runLease(context, row, storage)));
  const read = [...runLeases.filter((lease) => lease !== undefined), ...buildRows.map((row) => buildLease(row, storage)), ...mountLeases];
  const order = new Map(leases.map((lease, index) => [lease.id, index]));
  return read.sort((left, right) => (order.get(left.lease_id) ?? 0) - (order.get(right.lease_id) ?? 0));
}

type Storage = (orgId: string) => StorageKeys;

/** Keys of an organization's chunks, derived once per answer. */
export function storageReader({ keys }: EngineContext): Storage {
  const known = new Map<string, StorageKeys>();
  return (orgId) => {
    const present = known.get(orgId);
    if (present) return present;
    const { idKey, current, contentKeys } = keys.storageKeys(orgId);
    const read: StorageKeys = {
      org_id: orgId,
      id_key: idKey.toString("base64"),
      current,
      content_keys: Object.fromEntries([...contentKeys].map(([id, key]) => [id, key.toString("base64")])),
    };
    known.set(orgId, read);
    return read;
  };
}

async function runLease(context: EngineContext, row: RunLeaseRow, storage: Storage): Promise<RunLease | undefined> {
  const delivery = await secretsOf(context, row);
  if (!delivery.ok) {
    await failUndeliverable(context, row.lease_id, delivery.unavailable.map(unavailableSecretText).join("; "));
    return undefined;
  }
  const checkpoint =
    row.checkpoint_id === null
      ? null
      : await context.hooks.readCheckpoint(context, {
          checkpointId: row.checkpoint_id,
          leaseId: row.lease_id,
          baseVersionId: row.base_version_id,
        });
  if (checkpoint === undefined) return undefined;
  const logged = (stream: string) => row.log_streams?.find((item) => item.stream === stream)?.length ?? 0;
  return {
    kind: "run",
    lease_id: row.lease_id,
    fence: row.fence,
    ttl_ms: row.ttl_ms,
    needs: { milli_cpu: row.milli_cpu, memory_mib: row.memory_mib, disk_mib: row.disk_mib },
    run: {
      id: row.run_id,
      session_id: row.session_id,
      org_id: row.org_id,
      project_id: row.project_id,
      environment_id: row.environment_id,
      deployment_id: row.deployment_id,
      attempt_id: row.attempt_id,
      attempt_number: row.attempt_number,
      task_id: row.task_id,
      module: row.module_path,
      export_name: row.export_name,
      payload: row.payload,
      active_ms_left: Math.max(0, row.max_duration_seconds * 1_000 - row.active_ms),
      secrets: row.secrets.flatMap((secret) => {
        const value = delivery.values.get(secret.name);
        return value === undefined ? [] : [{ ...secret, value }];
      }),
      trace_id: row.trace_id,
    },
    report: { accepted: row.report_seq, stdout: logged("stdout"), stderr: logged("stderr"), logger: logged("logger") },
    image: { ref: row.image_ref, artifact: row.image && artifactRef(row.image), config: imageConfig(row.image_config) },
    network: row.network,
    task_tree: artifactRef(required(row.task_tree, "A deployed deployment has its task tree")),
    workspace: {
      workspace_id: row.workspace_id,
      mount_id: row.mount_id,
      fence: row.mount_fence,
      mount_path: row.workspace_path,
      size_mib: row.sandbox_disk_mib ?? engineLimits.workspaceMibDefault,
      base_version_id: row.base_version_id,
      base: row.base && artifactRef(row.base),
    },
    checkpoint,
    ...(row.in_mount_lease_id === null ? {} : { in_mount: { lease_id: row.in_mount_lease_id } }),
    storage: storage(row.org_id),
  };
}

/** A run that resumes has its secrets in its memory: those that are still there are wanted to mask its output, the others are not missed. */
async function secretsOf({ db, keys }: EngineContext, row: RunLeaseRow): Promise<Delivery> {
  const names = row.secrets.map((secret) => secret.name);
  const delivery = await deliverSecrets(db, keys, row.environment_id, names);
  if (delivery.ok || row.checkpoint_id === null) return delivery;
  const gone = new Set(delivery.unavailable.map((secret) => secret.name));
  const left = names.filter((name) => !gone.has(name));
  return deliverSecrets(db, keys, row.environment_id, left);
}

function buildLease(row: BuildLeaseRow, storage: Storage): BuildLease {
  return {
    kind: "build",
    lease_id: row.lease_id,
    fence: row.fence,
    ttl_ms: row.ttl_ms,
    needs: { milli_cpu: row.milli_cpu, memory_mib: row.memory_mib, disk_mib: row.disk_mib },
    deployment: {
      id: row.deployment_id,
      org_id: row.org_id,
      project_id: row.project_id,
      environment_id: row.environment_id,
      version: row.version,
      content_hash: row.content_hash,
      source_bytes: row.source_size_bytes,
      attempt: row.build_attempts,
      timeout_ms: engineLimits.buildTimeoutMs,
    },
    image: { ref: builtInImage, artifact: null, config: imageConfig({}) },
    // Dependencies come from a registry that the operator names on the worker; the worker's own rules still refuse private ranges.
    network: { internet: true },
    storage: storage(row.org_id),
  };
}

export function artifactRef(row: ArtifactColumns): ArtifactRef {
  return { artifact_id: row.artifact_id, manifest_key: row.manifest_key, digest: row.digest, length_bytes: row.length_bytes };
}

/** sdk §2.2: without a WORKDIR the image's working directory is /workspace, without a USER the user is root. */
export function imageConfig(config: RunLeaseRow["image_config"]): { env: Record<string, string>; workdir: string; user: string } {
  return { env: config.env ?? {}, workdir: config.workdir ?? "/workspace", user: config.user ?? "root" };
}

async function failUndeliverable(context: EngineContext, leaseId: string, message: string): Promise<void> {
  await context.db.tx(async (tx) => {
    const run = await leaseEndingRunByLease(tx, leaseId);
    if (!run || run.lease_id !== leaseId) return;
    // Nothing would change by trying again: the policy is not asked.
    await endFailedAttempt(
      tx,
      context,
      { ...run, retry: { enabled: false } },
      {
        failure: { kind: "worker_failed", exitCode: null, detail: { reason: "secret_unavailable", message } },
        attemptState: "failed",
        activeMs: run.active_ms,
        ending: { lease: "released", mount: "unmounted" },
      },
    );
  });
}
