/** Creates a workspace for a sandbox, with its empty first version (http §11). Locks: advisory (key, then external id). */
import { createHash } from "node:crypto";
import { type WorkspaceCreateBody, workspaceIdempotencyTtl } from "@helmr/protocol/api";
import { canonicalJson, parseDurationMs } from "@helmr/protocol/shared";
import { required } from "../assert.ts";
import { emptyTreeDigest } from "../domain/workspace.ts";
import { newId } from "../new-id.ts";
import { refusal, type Refusal, refuse } from "../outcome.ts";
import { advisoryLock, lockName } from "../store/advisory-lock.ts";
import { json, type Tx } from "../store/db.ts";
import { deploymentSandboxes } from "../store/deployment.ts";
import {
  workspaceForgetKey,
  workspaceGet,
  workspaceIdOfExternalId,
  workspaceInsert,
  workspaceOfKey,
  type WorkspaceRow,
} from "../store/workspace.ts";
import type { EngineContext } from "../engine-context.ts";
import type { StartScope } from "./start-session.ts";

export interface CreatedWorkspace {
  workspace: WorkspaceRow;
  cached: boolean;
}

export async function createWorkspace(
  context: EngineContext,
  scope: StartScope,
  body: WorkspaceCreateBody,
): Promise<CreatedWorkspace | Refusal> {
  const keyHash = body.idempotency_key === undefined ? null : createHash("sha256").update(body.idempotency_key).digest();
  const { sandbox_id, deployment_id, external_id, metadata, tags } = body;
  const fingerprint = createHash("sha256").update(canonicalJson({ sandbox_id, deployment_id, external_id, metadata, tags })).digest();
  return context.db.tx(async (tx) => {
    if (keyHash) {
      await advisoryLock(tx, lockName.startKey(scope.environmentId, "workspace", keyHash));
      const known = await findByKey(tx, scope.environmentId, keyHash, fingerprint);
      if (known) return known;
    }
    if (external_id !== undefined) {
      await advisoryLock(tx, lockName.externalId(scope.environmentId, `workspace ${external_id}`));
      const taken = await workspaceIdOfExternalId(tx, scope.environmentId, external_id);
      if (taken !== undefined) return refusal(409, `a workspace with the external_id "${external_id}" exists already`);
    }
    const [sandbox] = await deploymentSandboxes(tx, scope.environmentId, {
      sandboxId: sandbox_id,
      ...(deployment_id === undefined ? {} : { deploymentId: deployment_id }),
    });
    if (!sandbox)
      return refuse(
        "sandbox_not_deployed",
        `sandbox "${sandbox_id}" is not part of the ${deployment_id === undefined ? "current " : ""}deployment`,
      );
    const id = newId();
    await workspaceInsert(tx, {
      id,
      org_id: scope.orgId,
      project_id: scope.projectId,
      environment_id: scope.environmentId,
      deployment_sandbox_id: sandbox.id,
      sandbox_id: sandbox.sandbox_id,
      sandbox_fingerprint: sandbox.fingerprint,
      external_id: external_id ?? null,
      version_id: newId(),
      empty_digest: emptyTreeDigest,
      metadata: json(metadata),
      tags,
      idempotency_key_hash: keyHash,
      idempotency_fingerprint: keyHash && fingerprint,
      idempotency_ttl_ms:
        keyHash && required(parseDurationMs(body.idempotency_key_ttl ?? workspaceIdempotencyTtl), "The schema refuses what is no duration"),
    });
    return { workspace: required(await workspaceGet(tx, scope.environmentId, id), "It was inserted a moment ago"), cached: false };
  });
}

export async function findByKey(
  tx: Tx,
  environmentId: string,
  keyHash: Buffer,
  fingerprint: Buffer,
): Promise<CreatedWorkspace | Refusal | undefined> {
  const known = await workspaceOfKey(tx, environmentId, keyHash);
  if (!known) return undefined;
  if (known.expired) {
    await workspaceForgetKey(tx, known.id);
    return undefined;
  }
  if (!known.idempotency_fingerprint.equals(fingerprint)) return refuse("idempotency_fingerprint_mismatch");
  return { workspace: required(await workspaceGet(tx, environmentId, known.id), "A key names a workspace that exists"), cached: true };
}
