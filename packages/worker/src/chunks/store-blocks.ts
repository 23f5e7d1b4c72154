/**
 * From a device to a manifest and new packs. Runs in the chunk thread (chunk-thread.ts) and costs what has changed: only the
 * ranges that the source reports are read, a chunk that is equal to the parent's keeps its place, one that is known elsewhere is pointed
 * to, zeros disappear, and only the rest is compressed, sealed and written.
 *
 * A chain of small captures would leave a device scattered over ever more packs; so when a manifest would name more than
 * `packsWanted`, the chunks of the emptiest packs are stored again, a bounded amount at a time.
 */
import { chunkIdBytes, type ChunkManifest, chunkPlainBytes, emptyManifest } from "@helmr/protocol/worker";
import { touchedBlocks } from "../disks/byte-ranges.ts";
import type { BlockSource } from "../disks/block-source.ts";
import { type ChunkIndex, type ChunkPlace, idText, placeAt } from "./chunk-index.ts";
import { ManifestBuilder } from "./manifest-builder.ts";
import { type PackFile, packTargetBytes, PackWriter } from "./pack-writer.ts";
import { artifactDigest, chunkId, type TenantKeys } from "./sealing.ts";

export interface StoreBlocks {
  source: BlockSource;
  chunkBytes: number;
  keys: TenantKeys;
  /** Compression level of zstd. */
  level: number;
  /** What the source is compared with; absent: zeros. */
  parent?: ChunkManifest;
  index: ChunkIndex;
  /** Where new packs are staged. */
  directory: string;
  onPack: (pack: PackFile) => void;
  /** Called for every chunk: throws when the work is not wanted any more, gives a promise when others should have a turn. */
  checkpoint: () => Promise<void> | undefined;
}

export interface StoredBlocks {
  manifest: ChunkManifest;
  digest: string;
  stats: { readChunks: number; newChunks: number; sealedBytes: number };
}

const packsWanted = 256;
/** Packs of which more is in use gain nothing by being stored again: a large device has many full ones. */
const repackLiveMax = packTargetBytes / 2;
const repackBytesMax = 16 * 1024 * 1024;

export async function storeBlocks(options: StoreBlocks): Promise<StoredBlocks> {
  const { source, chunkBytes, keys, level, directory, onPack } = options;
  const parent = usableParent(options);
  const writer = new PackWriter({ directory, keys, level, onPack });
  const builder = new ManifestBuilder(source.lengthBytes, chunkBytes);
  const stats = { readChunks: 0, newChunks: 0, sealedBytes: 0 };
  try {
    const store = new ChunkStoring({ ...options, parent, writer, stats });
    for (const step of mergeSteps(options, parent)) {
      const turn = options.checkpoint();
      if (turn !== undefined) await turn;
      const stored = step.changed ? store.changed(step.index, step.position) : store.kept(step);
      if (stored !== undefined) builder.add(step.index, stored.id, stored.place);
    }
    writer.finish();
  } catch (error) {
    writer.abandon();
    throw error;
  }
  const manifest = builder.finish(writer.sizes);
  return { manifest, digest: artifactDigest(manifest), stats };
}

/** A parent of another chunk size says nothing; then everything the source has is stored, and the index finds nothing either. */
function usableParent(options: StoreBlocks): ChunkManifest {
  const { parent, source, chunkBytes } = options;
  return parent?.chunkBytes === chunkBytes ? parent : emptyManifest(source.lengthBytes, chunkBytes);
}

interface Step {
  index: number;
  /** In the parent's columns; -1: zero there. */
  position: number;
  changed: boolean;
}

/** All chunks that are not zero in the parent, and all that the source reports, ascending. */
function* mergeSteps(options: StoreBlocks, parent: ChunkManifest): Generator<Step> {
  const { source, chunkBytes } = options;
  const chunks = Math.ceil(source.lengthBytes / chunkBytes);
  const changes = touchedBlocks(source.changes(), chunkBytes)[Symbol.iterator]();
  const again = chunksToRepack(parent);
  let next = changes.next();
  for (let position = 0; position < parent.indexes.length; position += 1) {
    const index = parent.indexes[position] as number;
    while (!next.done && next.value < index) {
      yield { index: next.value, position: -1, changed: true };
      next = changes.next();
    }
    if (index >= chunks) return;
    // The last chunk of a device that grew or shrank has another length, hence another content.
    const resized = chunkPlainBytes(parent, index) !== chunkPlainBytes({ lengthBytes: source.lengthBytes, chunkBytes }, index);
    const reported = !next.done && next.value === index;
    if (reported) next = changes.next();
    yield { index, position, changed: reported || resized || again.has(parent.pack[position] as number) };
  }
  for (; !next.done; next = changes.next()) yield { index: next.value, position: -1, changed: true };
}

/** Whether chunks that did not change are read, too: a source that holds only the changes since its parent is of no use then. */
export const readsUnchanged = (parent: ChunkManifest): boolean => chunksToRepack(parent).size > 0;

/** Numbers of the parent's packs whose chunks are worth storing again. */
function chunksToRepack(parent: ChunkManifest): Set<number> {
  const chosen = new Set<number>();
  if (parent.packs.length <= packsWanted) return chosen;
  const live = new Float64Array(parent.packs.length);
  for (let position = 0; position < parent.pack.length; position += 1)
    live[parent.pack[position] as number] = (live[parent.pack[position] as number] as number) + (parent.sealedBytes[position] as number);
  const emptiest = [...live.keys()]
    .filter((pack) => (live[pack] as number) <= repackLiveMax)
    .sort((a, b) => (live[a] as number) - (live[b] as number));
  let bytes = 0;
  for (const pack of emptiest) {
    bytes += live[pack] as number;
    if (bytes > repackBytesMax || parent.packs.length - chosen.size <= packsWanted / 2) break;
    chosen.add(pack);
  }
  return chosen;
}

type Storing = StoreBlocks & {
  parent: ChunkManifest;
  writer: PackWriter;
  stats: StoredBlocks["stats"];
};

class ChunkStoring {
  private readonly options: Storing;
  private readonly fresh = new Map<string, ChunkPlace>();
  private readonly buffer: Buffer;
  private readonly zeros: Buffer;
  private readonly repacked: Set<number>;

  constructor(options: Storing) {
    this.options = options;
    this.buffer = Buffer.alloc(options.chunkBytes);
    this.zeros = Buffer.alloc(options.chunkBytes);
    this.repacked = chunksToRepack(options.parent);
  }

  kept(step: Step): { id: Uint8Array; place: ChunkPlace } {
    const { parent } = this.options;
    const id = parent.ids.subarray(step.position * chunkIdBytes, (step.position + 1) * chunkIdBytes);
    return { id, place: placeAt(parent, step.position) };
  }

  /** Undefined: the chunk is zero. */
  changed(index: number, position: number): { id: Uint8Array; place: ChunkPlace } | undefined {
    const { source, keys, parent, stats, chunkBytes } = this.options;
    const length = chunkPlainBytes({ lengthBytes: source.lengthBytes, chunkBytes }, index);
    if (source.isZero(index * chunkBytes, length)) return undefined;
    const plain = this.buffer.subarray(0, length);
    source.read(plain, index * chunkBytes);
    stats.readChunks += 1;
    if (plain.compare(this.zeros, 0, length) === 0) return undefined;
    const id = chunkId(keys.idKey, plain);
    const text = id.toString("latin1");
    const keeps = position >= 0 && !this.repacked.has(parent.pack[position] as number);
    if (keeps && idText(parent.ids, position) === text) return { id, place: placeAt(parent, position) };
    return { id, place: this.fresh.get(text) ?? this.known(text) ?? this.write(text, id, plain) };
  }

  /** A place that the index knows; never in a pack that is being emptied, nor under a key that is being rotated away. */
  private known(text: string): ChunkPlace | undefined {
    const { index, keys, parent } = this.options;
    const place = index.find(keys.orgId, text);
    if (place === undefined || place.pack.keyId !== keys.current) return undefined;
    if (this.repacked.size === 0) return place;
    const number = parent.packs.findIndex((pack) => pack.id === place.pack.id);
    return this.repacked.has(number) ? undefined : place;
  }

  private write(text: string, id: Uint8Array, plain: Buffer): ChunkPlace {
    const { writer, stats } = this.options;
    const place = writer.write(id, plain);
    stats.newChunks += 1;
    stats.sealedBytes += place.sealedBytes;
    this.fresh.set(text, place);
    return place;
  }
}
