/**
 * Short-lived grants for objects of the blob store: pre-signed URLs of S3, or URLs of the control plane itself with the `fs` store. A grant
 * names one object and one method; workers never hold store-wide keys. An object is written once: a PUT of an existing key with other
 * content is refused.
 */
import * as z from "zod";
import { fencedLease } from "./leases.ts";

export const grantRequest = fencedLease.extend({
  gets: z.array(z.string().max(1024)).max(1000),
  puts: z.array(z.object({ object_key: z.string().max(1024), size_bytes: z.number().int().nonnegative() })).max(1000),
});
export const grant = z.object({
  object_key: z.string(),
  method: z.enum(["GET", "PUT"]),
  url: z.string(),
  headers: z.record(z.string(), z.string()),
  ttl_ms: z.number().int().positive(),
});
export const grantResponse = z.object({ grants: z.array(grant) });
export type Grant = z.output<typeof grant>;
