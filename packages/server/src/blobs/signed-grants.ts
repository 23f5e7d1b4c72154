/**
 * Grants of the fs store: a URL of the control plane that allows one method on one object until a time, signed with a key of its own purpose. The
 * signature covers everything that is granted; nothing is stored. The control plane's clock decides, because it issues and checks them.
 */
import type { Keys } from "../secrets.ts";
import type { BlobGrant } from "./port.ts";

export const grantPath = "/api/worker/blobs/";

export interface GrantedRequest {
  method: "GET" | "PUT";
  key: string;
  /** Exact size of a put, when it was granted for one. */
  sizeBytes?: number;
}

export interface SignedGrants {
  issue(method: "GET" | "PUT", key: string, options: { ttlMs: number; sizeBytes?: number }): BlobGrant;
  /** What a URL allows, or nothing when it is forged, for something else, or too old. */
  check(method: string, key: string, query: Readonly<Record<string, unknown>>): GrantedRequest | undefined;
}

const use = "blob grant";

export function signedGrants(keys: Pick<Keys, "mac" | "checkMac">, baseUrl: string, now: () => number = Date.now): SignedGrants {
  const message = (method: string, key: string, expires: string, size: string) => [method, key, expires, size].join("\n");
  return {
    issue(method, key, { ttlMs, sizeBytes }) {
      const expires = String(Math.ceil(now() + ttlMs));
      const size = sizeBytes === undefined ? "" : String(sizeBytes);
      const { keyId, mac } = keys.mac("grants", use, message(method, key, expires, size));
      const query = new URLSearchParams({ expires, ...(size === "" ? {} : { size }), key: keyId, signature: mac.toString("base64url") });
      return { method, url: `${baseUrl}${grantPath}${key}?${query}`, headers: {}, ttlMs };
    },
    check(method, key, query) {
      const { expires, size = "", key: keyId, signature } = query;
      if (method !== "GET" && method !== "PUT") return undefined;
      if (typeof expires !== "string" || typeof size !== "string" || typeof keyId !== "string" || typeof signature !== "string")
        return undefined;
      if (!/^\d{1,16}$/.test(expires) || !/^\d{0,16}$/.test(size)) return undefined;
      const valid = keys.checkMac("grants", use, {
        message: message(method, key, expires, size),
        mac: Buffer.from(signature, "base64url"),
        keyId,
      });
      if (!valid || Number(expires) < now()) return undefined;
      return { method, key, ...(size === "" ? {} : { sizeBytes: Number(size) }) };
    },
  };
}
