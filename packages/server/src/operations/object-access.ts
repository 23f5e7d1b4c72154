/** The objects of a blob store whose grants this server answers itself: what the route of signed URLs may do. */
import type { BlobStore } from "../blobs/port.ts";
import { isSafeKey } from "../blobs/keys.ts";
import { grantPath, type SignedGrants } from "../blobs/signed-grants.ts";

export interface ObjectAccess extends Pick<BlobStore, "head" | "get" | "put"> {
  readonly path: string;
  check: SignedGrants["check"];
}

export function objectAccess(store: BlobStore, grants: SignedGrants): ObjectAccess {
  return {
    path: grantPath,
    check: (method, key, query) => (isSafeKey(key) ? grants.check(method, key, query) : undefined),
    head: (key) => store.head(key),
    get: (key, range) => store.get(key, range),
    put: (key, bytes, options) => store.put(key, bytes, options),
  };
}
