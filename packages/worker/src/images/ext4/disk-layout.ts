/**
 * Where things are in the file systems that we write: ext4 with 4 KiB blocks, groups of 128 MiB with their own tables at their start, no journal, no
 * checksums but the group descriptors' (so that tables of unused groups need not exist). The guest's kernel mounts and changes it like any other.
 */
export const blockBytes = 4096;
export const blocksPerGroup = 32_768;
export const groupBytes = blockBytes * blocksPerGroup;
export const inodeBytes = 256;
const inodesPerGroup = 8_192;
const inodeBlocksPerGroup = (inodesPerGroup * inodeBytes) / blockBytes;
const descriptorsPerBlock = blockBytes / 32;
/** 1 to 10 are the file system's own. */
export const firstFreeInode = 11;
export const rootInode = 2;

export interface Extent {
  start: number;
  count: number;
}

export interface Geometry {
  groups: number;
  descriptorBlocks: number;
  inodesPerGroup: number;
  inodeBlocksPerGroup: number;
}

export function geometryOf(sizeBytes: number): Geometry {
  const groups = Math.floor(sizeBytes / groupBytes);
  return { groups, descriptorBlocks: Math.ceil(groups / descriptorsPerBlock), inodesPerGroup, inodeBlocksPerGroup };
}

/** Groups with a copy of superblock and descriptors: 0, 1 and the powers of 3, 5 and 7. */
export function hasSuperblock(group: number): boolean {
  if (group <= 1) return true;
  return [3, 5, 7].some((base) => {
    let power = base;
    while (power < group) power *= base;
    return power === group;
  });
}

export interface GroupPlaces {
  first: number;
  blockBitmap: number;
  inodeBitmap: number;
  inodeTable: number;
  /** First block that is free for data, and the one behind the group. */
  data: number;
  end: number;
}

export function placesOf(geometry: Geometry, group: number): GroupPlaces {
  const first = group * blocksPerGroup;
  const blockBitmap = first + (hasSuperblock(group) ? 1 + geometry.descriptorBlocks : 0);
  const inodeTable = blockBitmap + 2;
  return {
    first,
    blockBitmap,
    inodeBitmap: blockBitmap + 1,
    inodeTable,
    data: inodeTable + geometry.inodeBlocksPerGroup,
    end: first + blocksPerGroup,
  };
}
