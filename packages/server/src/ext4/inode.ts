/** An inode as it is on the device, and the few of its members that are shown. */
import { corrupt, type WorkBudget } from "./block-device.ts";
import { inodeTableAt, type Volume } from "./superblock.ts";

export type FileKind = "file" | "directory" | "symlink" | "other";

export interface Inode {
  number: number;
  kind: FileKind;
  /** Permission bits. */
  mode: number;
  sizeBytes: number;
  modifiedSeconds: number;
  modifiedNanoseconds: number;
  hasExtents: boolean;
  isInline: boolean;
  /** A directory with an index of hashes. */
  isHashed: boolean;
  /** The 60 bytes that hold extents, block numbers, a short link target or the beginning of inline data. */
  body: Buffer;
  /** All of it, for what lies behind: attributes with the rest of inline data, and comparison. */
  raw: Buffer;
}

export const rootInode = 2;
const kinds: Record<number, FileKind> = { 0x8: "file", 0x4: "directory", 0xa: "symlink" };
const flag = { extents: 0x80000, inline: 0x1000_0000, encrypted: 0x800, index: 0x1000 } as const;

export async function readInode({ device, fs }: Volume, number: number, budget: WorkBudget): Promise<Inode> {
  budget.spend();
  if (number < 1 || number > fs.inodes) throw corrupt(`Inode ${number} of ${fs.inodes}`);
  const group = Math.floor((number - 1) / fs.inodesPerGroup);
  const table = await inodeTableAt(device, fs, group);
  const raw = await device.read(table + ((number - 1) % fs.inodesPerGroup) * fs.inodeBytes, fs.inodeBytes);
  return decodeInode(number, raw);
}

export function decodeInode(number: number, raw: Buffer): Inode {
  const mode = raw.readUInt16LE(0x00);
  const kind = kinds[mode >>> 12] ?? "other";
  const flags = raw.readUInt32LE(0x20);
  if ((flags & flag.encrypted) !== 0) throw corrupt(`Inode ${number} is encrypted`);
  const sizeHigh = kind === "file" || kind === "directory" ? raw.readUInt32LE(0x6c) : 0;
  const sizeBytes = raw.readUInt32LE(0x04) + sizeHigh * 2 ** 32;
  if (!Number.isSafeInteger(sizeBytes)) throw corrupt(`Inode ${number} has an impossible size`);
  const extra = raw.length >= 0x8c && raw.readUInt16LE(0x80) >= 0x0c ? raw.readUInt32LE(0x88) : 0;
  return {
    number,
    kind,
    mode: mode & 0o7777,
    sizeBytes,
    modifiedSeconds: raw.readInt32LE(0x10) + (extra & 3) * 2 ** 32,
    modifiedNanoseconds: Math.min(extra >>> 2, 999_999_999),
    hasExtents: (flags & flag.extents) !== 0,
    isInline: (flags & flag.inline) !== 0,
    isHashed: (flags & flag.index) !== 0,
    body: raw.subarray(0x28, 0x64),
    raw,
  };
}

const attributesMagic = 0xea02_0000;
const systemIndex = 7;

/** Inline data goes on in the attribute `system.data` behind the inode; empty when there is none. */
export function inlineRest(inode: Inode): Buffer {
  const { raw } = inode;
  const none = raw.subarray(0, 0);
  if (raw.length <= 128) return none;
  const start = 128 + raw.readUInt16LE(0x80);
  if (start + 4 > raw.length || raw.readUInt32LE(start) !== attributesMagic) return none;
  const first = start + 4;
  for (let at = first; at + 16 <= raw.length; at += 16 + ((raw.readUInt8(at) + 3) & ~3)) {
    const nameBytes = raw.readUInt8(at);
    const index = raw.readUInt8(at + 1);
    if (nameBytes === 0 && index === 0) return none;
    if (index !== systemIndex || raw.toString("latin1", at + 16, at + 16 + nameBytes) !== "data") continue;
    const from = first + raw.readUInt16LE(at + 2);
    const size = raw.readUInt32LE(at + 8);
    if (raw.readUInt32LE(at + 4) !== 0 || from + size > raw.length) throw corrupt(`Inline data of inode ${inode.number} leaves the inode`);
    return raw.subarray(from, from + size);
  }
  return none;
}

export function inlineData(inode: Inode): Buffer {
  const data = Buffer.concat([inode.body, inlineRest(inode)]);
  if (inode.sizeBytes > data.length) throw corrupt(`Inode ${inode.number} holds ${data.length} of ${inode.sizeBytes} inline bytes`);
  return data.subarray(0, inode.sizeBytes);
}
