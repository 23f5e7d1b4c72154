/**
 * How full an ext4 file system is, from its superblock. Right after a freeze or an unmount the kernel's counts are exact. The bytes are a
 * guest's: what makes no sense counts as empty, nothing is trusted beyond these numbers.
 */
import type { BlockSource } from "./block-source.ts";

export interface TreeSize {
  /** Bytes of data and directories, without the file system's own structures. */
  sizeBytes: number;
  entryCount: number;
}

const superblockAt = 1024;
const superblockBytes = 1024;
const at = {
  inodes: 0x00,
  blocksLow: 0x04,
  freeBlocksLow: 0x0c,
  freeInodes: 0x10,
  logBlockSize: 0x18,
  magic: 0x38,
  firstInode: 0x54,
  blocksHigh: 0x150,
  freeBlocksHigh: 0x158,
  overhead: 0x248,
} as const;
/** Used in an empty tree too: the root directory's block and the one of the resize inode. */
const emptyBlocks = 2;

export function readTreeSize(source: BlockSource): TreeSize {
  const empty = { sizeBytes: 0, entryCount: 0 };
  if (source.lengthBytes < superblockAt + superblockBytes) return empty;
  const block = Buffer.alloc(superblockBytes);
  source.read(block, superblockAt);
  if (block.readUInt16LE(at.magic) !== 0xef53) return empty;
  const shift = block.readUInt32LE(at.logBlockSize);
  if (shift > 6) return empty;
  const wide = (low: number, high: number) => block.readUInt32LE(low) + block.readUInt32LE(high) * 2 ** 32;
  const blocks = wide(at.blocksLow, at.blocksHigh);
  const blockBytes = 1024 * 2 ** shift;
  if (blocks * blockBytes > source.lengthBytes) return empty;
  const used = blocks - wide(at.freeBlocksLow, at.freeBlocksHigh) - block.readUInt32LE(at.overhead) - emptyBlocks;
  const reserved = Math.max(block.readUInt32LE(at.firstInode) - 1, 10);
  const entries = block.readUInt32LE(at.inodes) - block.readUInt32LE(at.freeInodes) - reserved;
  return { sizeBytes: Math.max(0, used) * blockBytes, entryCount: Math.max(0, entries) };
}
