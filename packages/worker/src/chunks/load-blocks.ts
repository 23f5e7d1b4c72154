/**
 * From sealed chunks to a local file. Runs in the chunk thread: every chunk is opened and verified before a byte of it is written, zeros
 * stay holes. Which bytes to fetch from where is `planLoad`'s to say and artifact-store.ts' to do.
 */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { chunkIdBytes, type ChunkManifest, chunkPlainBytes } from "@helmr/protocol/worker";
import { chunkId, ChunkError, openChunk, packKey, type TenantKeys } from "./sealing.ts";

/** Neighbouring chunks of one pack, fetched in one request. */
export interface LoadRange {
  pack: number;
  start: number;
  end: number;
  /** Positions in the manifest of the chunks inside, ascending by offset. */
  positions: number[];
}

export interface LoadPlan {
  ranges: LoadRange[];
  /** Chunks that hold something in the file to start from and are zero in the artifact. */
  zero: number[];
}

/** Dead bytes between two wanted chunks that are cheaper to fetch than another request. */
const gapBytes = 128 * 1024;
const rangeBytesMax = 4 * 1024 * 1024;

/** `have`: what the file to fill holds already; absent: nothing but zeros. */
export function planLoad(manifest: ChunkManifest, have?: ChunkManifest): LoadPlan {
  const mine = manifest.indexes;
  const theirs = have?.chunkBytes === manifest.chunkBytes ? have.indexes : new Uint32Array(0);
  const wanted: number[] = [];
  const zero: number[] = [];
  const chunks = Math.ceil(manifest.lengthBytes / manifest.chunkBytes);
  let i = 0;
  let j = 0;
  while (i < mine.length || j < theirs.length) {
    const here = mine[i] ?? Infinity;
    const there = theirs[j] ?? Infinity;
    if (there < here) {
      if (there < chunks) zero.push(there);
      j += 1;
    } else {
      if (there > here || !sameChunk(manifest, i, have as ChunkManifest, j)) wanted.push(i);
      if (there === here) j += 1;
      i += 1;
    }
  }
  return { ranges: joinRanges(manifest, wanted), zero };
}

export function sameChunk(a: ChunkManifest, i: number, b: ChunkManifest, j: number): boolean {
  for (let at = 0; at < chunkIdBytes; at += 1) if (a.ids[i * chunkIdBytes + at] !== b.ids[j * chunkIdBytes + at]) return false;
  return true;
}

function joinRanges(manifest: ChunkManifest, wanted: number[]): LoadRange[] {
  const { pack, offset, sealedBytes } = manifest;
  const inOrder = wanted.sort((a, b) => (pack[a] as number) - (pack[b] as number) || (offset[a] as number) - (offset[b] as number));
  const ranges: LoadRange[] = [];
  for (const position of inOrder) {
    const start = offset[position] as number;
    const end = start + (sealedBytes[position] as number);
    const open = ranges.at(-1);
    const joins = open !== undefined && open.pack === pack[position] && start - open.end <= gapBytes;
    if (joins && end - open.start <= rangeBytesMax) {
      open.end = Math.max(open.end, end);
      open.positions.push(position);
    } else {
      ranges.push({ pack: pack[position] as number, start, end, positions: [position] });
    }
  }
  return ranges;
}

export class BlockLoading {
  private readonly fd: number;
  private readonly manifest: ChunkManifest;
  private readonly keys: TenantKeys;
  private readonly packKeys = new Map<number, Buffer>();

  constructor(path: string, manifest: ChunkManifest, keys: TenantKeys) {
    this.manifest = manifest;
    this.keys = keys;
    this.fd = openSync(path, "r+");
    ftruncateSync(this.fd, manifest.lengthBytes);
  }

  /** Throws ChunkError when a chunk is not what the manifest says; earlier chunks of the range are then written already. */
  write(range: LoadRange, bytes: Uint8Array): void {
    const { manifest, keys } = this;
    const key = this.packKey(range.pack);
    for (const position of range.positions) {
      const offset = manifest.offset[position] as number;
      const from = offset - range.start;
      const sealed = bytes.subarray(from, from + (manifest.sealedBytes[position] as number));
      const index = manifest.indexes[position] as number;
      const id = manifest.ids.subarray(position * chunkIdBytes, (position + 1) * chunkIdBytes);
      const plainBytes = chunkPlainBytes(manifest, index);
      const plain = openChunk(keys, key, sealed, { id, codec: manifest.codec[position] as number, offset, plainBytes });
      writeFully(this.fd, plain, index * manifest.chunkBytes);
    }
  }

  zero(indexes: number[]): void {
    const zeros = Buffer.alloc(this.manifest.chunkBytes);
    for (const index of indexes) {
      const length = chunkPlainBytes(this.manifest, index);
      writeFully(this.fd, zeros.subarray(0, length), index * this.manifest.chunkBytes);
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  private packKey(number: number): Buffer {
    const known = this.packKeys.get(number);
    if (known !== undefined) return known;
    const pack = this.manifest.packs[number];
    if (pack === undefined) throw new ChunkError("manifest_corrupt", `Manifest has no pack ${number}`);
    const key = packKey(this.keys, pack.keyId, pack.id);
    this.packKeys.set(number, key);
    return key;
  }
}

/** Whether a file still holds what the manifest says; used when a cached file may have been torn by a crash of the host. */
export async function verifyBlocks(
  file: { path: string; manifest: ChunkManifest; idKey: Uint8Array },
  checkpoint: () => Promise<void> | undefined,
): Promise<boolean> {
  const { manifest } = file;
  const fd = openSync(file.path, "r");
  try {
    const buffer = Buffer.alloc(manifest.chunkBytes);
    for (let position = 0; position < manifest.indexes.length; position += 1) {
      const turn = checkpoint();
      if (turn !== undefined) await turn;
      const index = manifest.indexes[position] as number;
      const length = chunkPlainBytes(manifest, index);
      if (readSync(fd, buffer, 0, length, index * manifest.chunkBytes) !== length) return false;
      const id = manifest.ids.subarray(position * chunkIdBytes, (position + 1) * chunkIdBytes);
      if (!chunkId(file.idKey, buffer.subarray(0, length)).equals(id)) return false;
    }
    return true;
  } finally {
    closeSync(fd);
  }
}

export function writeFully(fd: number, bytes: Uint8Array, offset: number): void {
  let done = 0;
  while (done < bytes.length) done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
}
