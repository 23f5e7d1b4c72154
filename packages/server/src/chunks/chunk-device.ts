/**
 * A block artifact as a device to read from: chunks are fetched when they are touched, verified, and kept in a cache that all devices of a thread share.
 * Neighbouring chunks of one pack travel in one fetch. A chunk that is being fetched is fetched once, however many wait for it.
 */
import { type ChunkManifest, chunkIdBytes, chunkPlainBytes, chunkPosition, packObjectKey } from "@helmr/protocol/worker";
import type { BoundedCache } from "../bounded-cache.ts";
import type { BlockDevice } from "../ext4/block-device.ts";
import { type OpeningKeys, PackKeys, StoredBytesError } from "./open-chunks.ts";

/** Exactly these bytes of an object. */
export type FetchBytes = (objectKey: string, range: { start: number; end: number }) => Promise<Uint8Array>;

/** Plain chunks by organization and id: equal chunks of several versions are kept once. */
export type ChunkCache = BoundedCache<Buffer>;

/** Dead bytes between two wanted chunks that are cheaper to fetch than another request, and the most one request fetches. */
const gapBytesMax = 64 * 1024;
const fetchBytesMax = 2 * 1024 * 1024;

interface Fetch {
  pack: number;
  start: number;
  end: number;
  positions: number[];
}

export class ChunkDevice implements BlockDevice {
  readonly lengthBytes: number;
  readonly manifest: ChunkManifest;
  private readonly orgId: string;
  private readonly packKeys: PackKeys;
  private readonly fetch: FetchBytes;
  private readonly cache: ChunkCache;
  private readonly underWay = new Map<number, Promise<void>>();

  constructor(parts: { manifest: ChunkManifest; keys: OpeningKeys; fetch: FetchBytes; cache: ChunkCache }) {
    this.manifest = parts.manifest;
    this.lengthBytes = parts.manifest.lengthBytes;
    this.orgId = parts.keys.orgId;
    this.packKeys = new PackKeys(parts.keys, parts.manifest);
    this.fetch = parts.fetch;
    this.cache = parts.cache;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (offset < 0 || length < 0 || offset + length > this.lengthBytes)
      throw new StoredBytesError("corrupt", `Bytes ${offset}..${offset + length} of a device of ${this.lengthBytes} bytes`);
    const { chunkBytes } = this.manifest;
    const first = Math.floor(offset / chunkBytes);
    const last = Math.floor((offset + Math.max(length, 1) - 1) / chunkBytes);
    if (first === last) {
      const from = offset - first * chunkBytes;
      const position = chunkPosition(this.manifest, first);
      if (position < 0) return Buffer.alloc(length);
      const chunk = this.cache.get(this.cacheKey(position)) ?? (await this.chunks(first, first)).get(first);
      return chunk === undefined ? Buffer.alloc(length) : chunk.subarray(from, from + length);
    }
    const out = Buffer.alloc(length);
    const held = await this.chunks(first, last);
    for (let index = first; index <= last; index += 1) {
      const chunk = held.get(index);
      if (chunk === undefined) continue;
      const start = index * chunkBytes;
      chunk.copy(out, Math.max(0, start - offset), Math.max(0, offset - start), Math.min(chunk.length, offset + length - start));
    }
    return out;
  }

  /** What will be read next is fetched now, neighbours together. */
  async warm(indexes: readonly number[]): Promise<void> {
    await this.gather(indexes);
  }

  /** The id of the chunk at an index, as text; undefined: zeros. */
  chunkName(index: number): string | undefined {
    const position = chunkPosition(this.manifest, index);
    return position < 0 ? undefined : this.nameOf(position);
  }

  private nameOf(position: number): string {
    const { ids } = this.manifest;
    return Buffer.from(ids.buffer, ids.byteOffset + position * chunkIdBytes, chunkIdBytes).toString("latin1");
  }

  private chunks(first: number, last: number): Promise<Map<number, Buffer>> {
    return this.gather(Array.from({ length: last - first + 1 }, (_, at) => first + at));
  }

  /** Those that are not zero. */
  private async gather(indexes: readonly number[]): Promise<Map<number, Buffer>> {
    const held = new Map<number, Buffer>();
    const wanted: number[] = [];
    for (const index of indexes) {
      const position = chunkPosition(this.manifest, index);
      if (position < 0) continue;
      const cached = this.cache.get(this.cacheKey(position));
      if (cached) held.set(index, cached);
      else wanted.push(position);
    }
    await Promise.all(wanted.flatMap((position) => this.underWay.get(position) ?? []));
    const missing = wanted.filter((position) => !this.takeCached(position, held));
    await Promise.all(this.plan(missing).map((fetch) => this.load(fetch, held)));
    return held;
  }

  private takeCached(position: number, held: Map<number, Buffer>): boolean {
    const cached = this.cache.get(this.cacheKey(position));
    if (cached) held.set(this.manifest.indexes[position] as number, cached);
    return cached !== undefined;
  }

  private plan(positions: readonly number[]): Fetch[] {
    const { pack, offset, sealedBytes } = this.manifest;
    const inOrder = [...positions].sort(
      (a, b) => (pack[a] as number) - (pack[b] as number) || (offset[a] as number) - (offset[b] as number),
    );
    const fetches: Fetch[] = [];
    for (const position of inOrder) {
      const start = offset[position] as number;
      const end = start + (sealedBytes[position] as number);
      const open = fetches.at(-1);
      if (open !== undefined && open.pack === pack[position] && start - open.end <= gapBytesMax && end - open.start <= fetchBytesMax) {
        open.end = Math.max(open.end, end);
        open.positions.push(position);
      } else fetches.push({ pack: pack[position] as number, start, end, positions: [position] });
    }
    return fetches;
  }

  private async load(fetch: Fetch, held: Map<number, Buffer>): Promise<void> {
    const work = this.fetchAndOpen(fetch, held);
    // Who waits here for somebody else's fetch looks into the cache afterwards, and fetches for itself when that failed.
    const settled = work.then(
      () => undefined,
      () => undefined,
    );
    for (const position of fetch.positions) this.underWay.set(position, settled);
    try {
      await work;
    } finally {
      for (const position of fetch.positions) if (this.underWay.get(position) === settled) this.underWay.delete(position);
    }
  }

  private async fetchAndOpen({ pack, start, end, positions }: Fetch, held: Map<number, Buffer>): Promise<void> {
    const { packs, offset, sealedBytes, indexes } = this.manifest;
    const packId = packs[pack]?.id;
    if (packId === undefined) throw new StoredBytesError("corrupt", `The manifest has no pack ${pack}`);
    const bytes = await this.fetch(packObjectKey(this.orgId, packId), { start, end });
    for (const position of positions) {
      const from = (offset[position] as number) - start;
      const plain = this.packKeys.open(position, bytes.subarray(from, from + (sealedBytes[position] as number)));
      const index = indexes[position] as number;
      if (plain.length !== chunkPlainBytes(this.manifest, index))
        throw new StoredBytesError("corrupt", `Chunk ${index} has another length`);
      held.set(index, plain);
      this.cache.set(this.cacheKey(position), plain, plain.length + 200);
    }
  }

  private cacheKey(position: number): string {
    return `${this.orgId} ${this.nameOf(position)}`;
  }
}
