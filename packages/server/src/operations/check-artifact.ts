/** An artifact that a worker says it has stored: its objects must be where its organization's objects are. The worker is ours, its guests are not. */
import type { NewArtifact } from "@helmr/protocol/worker";
import { blobKey } from "../blobs/keys.ts";
import { artifactForeignPacks, artifactUsable } from "../store/artifact.ts";
import type { Tx } from "../store/db.ts";

/** A sentence when it cannot be taken. */
export async function checkArtifact(tx: Tx, orgId: string, artifact: NewArtifact): Promise<string | undefined> {
  if (artifact.manifest_key !== blobKey.manifest(orgId, artifact.artifact_id))
    return `artifact ${artifact.artifact_id} has the manifest key ${artifact.manifest_key}, which is not its own`;
  const misplaced = artifact.packs.find((pack) => pack.object_key !== blobKey.pack(orgId, pack.pack_id));
  if (misplaced) return `pack ${misplaced.pack_id} has the object key ${misplaced.object_key}, which is not its own`;
  if ((await artifactUsable(tx, orgId, artifact.artifact_id)) === false)
    return `artifact ${artifact.artifact_id} is not one of this organization, or is no longer kept`;
  if (artifact.packs.length === 0) return undefined;
  const [foreign] = await artifactForeignPacks(tx, orgId, artifact.packs);
  return foreign && `pack ${foreign.id} is not one of this organization, or is no longer kept`;
}
