/**
 * Fills packs in a staging directory: sealed chunks one after the other, a new file when one has reached its target size. Synchronous, for
 * the chunk threads. A pack is handed out when it is full; until then nobody else knows its file.
 */
import { closeSync, openSync, rmSync, writevSync } from "node:fs";
import { join } from "node:path";
import { newId } from "../new-id.ts";
import type { ChunkPlace } from "./chunk-index.ts";
import { packKey, sealChunk, type TenantKeys } from "./sealing.ts";

/** Large enough for object storage, small enough that a reader of one chunk may fetch the whole. */
export const packTargetBytes = 4 * 1024 * 1024;

export interface PackFile {
  id: string;
  path: string;
  sizeBytes: number;
}

export interface PackWriterOptions {
  directory: string;
  keys: TenantKeys;
  level: number;
  onPack: (pack: PackFile) => void;
}

interface OpenPack extends PackFile {
  fd: number;
  key: Buffer;
}

export class PackWriter {
  /** Sizes of all packs written, by id. */
  readonly sizes = new Map<string, number>();
  private readonly options: PackWriterOptions;
  private open: OpenPack | undefined;

  constructor(options: PackWriterOptions) {
    this.options = options;
  }

  write(id: Uint8Array, plain: Uint8Array): ChunkPlace {
    const { keys, level } = this.options;
    const pack = (this.open ??= this.start());
    const offset = pack.sizeBytes;
    const sealed = sealChunk(pack.key, offset, { id, plain, level });
    writeAll(pack.fd, sealed.parts, offset);
    pack.sizeBytes += sealed.bytes;
    this.sizes.set(pack.id, pack.sizeBytes);
    if (pack.sizeBytes >= packTargetBytes) this.finish();
    return {
      pack: { id: pack.id, sizeBytes: pack.sizeBytes, keyId: keys.current },
      offset,
      sealedBytes: sealed.bytes,
      codec: sealed.codec,
    };
  }

  /** Closes and hands out the last pack. */
  finish(): void {
    if (this.open === undefined) return;
    const { fd, id, path, sizeBytes } = this.open;
    closeSync(fd);
    this.open = undefined;
    this.options.onPack({ id, path, sizeBytes });
  }

  /** After a failure: the file of the unfinished pack goes away. */
  abandon(): void {
    if (this.open === undefined) return;
    closeSync(this.open.fd);
    rmSync(this.open.path, { force: true });
    this.open = undefined;
  }

  private start(): OpenPack {
    const { directory, keys } = this.options;
    const id = newId();
    const path = join(directory, id);
    return { id, path, sizeBytes: 0, fd: openSync(path, "wx", 0o600), key: packKey(keys, keys.current, id) };
  }
}

function writeAll(fd: number, parts: Buffer[], offset: number): void {
  let left = parts;
  let at = offset;
  while (left.length > 0) {
    let written = writevSync(fd, left, at);
    at += written;
    while (left.length > 0 && written >= (left[0] as Buffer).length) {
      written -= (left[0] as Buffer).length;
      left = left.slice(1);
    }
    if (written > 0) left = [(left[0] as Buffer).subarray(written), ...left.slice(1)];
  }
}
