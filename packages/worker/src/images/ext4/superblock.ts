/** Superblock and group descriptors. */
import { blockBytes, blocksPerGroup, firstFreeInode, type Geometry, inodeBytes, placesOf } from "./disk-layout.ts";

const compatible = 0x0008 | 0x0020; // ext_attr, dir_index
const incompatible = 0x0002 | 0x0040; // filetype, extents
const readOnlyCompatible = 0x0001 | 0x0002 | 0x0008 | 0x0010 | 0x0020 | 0x0040; // sparse_super, large_file, huge_file, gdt_csum, dir_nlink, extra_isize
const inodeUninitialized = 0x1;
const inodesZeroed = 0x4;
const descriptorBytes = 32;

export interface GroupFacts {
  uuid: Buffer;
  bitmaps: readonly Buffer[];
  usedInodes: number;
  directories: readonly number[];
}

export function groupDescriptors(geometry: Geometry, facts: GroupFacts): { table: Buffer; freeBlocks: number } {
  const table = Buffer.alloc(geometry.descriptorBlocks * blockBytes);
  let freeBlocks = 0;
  for (let group = 0; group < geometry.groups; group += 1) {
    const places = placesOf(geometry, group);
    const free = blocksPerGroup - countBits(facts.bitmaps[group] as Buffer);
    freeBlocks += free;
    const used = Math.max(0, Math.min(geometry.inodesPerGroup, facts.usedInodes - group * geometry.inodesPerGroup));
    const at = group * descriptorBytes;
    table.writeUInt32LE(places.blockBitmap, at);
    table.writeUInt32LE(places.inodeBitmap, at + 4);
    table.writeUInt32LE(places.inodeTable, at + 8);
    table.writeUInt16LE(free, at + 12);
    table.writeUInt16LE(geometry.inodesPerGroup - used, at + 14);
    table.writeUInt16LE(facts.directories[group] ?? 0, at + 16);
    table.writeUInt16LE(inodesZeroed | (used === 0 ? inodeUninitialized : 0), at + 18);
    table.writeUInt16LE(geometry.inodesPerGroup - used, at + 28);
    const number = Buffer.alloc(4);
    number.writeUInt32LE(group);
    const body = table.subarray(at, at + descriptorBytes - 2);
    table.writeUInt16LE(crc16(crc16(crc16(0xffff, facts.uuid), number), body), at + descriptorBytes - 2);
  }
  return { table, freeBlocks };
}

export interface SuperblockFacts {
  uuid: Buffer;
  group: number;
  freeBlocks: number;
  usedInodes: number;
}

export function superblock(geometry: Geometry, facts: SuperblockFacts): Buffer {
  const block = Buffer.alloc(1024);
  const inodes = geometry.groups * geometry.inodesPerGroup;
  block.writeUInt32LE(inodes, 0);
  block.writeUInt32LE(geometry.groups * blocksPerGroup, 4);
  block.writeUInt32LE(facts.freeBlocks, 12);
  block.writeUInt32LE(inodes - facts.usedInodes, 16);
  block.writeUInt32LE(2, 24); // 4 KiB blocks
  block.writeUInt32LE(2, 28); // and clusters
  block.writeUInt32LE(blocksPerGroup, 32);
  block.writeUInt32LE(blocksPerGroup, 36);
  block.writeUInt32LE(geometry.inodesPerGroup, 40);
  block.writeUInt16LE(0xffff, 54); // never checked for its number of mounts
  block.writeUInt16LE(0xef53, 56);
  block.writeUInt16LE(1, 58); // clean
  block.writeUInt16LE(1, 60); // go on after an error
  block.writeUInt32LE(1, 76); // dynamic revision
  block.writeUInt32LE(firstFreeInode, 84);
  block.writeUInt16LE(inodeBytes, 88);
  block.writeUInt16LE(facts.group, 90);
  block.writeUInt32LE(compatible, 92);
  block.writeUInt32LE(incompatible, 96);
  block.writeUInt32LE(readOnlyCompatible, 100);
  facts.uuid.copy(block, 104);
  block.write("helmr-image", 120, "latin1");
  facts.uuid.copy(block, 236); // seed of directory hashes
  block.writeUInt8(1, 252); // half MD4
  block.writeUInt16LE(32, 348);
  block.writeUInt16LE(32, 350);
  block.writeUInt32LE(1, 352); // signed characters in directory hashes
  return block;
}

function countBits(bitmap: Buffer): number {
  let count = 0;
  for (const byte of bitmap) count += bits[byte] as number;
  return count;
}

const bits = Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);

function crc16(start: number, data: Uint8Array): number {
  let crc = start;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xa001;
  }
  return crc;
}
