/** The blob port in memory, with the faults of real stores on request. */
import { readFile } from "node:fs/promises";
import { type BlobBody, BlobError, type BlobPort } from "../chunks/blob-port.ts";
import type { ByteRange } from "../disks/byte-ranges.ts";

export class MemoryBlobs implements BlobPort {
  readonly objects = new Map<string, Uint8Array>();
  readonly gets: string[] = [];
  /** Called before each operation; throws to make it fail. */
  fault: (operation: "get" | "put", objectKey: string) => void = () => {};

  async get(objectKey: string, options: { range?: ByteRange; signal: AbortSignal }): Promise<Uint8Array> {
    options.signal.throwIfAborted();
    this.fault("get", objectKey);
    const found = this.objects.get(objectKey);
    if (found === undefined) throw new BlobError("blob_missing", `No object ${objectKey}`);
    this.gets.push(objectKey);
    return new Uint8Array(found.subarray(options.range?.start, options.range?.end));
  }

  async put(objectKey: string, body: BlobBody, options: { signal: AbortSignal }): Promise<void> {
    options.signal.throwIfAborted();
    this.fault("put", objectKey);
    this.objects.set(objectKey, new Uint8Array(body instanceof Uint8Array ? body : await readFile(body.path)));
  }

  get bytes(): number {
    let sum = 0;
    for (const object of this.objects.values()) sum += object.length;
    return sum;
  }
}
