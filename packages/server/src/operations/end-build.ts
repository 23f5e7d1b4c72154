/**
 * What the holder of a build lease says: ordered events, then the result. A project that breaks a rule of http §9.4 fails here, whatever the guest made of
 * it; an interrupted build is queued again a bounded number of times. Locks: deployment → lease.
 */
import { createHash } from "node:crypto";
import type { z } from "zod";
import { canonicalJson } from "@helmr/protocol/shared";
import type { BuildEvent, buildCompleteRequest, buildCompleteResponse } from "@helmr/protocol/worker";
import { assertNever } from "../assert.ts";
import { builtInImage, type CheckedProject, checkProject } from "../domain/declarations.ts";
import { decideInterruptedBuild } from "../domain/deployment.ts";
import { storableJson, storableText } from "../domain/storable.ts";
import { engineLimits } from "../limits.ts";
import { newId } from "../new-id.ts";
import { artifactInsert } from "../store/artifact.ts";
import type { Tx } from "../store/db.ts";
import {
  type BuildingRow,
  type CatalogSandbox,
  deploymentBuildByLease,
  deploymentCatalogInsert,
  deploymentDeploy,
  deploymentFail,
  deploymentHeldBuild,
  deploymentReported,
  deploymentRequeue,
} from "../store/deployment-build.ts";
import { type DeploymentEvent, deploymentEventAppend } from "../store/deployment.ts";
import { imageStepOfProject } from "../store/image-step.ts";
import { checkArtifact } from "./check-artifact.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { type FencedLease, type Stale, stale, type WorkerActor } from "../worker-actor.ts";

export interface BuildCall extends FencedLease {
  worker: WorkerActor;
  deploymentId: string;
}

export type ReportGap = { gap: true; expected: number };

const isHeld = (build: BuildingRow, leaseId: string) => build.lease_id === leaseId && build.lease_state === "held" && build.in_time;
const lockBuild = (tx: Tx, { leaseId, fence, worker, deploymentId }: BuildCall) =>
  deploymentHeldBuild(tx, { lease_id: leaseId, deployment_id: deploymentId, worker_id: worker.workerId, fence });

export async function reportBuild(
  context: EngineContext,
  call: BuildCall,
  report: { first: number; events: BuildEvent[] },
): Promise<{ accepted: number } | Stale | ReportGap> {
  return context.db.tx(async (tx) => {
    const build = await lockBuild(tx, call);
    if (!build) return stale;
    const last = report.first + report.events.length - 1;
    if (last <= build.build_report_seq) return { accepted: build.build_report_seq };
    if (!isHeld(build, call.leaseId)) return stale;
    if (report.first > build.build_report_seq + 1) return { gap: true, expected: build.build_report_seq + 1 };
    const fresh = report.events.slice(build.build_report_seq + 1 - report.first);
    await deploymentEventAppend(tx, build.id, fresh.filter((event) => !reservedKinds.has(event.kind)).map(builtEvent));
    await deploymentReported(tx, build.id, last);
    tx.afterCommit(() => context.hints.send(topic.deployment(build.id)));
    return { accepted: last };
  });
}

/** Kinds that say what the control plane decided: a worker cannot claim them. */
const reservedKinds = new Set([
  "deployment.queued",
  "deployment.building",
  "deployment.deployed",
  "deployment.failed",
  "deployment.requeued",
  "deployment.promoted",
]);

function builtEvent(event: BuildEvent): DeploymentEvent {
  const attributes = storableJson(event.attributes) as Record<string, unknown>;
  return { kind: event.kind, severity: event.severity, message: storableText(event.message), attributes, ageMs: event.age_ms };
}

type BuildResult = z.output<typeof buildCompleteRequest>["result"];
export type BuildEnd = z.output<typeof buildCompleteResponse>;

export async function completeBuild(
  context: EngineContext,
  call: BuildCall,
  { reportThrough, result }: { reportThrough: number; result: BuildResult },
): Promise<BuildEnd | Stale | ReportGap> {
  return context.db.tx(async (tx) => {
    const build = await lockBuild(tx, call);
    if (!build) return stale;
    if (!isHeld(build, call.leaseId)) return repeatedEnd(build);
    if (reportThrough > build.build_report_seq) return { gap: true, expected: build.build_report_seq + 1 };
    tx.afterCommit(() => context.hints.send(topic.deployment(build.id)));
    switch (result.status) {
      case "interrupted":
        return endInterrupted(tx, context, build, { leaseState: "released", message: storableText(result.message) });
      case "failed":
        return failBuild(tx, build, storableText(result.failure.message), { kind: result.failure.kind });
      case "built":
        return storeBuild(tx, build, result);
      default:
        return assertNever(result);
    }
  });
}

/** The answer to the first completion was lost: it was committed under this lease, or it was not and the lease is lost. */
function repeatedEnd(build: BuildingRow): BuildEnd | Stale {
  if (build.lease_state !== "released") return stale;
  return { state: build.state === "deployed" || build.state === "failed" ? build.state : "requeued" };
}

async function failBuild(tx: Tx, build: BuildingRow, message: string, attributes: Record<string, unknown>): Promise<BuildEnd> {
  await deploymentFail(tx, build, "released", message);
  await deploymentEventAppend(tx, build.id, [{ kind: "deployment.failed", severity: "error", message, attributes }]);
  return { state: "failed" };
}

/** For leases that were lost, and for workers that say so themselves. */
export async function interruptBuild(
  tx: Tx,
  context: EngineContext,
  lost: { leaseId: string; leaseState: "expired" | "fenced"; message: string },
): Promise<boolean> {
  const build = await deploymentBuildByLease(tx, lost.leaseId);
  if (!build || build.lease_id !== lost.leaseId || build.lease_state !== "held") return false;
  if (lost.leaseState === "expired" && build.in_time) return false;
  await endInterrupted(tx, context, build, lost);
  tx.afterCommit(() => context.hints.send(topic.deployment(build.id)));
  return true;
}

async function endInterrupted(
  tx: Tx,
  context: EngineContext,
  build: BuildingRow,
  end: { leaseState: string; message: string },
): Promise<BuildEnd> {
  if (decideInterruptedBuild(build.build_attempts, engineLimits.buildAttemptsMax) === "fail") {
    const message = `the build was interrupted ${build.build_attempts} times: ${end.message}`;
    await deploymentFail(tx, build, end.leaseState, message);
    await deploymentEventAppend(tx, build.id, [
      { kind: "deployment.failed", severity: "error", message, attributes: { kind: "interrupted" } },
    ]);
    return { state: "failed" };
  }
  await deploymentRequeue(tx, build, end.leaseState);
  const message = `the build was interrupted (${end.message}) and is queued again`;
  await deploymentEventAppend(tx, build.id, [
    { kind: "deployment.requeued", severity: "warn", message, attributes: { attempt: build.build_attempts } },
  ]);
  tx.afterCommit(() => context.dispatch.wake(build.worker_group));
  return { state: "requeued" };
}

type Built = Extract<BuildResult, { status: "built" }>;

async function storeBuild(tx: Tx, build: BuildingRow, result: Built): Promise<BuildEnd> {
  const checked = checkProject(storableJson(result.index) as typeof result.index);
  if (!checked.ok) return failBuild(tx, build, checked.message, { kind: "project_rules" });
  const images = builtImages(checked.value, result);
  if (typeof images === "string") return failBuild(tx, build, images, { kind: "images" });
  const wrong = (await checkArtifact(tx, build.org_id, result.task_tree)) ?? (await checkImages(tx, build, result));
  if (wrong) return failBuild(tx, build, wrong, { kind: "artifacts" });
  await artifactInsert(tx, build.org_id, "task", result.task_tree);
  const catalog = catalogRows(build, checked.value, images);
  await deploymentCatalogInsert(tx, catalog);
  await deploymentDeploy(tx, build, {
    taskArtifactId: result.task_tree.artifact_id,
    buildManifestDigest: result.task_tree.digest,
    deploymentManifestDigest: `sha256:${createHash("sha256").update(canonicalJson(checked.value)).digest("hex")}`,
  });
  const message = `deployment ${build.version} is deployed: ${checked.value.tasks.length} ${checked.value.tasks.length === 1 ? "task" : "tasks"}`;
  await deploymentEventAppend(tx, build.id, [
    { kind: "deployment.deployed", severity: "info", message, attributes: { tasks: checked.value.tasks.map((task) => task.taskId) } },
  ]);
  const warm = wantedMachines(catalog.sandboxes);
  return { state: "deployed", ...(warm.length === 0 ? {} : { warm }) };
}

/** Each once; those of the built-in image every worker has. */
function wantedMachines(sandboxes: readonly CatalogSandbox[]): Required<BuildEnd>["warm"] {
  const wanted = sandboxes.flatMap(({ image_artifact_id: built, image_ref: image, milli_cpu, memory_mib }) =>
    built === null ? [] : [{ image, milli_cpu, memory_mib }],
  );
  return [...new Map(wanted.map((one) => [JSON.stringify(one), one])).values()];
}

/** Images are steps that were kept before. */
async function checkImages(tx: Tx, build: BuildingRow, { images }: Built): Promise<string | undefined> {
  if (images.length === 0) return undefined;
  const ids = images.map((image) => image.artifact_id);
  const known = new Set((await imageStepOfProject(tx, build.project_id, ids)).map((row) => row.artifact_id));
  const unknown = images.find((image) => !known.has(image.artifact_id));
  return unknown && `image "${unknown.image}" is artifact ${unknown.artifact_id}, which is no step of this project`;
}

interface ImageColumns {
  image_artifact_id: string | null;
  image_ref: string;
  image_config: object;
}

/** What each declared image became; a sentence when one is missing. */
function builtImages(project: CheckedProject, { images }: Built): Map<string | null, ImageColumns> | string {
  const built = new Map<string | null, ImageColumns>([[null, { image_artifact_id: null, image_ref: builtInImage, image_config: {} }]]);
  for (const image of images)
    built.set(image.image, { image_artifact_id: image.artifact_id, image_ref: image.digest, image_config: image.config });
  const missing = project.sandboxes.find((sandbox) => !built.has(sandbox.image));
  if (!missing) return built;
  return `sandbox "${missing.sandboxId}" uses image "${missing.image}", which this worker does not build: leave the image out to use the built-in base image ${builtInImage}`;
}

function catalogRows(build: BuildingRow, project: CheckedProject, images: Map<string | null, ImageColumns>) {
  return {
    environmentId: build.environment_id,
    deploymentId: build.id,
    sandboxes: project.sandboxes.map((sandbox): CatalogSandbox => ({
      id: newId(),
      sandbox_id: sandbox.sandboxId,
      fingerprint: sandbox.fingerprint,
      ...(images.get(sandbox.image) as ImageColumns),
      workspace_path: sandbox.workspacePath,
      milli_cpu: sandbox.resources.milliCpu,
      memory_mib: sandbox.resources.memoryMib,
      disk_mib: sandbox.resources.diskMib,
      network: sandbox.network,
    })),
    tasks: project.tasks.map((task) => ({
      id: newId(),
      sandbox: task.sandboxId,
      task_id: task.taskId,
      file_path: task.filePath,
      export_name: task.exportName,
      module_path: task.modulePath,
      queue_name: task.queue,
      concurrency_limit: task.concurrencyLimit,
      ttl: task.ttl,
      max_duration_seconds: task.maxDurationSeconds,
      retry: task.retry,
      secrets: task.secrets,
      checkpoint_policy: task.checkpointPolicy,
    })),
    queues: project.queues,
    streams: project.streams,
    schedules: project.tasks.flatMap((task) =>
      task.schedule ? [{ task_id: task.taskId, cron: task.schedule.cron, timezone: task.schedule.timezone }] : [],
    ),
  };
}
