/** Keys of a tenant, as a lease brings them. */
import { randomBytes, randomUUID } from "node:crypto";
import type { StorageKeys } from "@helmr/protocol/worker";

export function storageKeysOfTest(): StorageKeys {
  return {
    org_id: randomUUID(),
    id_key: randomBytes(32).toString("base64"),
    current: "k1",
    content_keys: { k1: randomBytes(32).toString("base64") },
  };
}
