/** Where each kind of object lives. Every key begins with its organization, so that a grant can be checked by its key alone. */
import { isUuid } from "@helmr/protocol/shared";

export const blobKey = {
  /** The source archive of a deployment by its content hash. */
  source: (orgId: string, contentHash: string) => `orgs/${orgId}/sources/${contentHash.replace(":", "-")}`,
  pack: (orgId: string, packId: string) => `orgs/${orgId}/packs/${packId}`,
  manifest: (orgId: string, artifactId: string) => `orgs/${orgId}/manifests/${artifactId}`,
} as const;

/** A worker names packs and manifests itself; anything else, and anybody else's, is not for it. */
export function isWorkerObject(key: string, orgId: string): boolean {
  const match = /^orgs\/([^/]+)\/(?:packs|manifests)\/([^/]+)$/.exec(key);
  return match !== null && match[1] === orgId && isUuid(match[2] as string) && match[2] === match[2]?.toLowerCase();
}

/** What any adapter takes as a key: a few plain path segments, none of which a file system reads as something else. */
export function isSafeKey(key: string): boolean {
  return key.length <= 512 && /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}(\/[A-Za-z0-9][A-Za-z0-9._-]{0,127}){1,7}$/.test(key);
}
