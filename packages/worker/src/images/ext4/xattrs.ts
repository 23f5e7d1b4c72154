/** Extended attributes of an inode as ext4 keeps them: behind the inode's fields when they fit there, else in a block of their own. */
import { ImageError } from "../image-error.ts";
import { blockBytes } from "./disk-layout.ts";

const magic = 0xea02_0000;
const entryBytes = 16;
const blockHeaderBytes = 32;
const prefixes: [string, number][] = [
  ["user.", 1],
  ["trusted.", 4],
  ["security.", 6],
];

interface Attribute {
  index: number;
  name: Buffer;
  value: Buffer;
}

export interface EncodedXattrs {
  inInode: Buffer | undefined;
  block: Buffer | undefined;
}

/** `roomBytes`: behind the inode's fields. */
export function encodeXattrs(xattrs: ReadonlyMap<string, Buffer> | undefined, roomBytes: number): EncodedXattrs {
  if (xattrs === undefined || xattrs.size === 0) return { inInode: undefined, block: undefined };
  const attributes = [...xattrs].map(([name, value]) => attributeOf(name, value)).sort(inDiskOrder);
  const needed = attributes.reduce((sum, one) => sum + entrySize(one) + padded(one.value.length), 4);
  if (needed + 4 <= roomBytes) return { inInode: inodeArea(attributes, roomBytes), block: undefined };
  if (needed + blockHeaderBytes > blockBytes)
    throw new ImageError(
      "layer_xattr",
      `A file of the image has extended attributes of ${needed} bytes; at most ${blockBytes - blockHeaderBytes} fit`,
    );
  return { inInode: undefined, block: blockOf(attributes) };
}

function attributeOf(full: string, value: Buffer): Attribute {
  const found = prefixes.find(([prefix]) => full.startsWith(prefix));
  const name = Buffer.from(full.slice(found?.[0].length ?? 0), "latin1");
  if (found === undefined || name.length === 0 || name.length > 255)
    throw new ImageError(
      "layer_xattr",
      `A file of the image has the extended attribute ${JSON.stringify(full.slice(0, 100))}, which no file can have here`,
    );
  return { index: found[1], name, value };
}

function inDiskOrder(a: Attribute, b: Attribute): number {
  return a.index - b.index || a.name.length - b.name.length || Buffer.compare(a.name, b.name);
}

const padded = (length: number) => Math.ceil(length / 4) * 4;
const entrySize = ({ name }: Attribute) => entryBytes + padded(name.length);

/** Offsets of values count from the first entry. */
function inodeArea(attributes: Attribute[], roomBytes: number): Buffer {
  const area = Buffer.alloc(roomBytes);
  area.writeUInt32LE(magic, 0);
  writeEntries(area, attributes, { entriesAt: 4, valueBase: 4, withHash: false });
  return area;
}

/** Offsets of values count from the block. */
function blockOf(attributes: Attribute[]): Buffer {
  const block = Buffer.alloc(blockBytes);
  block.writeUInt32LE(magic, 0);
  block.writeUInt32LE(1, 4);
  block.writeUInt32LE(1, 8);
  const hashes = writeEntries(block, attributes, { entriesAt: blockHeaderBytes, valueBase: 0, withHash: true });
  let hash = 0;
  for (const one of hashes) hash = ((hash << 16) ^ (hash >>> 16) ^ one) >>> 0;
  block.writeUInt32LE(hash, 12);
  return block;
}

function writeEntries(into: Buffer, attributes: Attribute[], how: { entriesAt: number; valueBase: number; withHash: boolean }): number[] {
  let at = how.entriesAt;
  let valueEnd = into.length;
  const hashes: number[] = [];
  for (const attribute of attributes) {
    const { index, name, value } = attribute;
    valueEnd -= padded(value.length);
    value.copy(into, valueEnd);
    into.writeUInt8(name.length, at);
    into.writeUInt8(index, at + 1);
    into.writeUInt16LE(value.length === 0 ? 0 : valueEnd - how.valueBase, at + 2);
    into.writeUInt32LE(value.length, at + 8);
    const hash = how.withHash ? entryHash(attribute) : 0;
    hashes.push(hash);
    into.writeUInt32LE(hash, at + 12);
    name.copy(into, at + entryBytes);
    at += entrySize(attribute);
  }
  return hashes;
}

function entryHash({ name, value }: Attribute): number {
  let hash = 0;
  for (const byte of name) hash = ((hash << 5) ^ (hash >>> 27) ^ byte) >>> 0;
  const words = Buffer.alloc(padded(value.length));
  value.copy(words);
  for (let at = 0; at < words.length; at += 4) hash = ((hash << 16) ^ (hash >>> 16) ^ words.readUInt32LE(at)) >>> 0;
  return hash;
}
