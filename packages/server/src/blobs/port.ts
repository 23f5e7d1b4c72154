/**
 * The blob port: bytes by key, written once. Adapters: `fs` (this machine, served by the control plane) and, for many machines, S3. One conformance
 * suite runs against each (test/contract/blobs.contract.ts).
 *
 * Keys are made by the server or checked against the organization's prefix before they come here (`keys.ts`). An object never changes: a second put
 * of the same bytes is a success, of others a `conflict`. What is written is there whole, and survives a crash once the put was answered.
 */
import type { Readable } from "node:stream";

export interface BlobInfo {
  key: string;
  sizeBytes: number;
}

export interface ListedBlob extends BlobInfo {
  /** By the store's clock. */
  storedAtMs: number;
}

export type PutResult =
  | { outcome: "stored"; sizeBytes: number }
  | { outcome: "exists"; sizeBytes: number }
  | { outcome: "conflict" }
  /** The stream ended early, was longer than announced, or did not have the announced hash: nothing is stored. */
  | { outcome: "refused"; reason: "too_large" | "size_mismatch" | "hash_mismatch" };

export interface PutOptions {
  sizeBytesMax?: number;
  /** Exact length, when it is known before. */
  sizeBytes?: number;
  /** Lower-case hex of the bytes. */
  sha256?: string;
}

export type ByteRange = { start: number; endExclusive?: number };

export interface BlobGrant {
  method: "GET" | "PUT";
  url: string;
  headers: Record<string, string>;
  ttlMs: number;
}

export interface BlobStore {
  /** `bytes` is consumed to its end or destroyed. */
  put(key: string, bytes: Readable | Uint8Array, options?: PutOptions): Promise<PutResult>;
  /** `undefined` when there is no such object. The stream ends with an error when the store breaks in the middle. */
  get(key: string, range?: ByteRange): Promise<{ info: BlobInfo; bytes: Readable } | undefined>;
  head(key: string): Promise<BlobInfo | undefined>;
  /** True when there was one. */
  delete(key: string): Promise<boolean>;
  /** Every object below a prefix, in pages; the order is the store's. */
  list(prefix: string): AsyncIterable<ListedBlob>;
  /** A URL that allows one method on one object for a while, to whoever has it. */
  grant(method: "GET" | "PUT", key: string, options: { ttlMs: number; sizeBytes?: number }): Promise<BlobGrant>;
}

/** The store cannot be used right now, or gave something other than what was stored. */
export class BlobStoreError extends Error {
  override name = "BlobStoreError";
}
