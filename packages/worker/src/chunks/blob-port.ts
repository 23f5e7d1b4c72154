/** What the chunk store needs of object storage. The adapter (control/blob-grants.ts) has grants, retries and deadlines. */
import type { ByteRange } from "../disks/byte-ranges.ts";

export interface BlobPort {
  /** The whole object, or a part of it. */
  get(objectKey: string, options: { range?: ByteRange; signal: AbortSignal }): Promise<Uint8Array>;
  put(objectKey: string, body: BlobBody, options: { signal: AbortSignal }): Promise<void>;
}

export type BlobBody = { path: string; sizeBytes: number } | Uint8Array;

export type BlobErrorCode = "blob_missing" | "blob_refused" | "blob_unavailable" | "lease_stale";

export class BlobError extends Error {
  override name = "BlobError";
  readonly code: BlobErrorCode;
  constructor(code: BlobErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
