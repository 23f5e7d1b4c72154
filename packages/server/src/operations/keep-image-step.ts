/**
 * What the holder of a build lease asks while it builds images: steps that were made before, keeping one that it made, values of secrets. The cache
 * is the project's: steps that saw a secret have the environment in their key (worker/images).
 */
import type { ImageStepConfig, NewArtifact, StoredImageStep, WorkerResponse } from "@helmr/protocol/worker";
import { required } from "../assert.ts";
import { storableJson, storableText } from "../domain/storable.ts";
import type { EngineContext } from "../engine-context.ts";
import { invalid, type Refusal } from "../outcome.ts";
import { artifactInsert } from "../store/artifact.ts";
import { type BuildingRow, deploymentHeldBuild, deploymentPeekBuild } from "../store/deployment-build.ts";
import { imageStepFind, imageStepInsert, imageStepPrevious, type ImageStepRow } from "../store/image-step.ts";
import { type Stale, stale } from "../worker-actor.ts";
import { checkArtifact } from "./check-artifact.ts";
import { deliverSecrets, unavailableSecretText } from "./deliver-secrets.ts";
import type { BuildCall } from "./end-build.ts";

const subject = ({ leaseId, fence, worker, deploymentId }: BuildCall) => ({
  lease_id: leaseId,
  deployment_id: deploymentId,
  worker_id: worker.workerId,
  fence,
});
const isHeld = (build: BuildingRow | undefined, { leaseId }: BuildCall): build is BuildingRow =>
  build !== undefined && build.lease_id === leaseId && build.lease_state === "held" && build.in_time;

export async function findImageSteps(
  context: EngineContext,
  call: BuildCall,
  steps: readonly { key: string; place: string }[],
): Promise<WorkerResponse<"imageStepsFind"> | Stale> {
  const build = await deploymentPeekBuild(context.db, subject(call));
  if (!isHeld(build, call)) return stale;
  const rows = await imageStepFind(
    context.db,
    build.project_id,
    steps.map((step) => step.key),
  );
  const known = new Set(rows.map((row) => row.key));
  const places = steps.filter((step) => !known.has(step.key)).map((step) => storableText(step.place));
  const previous = places.length === 0 ? [] : await imageStepPrevious(context.db, build.project_id, places);
  return { found: rows.map(storedStep), previous };
}

export interface NewImageStep {
  key: string;
  place: string;
  inputs: Record<string, string>;
  artifact: NewArtifact;
  config: ImageStepConfig;
}

export async function keepImageStep(
  context: EngineContext,
  call: BuildCall,
  step: NewImageStep,
): Promise<WorkerResponse<"imageStepsKeep"> | Stale | Refusal> {
  return context.db.tx(async (tx) => {
    const build = await deploymentHeldBuild(tx, subject(call));
    if (!isHeld(build, call)) return stale;
    const wrong = await checkArtifact(tx, build.org_id, step.artifact);
    if (wrong !== undefined) return invalid(wrong);
    await artifactInsert(tx, build.org_id, "image", step.artifact);
    await imageStepInsert(tx, {
      projectId: build.project_id,
      key: step.key,
      place: storableText(step.place),
      inputs: storableJson(step.inputs) as Record<string, string>,
      config: storableJson(step.config) as ImageStepConfig,
      artifactId: step.artifact.artifact_id,
    });
    const [kept] = await imageStepFind(tx, build.project_id, [step.key]);
    return { step: storedStep(required(kept, "A step that was just kept is there")) };
  });
}

export async function deliverBuildSecrets(
  context: EngineContext,
  call: BuildCall,
  names: readonly string[],
): Promise<WorkerResponse<"buildSecrets"> | Stale> {
  const build = await deploymentPeekBuild(context.db, subject(call));
  if (!isHeld(build, call)) return stale;
  const response: WorkerResponse<"buildSecrets"> = { values: [], unavailable: [] };
  // One by one: a build may go on without some.
  for (const name of new Set(names)) {
    const delivery = await deliverSecrets(context.db, context.keys, build.environment_id, [name]);
    if (delivery.ok) for (const [found, value] of delivery.values) response.values.push({ name: found, value });
    else for (const one of delivery.unavailable) response.unavailable.push({ name: one.name, message: unavailableSecretText(one) });
  }
  return response;
}

function storedStep(row: ImageStepRow): StoredImageStep {
  const { artifact_id, manifest_key, digest, length_bytes } = row;
  return { key: row.key, artifact: { artifact_id, manifest_key, digest, length_bytes }, config: row.config };
}
