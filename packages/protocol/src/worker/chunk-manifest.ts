/**
 * The plain form of a block artifact's manifest: which chunks a device consists of and where each one lies. What is stored is this form,
 * compressed and sealed (worker/src/chunks/sealing.ts). Both sections are little-endian columns.
 *
 *   content    "HLMF" version:u8 chunkShift:u8 0:u16  lengthBytes:u64  count:u32  index:u32[count]  id:16 bytes[count]
 *   location   keyIds:u8 (length:u8 text)[]  packs:u32 (id:16 bytes sizeBytes:u32 keyId:u8)[]
 *              pack:u32[count]  skip:i32[count]  sealedBytes:u32[count]  codec:u8[count]
 *
 * A chunk that is missing is all zeros. The digest of an artifact is SHA-256 over the content section alone, so equal content of one tenant
 * has an equal digest wherever its chunks lie. `skip` is the distance to the end of the chunk before it in the same pack: nearly always 0.
 * The bytes may be anyone's: `decodeManifest` checks every number before it allocates or believes it.
 */
export const chunkIdBytes = 16;
export const chunksMax = 4_194_304;
export const packsMax = 100_000;
export const chunkShiftMin = 12;
export const chunkShiftMax = 22;

export const codecRaw = 0;
export const codecZstd = 1;

export interface ManifestPack {
  id: string;
  sizeBytes: number;
  /** Which content key seals its chunks. */
  keyId: string;
}

/** Columns, one entry per chunk that is not zero, in ascending order of `index`. */
export interface ChunkManifest {
  lengthBytes: number;
  chunkBytes: number;
  indexes: Uint32Array;
  ids: Uint8Array;
  packs: ManifestPack[];
  pack: Uint32Array;
  offset: Uint32Array;
  sealedBytes: Uint32Array;
  codec: Uint8Array;
}

/** Bytes that are no manifest. */
export class ManifestError extends Error {
  override name = "ManifestError";
}

const magic = 0x464d_4c48; // "HLMF" read as little-endian u32
const version = 1;
const contentHeaderBytes = 20;

export function packObjectKey(orgId: string, packId: string): string {
  return `orgs/${orgId}/packs/${packId}`;
}

export function manifestObjectKey(orgId: string, artifactId: string): string {
  return `orgs/${orgId}/manifests/${artifactId}`;
}

export function emptyManifest(lengthBytes: number, chunkBytes: number): ChunkManifest {
  const none = new Uint32Array(0);
  return {
    lengthBytes,
    chunkBytes,
    indexes: none,
    ids: new Uint8Array(0),
    packs: [],
    pack: none,
    offset: none,
    sealedBytes: none,
    codec: new Uint8Array(0),
  };
}

/** Position in the columns of the chunk with that index, or -1 when it is zero. */
export function chunkPosition(manifest: ChunkManifest, index: number): number {
  let low = 0;
  let high = manifest.indexes.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const found = manifest.indexes[middle] as number;
    if (found === index) return middle;
    if (found < index) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** Plain length of a chunk: the last one of a device may be shorter. */
export function chunkPlainBytes(manifest: Pick<ChunkManifest, "lengthBytes" | "chunkBytes">, index: number): number {
  return Math.min(manifest.chunkBytes, manifest.lengthBytes - index * manifest.chunkBytes);
}

/** What the digest of the artifact is taken over. */
export function encodeManifestContent(manifest: ChunkManifest): Uint8Array {
  const count = manifest.indexes.length;
  const bytes = new Uint8Array(contentHeaderBytes + count * (4 + chunkIdBytes));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setUint8(4, version);
  view.setUint8(5, Math.log2(manifest.chunkBytes));
  view.setBigUint64(8, BigInt(manifest.lengthBytes), true);
  view.setUint32(16, count, true);
  let at = contentHeaderBytes;
  for (const index of manifest.indexes) {
    view.setUint32(at, index, true);
    at += 4;
  }
  bytes.set(manifest.ids, at);
  return bytes;
}

export function encodeManifest(manifest: ChunkManifest): Uint8Array {
  const content = encodeManifestContent(manifest);
  const location = encodeLocation(manifest);
  const bytes = new Uint8Array(content.length + location.length);
  bytes.set(content);
  bytes.set(location, content.length);
  return bytes;
}

function encodeLocation(manifest: ChunkManifest): Uint8Array {
  const keyIds = [...new Set(manifest.packs.map((pack) => pack.keyId))];
  const names = keyIds.map((keyId) => new TextEncoder().encode(keyId));
  const count = manifest.indexes.length;
  const namesBytes = names.reduce((sum, name) => sum + 1 + name.length, 1);
  const bytes = new Uint8Array(namesBytes + 4 + manifest.packs.length * 21 + count * 13);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, keyIds.length);
  let at = 1;
  for (const name of names) {
    view.setUint8(at, name.length);
    bytes.set(name, at + 1);
    at += 1 + name.length;
  }
  view.setUint32(at, manifest.packs.length, true);
  at += 4;
  for (const pack of manifest.packs) {
    bytes.set(uuidBytes(pack.id), at);
    view.setUint32(at + 16, pack.sizeBytes, true);
    view.setUint8(at + 20, keyIds.indexOf(pack.keyId));
    at += 21;
  }
  writeColumns(view, at, manifest);
  return bytes;
}

function writeColumns(view: DataView, start: number, manifest: ChunkManifest): void {
  const count = manifest.indexes.length;
  const ends = new Map<number, number>();
  for (let position = 0; position < count; position += 1) {
    const pack = manifest.pack[position] as number;
    const offset = manifest.offset[position] as number;
    const sealed = manifest.sealedBytes[position] as number;
    view.setUint32(start + position * 4, pack, true);
    view.setInt32(start + count * 4 + position * 4, offset - (ends.get(pack) ?? 0), true);
    view.setUint32(start + count * 8 + position * 4, sealed, true);
    view.setUint8(start + count * 12 + position, manifest.codec[position] as number);
    ends.set(pack, offset + sealed);
  }
}

export function decodeManifest(bytes: Uint8Array): ChunkManifest {
  const reader = new Reader(bytes);
  if (reader.u32() !== magic) throw new ManifestError("Manifest does not begin with HLMF");
  const found = reader.u8();
  if (found !== version) throw new ManifestError(`Manifest version ${found} is not ${version}`);
  const shift = reader.u8();
  if (shift < chunkShiftMin || shift > chunkShiftMax)
    throw new ManifestError(`Chunk size of 2^${shift} is outside 2^${chunkShiftMin}..2^${chunkShiftMax}`);
  if (reader.u16() !== 0) throw new ManifestError("Reserved bytes of the manifest are not zero");
  const chunkBytes = 2 ** shift;
  const lengthBytes = reader.u64();
  const count = reader.u32();
  if (count > chunksMax) throw new ManifestError(`Manifest has ${count} chunks: the limit is ${chunksMax}`);
  if (count > Math.ceil(lengthBytes / chunkBytes)) throw new ManifestError(`Manifest has ${count} chunks for ${lengthBytes} bytes`);
  const indexes = reader.columnU32(count);
  checkIndexes(indexes, Math.ceil(lengthBytes / chunkBytes));
  const ids = reader.take(count * chunkIdBytes).slice();
  const packs = readPacks(reader);
  const manifest = { lengthBytes, chunkBytes, indexes, ids, packs, ...readColumns(reader, count, packs) };
  if (reader.left !== 0) throw new ManifestError(`Manifest has ${reader.left} bytes too many`);
  return manifest;
}

function checkIndexes(indexes: Uint32Array, chunks: number): void {
  let before = -1;
  for (const index of indexes) {
    if (index <= before || index >= chunks)
      throw new ManifestError(`Chunk index ${index} after ${before} is not ascending below ${chunks}`);
    before = index;
  }
}

function readPacks(reader: Reader): ManifestPack[] {
  const keyIds: string[] = [];
  for (let left = reader.u8(); left > 0; left -= 1) {
    keyIds.push(reader.text(reader.u8()));
  }
  const count = reader.u32();
  if (count > packsMax) throw new ManifestError(`Manifest has ${count} packs: the limit is ${packsMax}`);
  const packs: ManifestPack[] = [];
  for (let left = count; left > 0; left -= 1) {
    const id = uuidText(reader.take(16));
    const sizeBytes = reader.u32();
    const keyId = keyIds[reader.u8()];
    if (keyId === undefined) throw new ManifestError(`Pack ${id} names no key`);
    packs.push({ id, sizeBytes, keyId });
  }
  return packs;
}

type Columns = Pick<ChunkManifest, "pack" | "offset" | "sealedBytes" | "codec">;

function readColumns(reader: Reader, count: number, packs: ManifestPack[]): Columns {
  const pack = reader.columnU32(count);
  const skips = reader.columnU32(count);
  const sealedBytes = reader.columnU32(count);
  const codec = reader.take(count).slice();
  const offset = new Uint32Array(count);
  const ends = new Float64Array(packs.length);
  for (let position = 0; position < count; position += 1) {
    const number = pack[position] as number;
    const home = packs[number];
    if (home === undefined) throw new ManifestError(`Chunk ${position} lies in pack ${number} of ${packs.length}`);
    const start = (ends[number] as number) + ((skips[position] as number) | 0);
    const end = start + (sealedBytes[position] as number);
    if (start < 0 || end > home.sizeBytes)
      throw new ManifestError(`Chunk ${position} lies at ${start}..${end} in a pack of ${home.sizeBytes} bytes`);
    if ((codec[position] as number) > codecZstd) throw new ManifestError(`Chunk ${position} has the unknown codec ${codec[position]}`);
    offset[position] = start;
    ends[number] = end;
  }
  return { pack, offset, sealedBytes, codec };
}

class Reader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  take(count: number): Uint8Array {
    if (count > this.left) throw new ManifestError(`Manifest ends ${count - this.left} bytes early`);
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  u8(): number {
    return this.take(1)[0] as number;
  }

  u16(): number {
    this.take(2);
    return this.view.getUint16(this.at - 2, true);
  }

  u32(): number {
    this.take(4);
    return this.view.getUint32(this.at - 4, true);
  }

  u64(): number {
    this.take(8);
    const value = this.view.getBigUint64(this.at - 8, true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ManifestError(`Length ${value} is too large`);
    return Number(value);
  }

  text(length: number): string {
    return new TextDecoder().decode(this.take(length));
  }

  columnU32(count: number): Uint32Array {
    const bytes = this.take(count * 4);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const column = new Uint32Array(count);
    for (let row = 0; row < count; row += 1) column[row] = view.getUint32(row * 4, true);
    return column;
  }
}

function uuidBytes(text: string): Uint8Array {
  const hex = text.replaceAll("-", "");
  const bytes = new Uint8Array(16);
  for (let at = 0; at < 16; at += 1) bytes[at] = Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16);
  return bytes;
}

function uuidText(bytes: Uint8Array): string {
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
