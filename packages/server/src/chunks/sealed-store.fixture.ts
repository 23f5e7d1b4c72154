/**
 * Stores devices for tests as a worker does: packs and a sealed manifest in the blob store. Sealing is written a second time here on purpose, from the
 * protocol's layout alone; test/contract/files.contract.ts reads what the real worker has stored.
 */
import { createCipheriv, createHash, createHmac, hkdfSync, randomBytes, randomUUID } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import {
  type ChunkManifest,
  chunkHeader,
  chunkIdBytes,
  chunkNonce,
  codecRaw,
  codecZstd,
  encodeManifest,
  encodeManifestContent,
  manifestHeader,
  manifestKeyInfo,
  manifestObjectKey,
  manifestOwner,
  type NewArtifact,
  packKeyInfo,
  packObjectKey,
  sealNonceBytes,
  sealTagBytes,
} from "@helmr/protocol/worker";
import type { BlobStore } from "../blobs/port.ts";
import type { Keys } from "../secrets.ts";

interface Place {
  packId: string;
  offset: number;
  sealedBytes: number;
  codec: number;
}

interface OpenPack {
  id: string;
  parts: Buffer[];
  bytes: number;
}

export interface StoreOptions {
  chunkBytes?: number;
  packBytesMax?: number;
}

export class DeviceStore {
  private readonly to: { blobs: BlobStore; keys: Keys; orgId: string };
  private readonly known = new Map<string, Place>();
  private readonly sizes = new Map<string, number>();

  constructor(to: { blobs: BlobStore; keys: Keys; orgId: string }) {
    this.to = to;
  }

  /** New chunks go into packs of at most so many bytes; those that were stored before are pointed to. */
  async store(device: Buffer, { chunkBytes = 65_536, packBytesMax = 4 * 1024 * 1024 }: StoreOptions = {}): Promise<NewArtifact> {
    const storage = this.to.keys.storageKeys(this.to.orgId);
    const chunks: { index: number; id: Buffer; place: Place }[] = [];
    let pack: OpenPack = { id: randomUUID(), parts: [], bytes: 0 };
    for (let index = 0; index * chunkBytes < device.length; index += 1) {
      const plain = device.subarray(index * chunkBytes, (index + 1) * chunkBytes);
      if (plain.equals(Buffer.alloc(plain.length))) continue;
      const id = createHmac("sha256", storage.idKey).update(plain).digest().subarray(0, chunkIdBytes);
      const place = this.known.get(id.toString("hex")) ?? this.seal(pack, plain, id);
      this.known.set(id.toString("hex"), place);
      chunks.push({ index, id, place });
      if (pack.bytes >= packBytesMax) {
        await this.put(pack);
        pack = { id: randomUUID(), parts: [], bytes: 0 };
      }
    }
    if (pack.bytes > 0) await this.put(pack);
    const packIds = [...new Set(chunks.map(({ place }) => place.packId))];
    return this.finish({
      lengthBytes: device.length,
      chunkBytes,
      indexes: Uint32Array.from(chunks, ({ index }) => index),
      ids: new Uint8Array(Buffer.concat(chunks.map(({ id }) => id))),
      packs: packIds.map((id) => ({ id, sizeBytes: this.sizes.get(id) as number, keyId: storage.current })),
      pack: Uint32Array.from(chunks, ({ place }) => packIds.indexOf(place.packId)),
      offset: Uint32Array.from(chunks, ({ place }) => place.offset),
      sealedBytes: Uint32Array.from(chunks, ({ place }) => place.sealedBytes),
      codec: Uint8Array.from(chunks, ({ place }) => place.codec),
    });
  }

  private derive(info: string): Buffer {
    const { contentKeys, current } = this.to.keys.storageKeys(this.to.orgId);
    return Buffer.from(hkdfSync("sha256", contentKeys.get(current) as Buffer, this.to.orgId, info, 32));
  }

  private seal(pack: OpenPack, plain: Buffer, id: Buffer): Place {
    const packed = zstdCompressSync(plain);
    const codec = packed.length < plain.length ? codecZstd : codecRaw;
    const cipher = createCipheriv("aes-256-gcm", this.derive(packKeyInfo(pack.id)), chunkNonce(pack.bytes));
    cipher.setAAD(chunkHeader(id, codec, plain.length));
    const body = cipher.update(codec === codecZstd ? packed : plain);
    cipher.final();
    const place = { packId: pack.id, offset: pack.bytes, sealedBytes: body.length + sealTagBytes, codec };
    pack.parts.push(body, cipher.getAuthTag());
    pack.bytes += place.sealedBytes;
    return place;
  }

  private async put(pack: OpenPack): Promise<void> {
    this.sizes.set(pack.id, pack.bytes);
    await this.to.blobs.put(packObjectKey(this.to.orgId, pack.id), Buffer.concat(pack.parts));
  }

  /** Any bytes as a manifest that opens: what is hostile in them is the decoder's business. */
  sealManifest(artifactId: string, plain: Uint8Array): Buffer {
    const { keys, orgId } = this.to;
    const nonce = randomBytes(sealNonceBytes);
    const header = manifestHeader(keys.storageKeys(orgId).current, nonce);
    const cipher = createCipheriv("aes-256-gcm", this.derive(manifestKeyInfo(artifactId)), nonce);
    cipher.setAAD(Buffer.concat([header, Buffer.from(manifestOwner(orgId, artifactId))]));
    const body = cipher.update(zstdCompressSync(plain));
    cipher.final();
    return Buffer.concat([header, body, cipher.getAuthTag()]);
  }

  private async finish(manifest: ChunkManifest): Promise<NewArtifact> {
    const { blobs, orgId } = this.to;
    const artifactId = randomUUID();
    const key = manifestObjectKey(orgId, artifactId);
    await blobs.put(key, this.sealManifest(artifactId, encodeManifest(manifest)));
    return {
      artifact_id: artifactId,
      manifest_key: key,
      digest: `sha256:${createHash("sha256").update(encodeManifestContent(manifest)).digest("hex")}`,
      length_bytes: manifest.lengthBytes,
      stored_bytes: manifest.packs.reduce((sum, pack) => sum + pack.sizeBytes, 0),
      packs: manifest.packs.map(({ id, sizeBytes }) => ({ pack_id: id, object_key: packObjectKey(orgId, id), size_bytes: sizeBytes })),
    };
  }
}
