/** The superblock and the group descriptors: where inodes are. Checked before anything is computed from it. */
import type { NameHash } from "./hash-index.ts";
import { type BlockDevice, corrupt, Ext4Error, type WorkBudget } from "./block-device.ts";

export interface Superblock {
  blockBytes: number;
  blocks: number;
  inodes: number;
  inodeBytes: number;
  inodesPerGroup: number;
  descriptorBytes: number;
  descriptorsAt: number;
  groups: number;
  hasFileType: boolean;
  is64Bit: boolean;
  /** Of names in hashed directories; undefined: none, or not known which. */
  hash: NameHash | undefined;
  /** Its last changes are in the journal. */
  needsRecovery: boolean;
  /** 0: none of its own. */
  journalInode: number;
}

const superblockAt = 1024;
const superblockBytes = 1024;
const incompat = {
  fileType: 0x2,
  needsRecovery: 0x4,
  metaGroups: 0x10,
  extents: 0x40,
  is64Bit: 0x80,
  flexGroups: 0x200,
  seededChecksums: 0x2000,
  largeDirectories: 0x4000,
  inlineData: 0x8000,
} as const;
const known =
  incompat.fileType |
  incompat.needsRecovery |
  incompat.extents |
  incompat.is64Bit |
  incompat.flexGroups |
  incompat.seededChecksums |
  incompat.largeDirectories |
  incompat.inlineData;

export async function readSuperblock(device: BlockDevice): Promise<Superblock> {
  if (device.lengthBytes < superblockAt + superblockBytes) throw unsupported("the device is too small for a file system");
  const block = await device.read(superblockAt, superblockBytes);
  if (block.readUInt16LE(0x38) !== 0xef53) throw unsupported("there is no ext4 superblock");
  const features = block.readUInt32LE(0x60);
  if ((features & ~known) !== 0) throw unsupported(`it has the features 0x${((features & ~known) >>> 0).toString(16)}`);
  const shift = block.readUInt32LE(0x18);
  if (shift > 6) throw corrupt(`Block size of 2^${10 + shift} bytes`);
  const blockBytes = 1024 * 2 ** shift;
  const is64Bit = (features & incompat.is64Bit) !== 0;
  const blocks = block.readUInt32LE(0x04) + (is64Bit ? block.readUInt32LE(0x150) * 2 ** 32 : 0);
  if (blocks * blockBytes > device.lengthBytes) throw corrupt(`${blocks} blocks of ${blockBytes} bytes on ${device.lengthBytes} bytes`);
  const firstBlock = block.readUInt32LE(0x14);
  const blocksPerGroup = block.readUInt32LE(0x20);
  const inodesPerGroup = block.readUInt32LE(0x28);
  const inodes = block.readUInt32LE(0x00);
  const inodeBytes = block.readUInt32LE(0x4c) === 0 ? 128 : block.readUInt16LE(0x58);
  const descriptorBytes = is64Bit ? block.readUInt16LE(0xfe) : 32;
  if (firstBlock > 1 || blocksPerGroup === 0 || inodesPerGroup === 0) throw corrupt("The geometry of the groups makes no sense");
  if (inodeBytes < 128 || inodeBytes > blockBytes || (inodeBytes & (inodeBytes - 1)) !== 0) throw corrupt(`Inodes of ${inodeBytes} bytes`);
  if (descriptorBytes < 32 || descriptorBytes > blockBytes) throw corrupt(`Group descriptors of ${descriptorBytes} bytes`);
  const groups = Math.ceil((blocks - firstBlock) / blocksPerGroup);
  const descriptorsAt = (firstBlock + 1) * blockBytes;
  if (descriptorsAt + groups * descriptorBytes > device.lengthBytes) throw corrupt("The group descriptors do not fit");
  return {
    blockBytes,
    blocks,
    inodes,
    inodeBytes,
    inodesPerGroup,
    descriptorBytes,
    descriptorsAt,
    groups,
    hasFileType: (features & incompat.fileType) !== 0,
    is64Bit,
    hash: readNameHash(block),
    needsRecovery: (features & incompat.needsRecovery) !== 0,
    journalInode: block.readUInt32LE(0xe0),
  };
}

const directoryIndex = 0x20;
const hashFlag = { signed: 1, unsigned: 2 } as const;

function readNameHash(block: Buffer): NameHash | undefined {
  const flags = block.readUInt32LE(0x160) & (hashFlag.signed | hashFlag.unsigned);
  if ((block.readUInt32LE(0x5c) & directoryIndex) === 0 || (flags !== hashFlag.signed && flags !== hashFlag.unsigned)) return undefined;
  const [a, b, c, d] = [0xec, 0xf0, 0xf4, 0xf8].map((at) => block.readUInt32LE(at)) as [number, number, number, number];
  return { seed: [a, b, c, d], signed: flags === hashFlag.signed };
}

function unsupported(why: string): Ext4Error {
  return new Ext4Error("unsupported", `The file system cannot be read: ${why}`);
}

/** First byte of the inode table of a group. */
export async function inodeTableAt(device: BlockDevice, fs: Superblock, group: number): Promise<number> {
  if (group >= fs.groups) throw corrupt(`Group ${group} of ${fs.groups}`);
  const descriptor = await device.read(fs.descriptorsAt + group * fs.descriptorBytes, fs.descriptorBytes);
  const high = fs.is64Bit && fs.descriptorBytes >= 64 ? descriptor.readUInt32LE(0x28) : 0;
  const block = descriptor.readUInt32LE(0x08) + high * 2 ** 32;
  const at = block * fs.blockBytes;
  if (block === 0 || at + fs.inodesPerGroup * fs.inodeBytes > fs.blocks * fs.blockBytes)
    throw corrupt(`The inode table of group ${group} lies at block ${block} of ${fs.blocks}`);
  return at;
}

export interface Volume {
  device: BlockDevice;
  fs: Superblock;
}

export async function readBlock({ device, fs }: Volume, block: number, budget: WorkBudget): Promise<Buffer> {
  budget.spend();
  if (block <= 0 || block >= fs.blocks) throw corrupt(`Block ${block} of ${fs.blocks}`);
  return device.read(block * fs.blockBytes, fs.blockBytes);
}
