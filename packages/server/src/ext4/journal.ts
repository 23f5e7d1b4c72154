/**
 * A file system that was not left cleanly (its machine was stopped) holds its last changes in the journal. Nothing is written back here: `replayedDevice`
 * shows each block as it would be after recovery.
 *
 *   scan   from the first transaction on, descriptor blocks (what follows is the content of which block), revocations and commits, until a block is not
 *          the next one of the sequence: a transaction without its commit never happened
 *   read   the newest committed content of a block that no later or same transaction revoked
 *
 * The journal is a guest's like everything else: it is walked once around at most, and what it says about blocks outside the file system is damage.
 */
import { type BlockDevice, corrupt, Ext4Error, WorkBudget } from "./block-device.ts";
import { readBytes } from "./file-bytes.ts";
import { type Inode, readInode } from "./inode.ts";
import type { Superblock, Volume } from "./superblock.ts";

const magic = 0xc03b_3998;
const kind = { descriptor: 1, commit: 2, superblockV2: 4, revoke: 5 } as const;
const feature = { revoke: 0x1, is64Bit: 0x2, asyncCommit: 0x4, checksumsV2: 0x8, checksumsV3: 0x10 } as const;
const known = feature.revoke | feature.is64Bit | feature.asyncCommit | feature.checksumsV2 | feature.checksumsV3;
const tagFlag = { escaped: 1, sameOwner: 2, last: 8 } as const;
const headerBytes = 12;
const blocksMax = 262_144;

interface Journal {
  inode: Inode;
  blocks: number;
  first: number;
  start: number;
  sequence: number;
  features: number;
}

interface Logged {
  /** Block of the journal. */
  at: number;
  sequence: number;
  /** Its first four bytes were the journal's magic and were blanked. */
  escaped: boolean;
}

/** The device as it would be after recovery; the same one when there is nothing to recover. */
export async function replayedDevice(device: BlockDevice, fs: Superblock): Promise<BlockDevice> {
  const volume: Volume = { device, fs };
  const budget = new WorkBudget(4 * blocksMax);
  const journal = await readJournal(volume, budget);
  if (journal.start === 0) return device;
  const logged = await scan(volume, journal, budget);
  return logged.size === 0 ? device : new ReplayedDevice(volume, journal.inode, logged);
}

async function readJournal(volume: Volume, budget: WorkBudget): Promise<Journal> {
  const { fs } = volume;
  if (fs.journalInode === 0) throw new Ext4Error("unsupported", "The file system cannot be read: its journal is elsewhere");
  const inode = await readInode(volume, fs.journalInode, budget);
  const block = await readBytes(volume, inode, { start: 0, length: fs.blockBytes }, budget);
  if (block.length < 1024 || block.readUInt32BE(0) !== magic || block.readUInt32BE(4) !== kind.superblockV2)
    throw corrupt("The journal has no superblock");
  const features = block.readUInt32BE(0x28);
  if ((features & ~known) !== 0)
    throw new Ext4Error(
      "unsupported",
      `The file system cannot be read: its journal has the features 0x${(features & ~known).toString(16)}`,
    );
  const [bytes, blocks, first, sequence, start] = [0x0c, 0x10, 0x14, 0x18, 0x1c].map((at) => block.readUInt32BE(at)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  if (bytes !== fs.blockBytes || blocks > blocksMax || blocks * bytes > inode.sizeBytes)
    throw corrupt(`A journal of ${blocks} blocks of ${bytes} bytes`);
  if (first === 0 || first >= blocks || start >= blocks) throw corrupt(`The journal begins at block ${start} of ${blocks}`);
  return { inode, blocks, first, start, sequence, features };
}

async function scan(volume: Volume, journal: Journal, budget: WorkBudget): Promise<Map<number, Logged>> {
  const logged = new Map<number, Logged>();
  const revoked = new Map<number, number>();
  let open: { block: number; logged: Logged }[] = [];
  let openRevoked: number[] = [];
  let { start: at, sequence } = journal;
  const next = (steps: number) => {
    at += steps;
    if (at >= journal.blocks) at -= journal.blocks - journal.first;
  };
  for (let left = journal.blocks; left > 0;) {
    budget.spend();
    const block = await journalBlock(volume, journal.inode, at, budget);
    if (block.readUInt32BE(0) !== magic || block.readUInt32BE(8) !== sequence) break;
    const type = block.readUInt32BE(4);
    if (type === kind.descriptor) {
      const tags = tagsOf(block, journal, volume.fs);
      for (const [index, tag] of tags.entries()) {
        const place = at + 1 + index;
        const wrapped = place >= journal.blocks ? place - journal.blocks + journal.first : place;
        open.push({ block: tag.block, logged: { at: wrapped, sequence, escaped: tag.escaped } });
      }
      next(1 + tags.length);
      left -= 1 + tags.length;
      continue;
    }
    if (type === kind.revoke) openRevoked.push(...revocations(block, journal));
    else if (type === kind.commit) {
      for (const each of open) logged.set(each.block, each.logged);
      for (const each of openRevoked) revoked.set(each, sequence);
      open = [];
      openRevoked = [];
      sequence = (sequence + 1) >>> 0;
    } else break;
    next(1);
    left -= 1;
  }
  for (const [block, last] of revoked) {
    const found = logged.get(block);
    if (found !== undefined && found.sequence <= last) logged.delete(block);
  }
  return logged;
}

async function journalBlock({ device, fs }: Volume, inode: Inode, at: number, budget: WorkBudget): Promise<Buffer> {
  const block = await readBytes({ device, fs }, inode, { start: at * fs.blockBytes, length: fs.blockBytes }, budget);
  if (block.length < fs.blockBytes) throw corrupt(`The journal ends before its block ${at}`);
  return block;
}

function tagsOf(block: Buffer, { features, blocks }: Journal, fs: Superblock): { block: number; escaped: boolean }[] {
  const v3 = (features & feature.checksumsV3) !== 0;
  const is64Bit = (features & feature.is64Bit) !== 0;
  const checksums = v3 || (features & feature.checksumsV2) !== 0;
  const tagBytes = v3 ? 16 : 8 + (is64Bit ? 4 : 0) + (checksums ? 2 : 0);
  const end = block.length - (checksums ? 4 : 0);
  const tags: { block: number; escaped: boolean }[] = [];
  for (let at = headerBytes; at + tagBytes <= end && tags.length < blocks;) {
    const flags = v3 ? block.readUInt32BE(at + 4) : block.readUInt16BE(at + 6);
    const high = is64Bit ? block.readUInt32BE(at + 8) : 0;
    const number = block.readUInt32BE(at) + high * 2 ** 32;
    if (number >= fs.blocks) throw corrupt(`The journal has content for block ${number} of ${fs.blocks}`);
    tags.push({ block: number, escaped: (flags & tagFlag.escaped) !== 0 });
    at += tagBytes + ((flags & tagFlag.sameOwner) === 0 ? 16 : 0);
    if ((flags & tagFlag.last) !== 0) break;
  }
  return tags;
}

function revocations(block: Buffer, { features }: Journal): number[] {
  const wide = (features & feature.is64Bit) !== 0;
  const end = Math.min(block.readUInt32BE(headerBytes), block.length);
  const found: number[] = [];
  for (let at = headerBytes + 4; at + (wide ? 8 : 4) <= end; at += wide ? 8 : 4)
    found.push(wide ? block.readUInt32BE(at) * 2 ** 32 + block.readUInt32BE(at + 4) : block.readUInt32BE(at));
  return found;
}

class ReplayedDevice implements BlockDevice {
  readonly lengthBytes: number;
  private readonly volume: Volume;
  private readonly inode: Inode;
  private readonly logged: ReadonlyMap<number, Logged>;

  constructor(volume: Volume, inode: Inode, logged: ReadonlyMap<number, Logged>) {
    this.volume = volume;
    this.inode = inode;
    this.logged = logged;
    this.lengthBytes = volume.device.lengthBytes;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const { device, fs } = this.volume;
    const first = Math.floor(offset / fs.blockBytes);
    const last = Math.floor((offset + Math.max(length, 1) - 1) / fs.blockBytes);
    const under = await device.read(offset, length);
    let out: Buffer | undefined;
    for (let block = first; block <= last; block += 1) {
      const logged = this.logged.get(block);
      if (logged === undefined) continue;
      // What the device gave may be somebody's cache.
      out ??= Buffer.from(under);
      const content = await this.content(logged);
      const start = block * fs.blockBytes;
      content.copy(out, Math.max(0, start - offset), Math.max(0, offset - start), Math.min(content.length, offset + length - start));
    }
    return out ?? under;
  }

  private async content({ at, escaped }: Logged): Promise<Buffer> {
    const block = await journalBlock(this.volume, this.inode, at, new WorkBudget(1_000));
    if (escaped) block.writeUInt32BE(magic, 0);
    return block;
  }
}
