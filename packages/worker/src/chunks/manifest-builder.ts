/** Collects the chunks of a new manifest in ascending order; packs are listed once, in order of first use. */
import { type ChunkManifest, chunkIdBytes } from "@helmr/protocol/worker";
import type { ChunkPlace } from "./chunk-index.ts";

export class ManifestBuilder {
  private readonly lengthBytes: number;
  private readonly chunkBytes: number;
  private readonly packs: ChunkManifest["packs"] = [];
  private readonly packNumbers = new Map<string, number>();
  private count = 0;
  private indexes = new Uint32Array(256);
  private ids = new Uint8Array(256 * chunkIdBytes);
  /** pack, offset, sealedBytes, codec per chunk. */
  private places = new Uint32Array(256 * 4);

  constructor(lengthBytes: number, chunkBytes: number) {
    this.lengthBytes = lengthBytes;
    this.chunkBytes = chunkBytes;
  }

  add(index: number, id: Uint8Array, place: ChunkPlace): void {
    if (this.count === this.indexes.length) this.grow();
    this.indexes[this.count] = index;
    this.ids.set(id, this.count * chunkIdBytes);
    const at = this.count * 4;
    this.places[at] = this.packNumber(place.pack);
    this.places[at + 1] = place.offset;
    this.places[at + 2] = place.sealedBytes;
    this.places[at + 3] = place.codec;
    this.count += 1;
  }

  /** `packSizes`: final sizes of packs that were still growing when their chunks were added. */
  finish(packSizes: ReadonlyMap<string, number>): ChunkManifest {
    const column = (offset: number) => Uint32Array.from({ length: this.count }, (_, row) => this.places[row * 4 + offset] as number);
    return {
      lengthBytes: this.lengthBytes,
      chunkBytes: this.chunkBytes,
      indexes: this.indexes.slice(0, this.count),
      ids: this.ids.slice(0, this.count * chunkIdBytes),
      packs: this.packs.map((pack) => ({ ...pack, sizeBytes: packSizes.get(pack.id) ?? pack.sizeBytes })),
      pack: column(0),
      offset: column(1),
      sealedBytes: column(2),
      codec: Uint8Array.from(column(3)),
    };
  }

  private packNumber(pack: ChunkPlace["pack"]): number {
    const known = this.packNumbers.get(pack.id);
    if (known !== undefined) return known;
    this.packs.push({ id: pack.id, sizeBytes: pack.sizeBytes, keyId: pack.keyId });
    this.packNumbers.set(pack.id, this.packs.length - 1);
    return this.packs.length - 1;
  }

  private grow(): void {
    const size = this.indexes.length * 2;
    const indexes = new Uint32Array(size);
    const ids = new Uint8Array(size * chunkIdBytes);
    const places = new Uint32Array(size * 4);
    indexes.set(this.indexes);
    ids.set(this.ids);
    places.set(this.places);
    this.indexes = indexes;
    this.ids = ids;
    this.places = places;
  }
}
