/** One inode as ext4 keeps it. */
import type { ImageNode } from "../layers/image-tree.ts";
import { blockBytes, type Extent, inodeBytes } from "./disk-layout.ts";

const kinds = { fifo: 0o010000, directory: 0o040000, file: 0o100000, symlink: 0o120000 } as const;
const extraBytes = 32;
/** Where extended attributes may begin. */
export const extraFieldsEnd = 128 + extraBytes;
const flagExtents = 0x8_0000;
const blockAreaAt = 40;
const linksMax = 65_000;

export interface InodeContent {
  sizeBytes: number;
  extents: readonly Extent[];
  /** Blocks with the extents when there are more than four. */
  leaves: readonly { firstFileBlock: number; block: number }[];
  inline: Buffer | undefined;
  xattrBlock: number;
  directoryLinks: number;
}

export function encodeInode(node: ImageNode, content: InodeContent): Buffer {
  const inode = Buffer.alloc(inodeBytes);
  const links = node.kind === "directory" ? (content.directoryLinks > linksMax ? 1 : content.directoryLinks) : node.links;
  inode.writeUInt16LE(kinds[node.kind] | (node.mode & 0o7777), 0);
  inode.writeUInt16LE(node.uid & 0xffff, 2);
  inode.writeUInt32LE(content.sizeBytes % 2 ** 32, 4);
  const time = encodeTime(node.mtimeSeconds, node.mtimeNs);
  for (const at of [8, 12, 16]) inode.writeUInt32LE(time.low, at);
  inode.writeUInt16LE(node.gid & 0xffff, 24);
  inode.writeUInt16LE(links, 26);
  const dataBlocks = content.extents.reduce((sum, extent) => sum + extent.count, 0);
  const blocks = dataBlocks + content.leaves.length + (content.xattrBlock === 0 ? 0 : 1);
  const sectors = blocks * (blockBytes / 512);
  inode.writeUInt32LE(sectors % 2 ** 32, 28);
  inode.writeUInt16LE(Math.floor(sectors / 2 ** 32), 116);
  if (content.inline !== undefined) content.inline.copy(inode, blockAreaAt);
  else if (node.kind !== "fifo") {
    inode.writeUInt32LE(flagExtents, 32);
    writeExtents(inode, content);
  }
  inode.writeUInt32LE(content.xattrBlock, 104);
  inode.writeUInt32LE(Math.floor(content.sizeBytes / 2 ** 32), 108);
  inode.writeUInt16LE(node.uid >>> 16, 120);
  inode.writeUInt16LE(node.gid >>> 16, 122);
  inode.writeUInt16LE(extraBytes, 128);
  for (const at of [132, 136, 140]) inode.writeUInt32LE(time.extra, at);
  inode.writeUInt32LE(time.low, 144);
  inode.writeUInt32LE(time.extra, 148);
  return inode;
}

function writeExtents(inode: Buffer, { extents, leaves }: InodeContent): void {
  const at = blockAreaAt;
  inode.writeUInt16LE(0xf30a, at);
  inode.writeUInt16LE(leaves.length > 0 ? leaves.length : extents.length, at + 2);
  inode.writeUInt16LE(4, at + 4);
  inode.writeUInt16LE(leaves.length > 0 ? 1 : 0, at + 6);
  if (leaves.length > 0) {
    for (const [index, leaf] of leaves.entries()) {
      inode.writeUInt32LE(leaf.firstFileBlock, at + 12 + index * 12);
      inode.writeUInt32LE(leaf.block, at + 16 + index * 12);
    }
    return;
  }
  let fileBlock = 0;
  for (const [index, extent] of extents.entries()) {
    inode.writeUInt32LE(fileBlock, at + 12 + index * 12);
    inode.writeUInt16LE(extent.count, at + 16 + index * 12);
    inode.writeUInt32LE(extent.start, at + 20 + index * 12);
    fileBlock += extent.count;
  }
}

const firstSecond = -(2 ** 31);
const lastSecond = 2 ** 34 + firstSecond - 1;

/** 34 bits of seconds and 30 of nanoseconds in two words. */
function encodeTime(seconds: number, ns: number): { low: number; extra: number } {
  const clamped = Math.min(Math.max(Math.trunc(seconds), firstSecond), lastSecond);
  const epoch = Math.floor((clamped - firstSecond) / 2 ** 32);
  return { low: ((clamped % 2 ** 32) + 2 ** 32) % 2 ** 32, extra: ((ns * 4) | epoch) >>> 0 };
}
