/**
 * Stores the source of a deployment and queues its build (http §9.1). A content hash that the environment knows already gives the deployment that has it,
 * unless that one failed. Locks: the environment's advisory lock of deployments.
 */
import { randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import type { DeploymentMetadataBody } from "@helmr/protocol/api";
import { apiVersion, bundleFormatVersion, limits, workerProtocolVersion } from "@helmr/protocol/shared";
import { assertNever, required } from "../assert.ts";
import { blobKey } from "../blobs/keys.ts";
import { deploymentVersion } from "../domain/deployment.ts";
import { newId } from "../new-id.ts";
import { invalid, isRefusal, type Refusal, refusal } from "../outcome.ts";
import { advisoryLock, lockName } from "../store/advisory-lock.ts";
import type { Tx } from "../store/db.ts";
import {
  deploymentEventAppend,
  deploymentGetByContent,
  deploymentInsert,
  deploymentNextVersion,
  type DeploymentRow,
  environmentGroup,
} from "../store/deployment.ts";
import { storageExpectSource } from "../store/storage-collection.ts";
import { checkSourceArchive } from "../source-archive.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import type { StartScope } from "./start-session.ts";

export interface NewDeployment {
  scope: StartScope;
  metadata: DeploymentMetadataBody;
  source: Readable;
  sdkVersion: string | undefined;
  cliVersion: string | undefined;
}

export async function createDeployment(context: EngineContext, input: NewDeployment): Promise<DeploymentRow | Refusal> {
  const size = await storeSource(context, input);
  return isRefusal(size) ? size : queueDeployment(context, { ...input, size });
}

/** The source is stored; nothing refers to it yet. */
export type StoredSource = Omit<NewDeployment, "source"> & { size: number };

export async function queueDeployment(context: EngineContext, stored: StoredSource): Promise<DeploymentRow> {
  return context.db.tx((tx) => queueBuild(tx, context, stored));
}

/** The bytes are stored under their own hash before anything refers to them. */
export async function storeSource(
  context: EngineContext,
  { scope, metadata, source }: Pick<NewDeployment, "scope" | "metadata" | "source">,
): Promise<number | Refusal> {
  const key = blobKey.source(scope.orgId, metadata.content_hash);
  await storageExpectSource(context.db, { orgId: scope.orgId, digest: metadata.content_hash });
  const sha256 = metadata.content_hash.slice("sha256:".length);
  const stored = await context.blobs.put(key, source, { sha256, sizeBytesMax: limits.apiBodyBytesMax });
  switch (stored.outcome) {
    case "refused":
      if (stored.reason === "too_large") return refusal(413, `the source archive is larger than ${limits.apiBodyBytesMax} bytes`);
      return invalid("content_hash does not match the SHA-256 of deployment_source");
    case "conflict":
      return refusal(500, "the stored source of this content hash is damaged");
    case "exists":
    case "stored": {
      const read = required(await context.blobs.get(key), "What was stored a moment ago is there");
      const problem = await checkSourceArchive(read.bytes);
      if (problem === undefined) return stored.sizeBytes;
      if (stored.outcome === "stored") await context.blobs.delete(key);
      return invalid(problem);
    }
    default:
      return assertNever(stored);
  }
}

async function queueBuild(
  tx: Tx,
  context: EngineContext,
  { scope, metadata, size, sdkVersion, cliVersion }: StoredSource,
): Promise<DeploymentRow> {
  await advisoryLock(tx, lockName.deploymentVersions(scope.environmentId));
  const known = await deploymentGetByContent(tx, scope.environmentId, metadata.content_hash);
  if (known) return known;
  const { day, count } = required(await deploymentNextVersion(tx, scope.environmentId), "An upsert returns its row");
  const row = required(
    await deploymentInsert(tx, {
      id: newId(),
      org_id: scope.orgId,
      project_id: scope.projectId,
      environment_id: scope.environmentId,
      version: deploymentVersion(day, count),
      content_hash: metadata.content_hash,
      source_size_bytes: size,
      api_version: apiVersion,
      sdk_version: metadata.sdk_version || sdkVersion || null,
      cli_version: metadata.cli_version || cliVersion || null,
      bundle_format_version: bundleFormatVersion,
      worker_protocol_version: workerProtocolVersion,
      trace_id: randomBytes(16).toString("hex"),
      media_type: sourceMediaType,
    }),
    "An insert returns its row",
  );
  await deploymentEventAppend(tx, row.id, [
    { kind: "deployment.queued", severity: "info", message: `deployment ${row.version} is queued`, attributes: {} },
  ]);
  const group = await environmentGroup(tx, scope.environmentId);
  tx.afterCommit(() => {
    context.hints.send(topic.deployment(row.id));
    if (group !== undefined) context.dispatch.wake(group);
  });
  return row;
}

export const sourceMediaType = "application/x-tar";
