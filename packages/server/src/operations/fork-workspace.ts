/**
 * A new workspace that begins with the content of a version of another one (engine §5): rows only, whatever the size. The same sandbox; neither runs nor mounts
 * of the origin matter. Locks: advisory (key, then external id) → version.
 */
import { createHash } from "node:crypto";
import { type WorkspaceForkBody, workspaceIdempotencyTtl } from "@helmr/protocol/api";
import { canonicalJson, parseDurationMs } from "@helmr/protocol/shared";
import { required } from "../assert.ts";
import type { EngineContext } from "../engine-context.ts";
import { newId } from "../new-id.ts";
import { refusal, type Refusal, refuse } from "../outcome.ts";
import { advisoryLock, lockName } from "../store/advisory-lock.ts";
import { json } from "../store/db.ts";
import { workspaceFork } from "../store/workspace-version.ts";
import { workspaceGet, workspaceIdOfExternalId } from "../store/workspace.ts";
import { type CreatedWorkspace, findByKey } from "./create-workspace.ts";
import { noWorkspace } from "./delete-workspace.ts";
import { usableVersion } from "./restore-version.ts";

export async function forkWorkspace(
  context: EngineContext,
  { environmentId, id: sourceId }: { environmentId: string; id: string },
  body: WorkspaceForkBody,
): Promise<CreatedWorkspace | Refusal> {
  const keyHash = body.idempotency_key === undefined ? null : createHash("sha256").update(body.idempotency_key).digest();
  const { version_id, external_id, metadata, tags } = body;
  const fingerprint = createHash("sha256")
    .update(canonicalJson({ fork: sourceId, version_id, external_id, metadata, tags }))
    .digest();
  return context.db.tx(async (tx) => {
    if (keyHash) {
      await advisoryLock(tx, lockName.startKey(environmentId, "workspace", keyHash));
      const known = await findByKey(tx, environmentId, keyHash, fingerprint);
      if (known) return known;
    }
    if (external_id !== undefined) {
      await advisoryLock(tx, lockName.externalId(environmentId, `workspace ${external_id}`));
      const taken = await workspaceIdOfExternalId(tx, environmentId, external_id);
      if (taken !== undefined) return refusal(409, `a workspace with the external_id "${external_id}" exists already`);
    }
    const origin = await workspaceGet(tx, environmentId, sourceId);
    if (!origin) return noWorkspace();
    const sourceVersionId = version_id ?? origin.current_version_id;
    if (sourceVersionId === null) return refuse("workspace_no_current_version");
    const source = await usableVersion(tx, sourceId, sourceVersionId);
    if ("refused" in source) return source;
    const id = newId();
    await workspaceFork(tx, {
      source_workspace_id: sourceId,
      source_version_id: source.id,
      id,
      version_id: newId(),
      external_id: external_id ?? null,
      metadata: json(metadata),
      tags,
      message: `forked from workspace ${sourceId}, version ${source.id}`,
      idempotency_key_hash: keyHash,
      idempotency_fingerprint: keyHash && fingerprint,
      idempotency_ttl_ms:
        keyHash && required(parseDurationMs(body.idempotency_key_ttl ?? workspaceIdempotencyTtl), "The schema refuses what is no duration"),
    });
    return { workspace: required(await workspaceGet(tx, environmentId, id), "It was inserted a moment ago"), cached: false };
  });
}
