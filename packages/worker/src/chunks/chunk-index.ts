/**
 * Where chunks of a tenant are known to lie, so that equal content of different artifacts is stored once. Kept by a chunk thread, bounded,
 * least recently learned first out.
 *
 * Only artifacts that the control plane has confirmed are learned (a lease named them, or a completion was accepted), and an entry is used
 * for `usableMs` at most: the collector keeps an unreferenced pack longer than that (protocol: chunk grace), so a chunk that is found here is
 * still there when the new manifest is committed.
 */
import { type ChunkManifest, chunkIdBytes } from "@helmr/protocol/worker";

export interface ChunkPlace {
  pack: { id: string; sizeBytes: number; keyId: string };
  offset: number;
  sealedBytes: number;
  codec: number;
}

interface Entry extends ChunkPlace {
  learnedAt: number;
}

const entriesMax = 131_072;
const usableMs = 60 * 60_000;

export class ChunkIndex {
  private readonly entries = new Map<string, Entry>();
  private readonly now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  learn(orgId: string, manifest: ChunkManifest): void {
    const learnedAt = this.now();
    for (let position = 0; position < manifest.indexes.length; position += 1) {
      const key = `${orgId} ${idText(manifest.ids, position)}`;
      this.entries.delete(key);
      this.entries.set(key, { ...placeAt(manifest, position), learnedAt });
    }
    for (const key of this.entries.keys()) {
      if (this.entries.size <= entriesMax) break;
      this.entries.delete(key);
    }
  }

  find(orgId: string, id: string): ChunkPlace | undefined {
    const entry = this.entries.get(`${orgId} ${id}`);
    if (entry === undefined || this.now() - entry.learnedAt > usableMs) return undefined;
    return entry;
  }
}

/** A chunk id as a key of maps. */
export function idText(ids: Uint8Array, position: number): string {
  return Buffer.from(ids.buffer, ids.byteOffset + position * chunkIdBytes, chunkIdBytes).toString("latin1");
}

export function placeAt(manifest: ChunkManifest, position: number): ChunkPlace {
  const pack = manifest.packs[manifest.pack[position] as number];
  return {
    pack: pack as ChunkPlace["pack"],
    offset: manifest.offset[position] as number,
    sealedBytes: manifest.sealedBytes[position] as number,
    codec: manifest.codec[position] as number,
  };
}
