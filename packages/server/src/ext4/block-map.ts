/** From a block of a file to blocks of the device: the extent tree, and the older map of block numbers. */
import { corrupt, type WorkBudget } from "./block-device.ts";
import type { Inode } from "./inode.ts";
import { readBlock, type Volume } from "./superblock.ts";

export interface Run {
  /** First block on the device; undefined: a hole, or space that was never written. */
  physical: number | undefined;
  /** So many blocks of the file, at least one. */
  blocks: number;
}

const extentMagic = 0xf30a;
const depthMax = 5;
const headerBytes = 12;
const entryBytes = 12;
const writtenMax = 32_768;
const blocksMax = 2 ** 32;

/** Where the file's block `logical` lies, and how many after it lie behind it. */
export function runAt(volume: Volume, inode: Inode, logical: number, budget: WorkBudget): Promise<Run> {
  if (logical >= blocksMax) throw corrupt(`Inode ${inode.number} has no block ${logical}`);
  return inode.hasExtents ? extentRun(volume, inode, logical, budget) : mappedRun(volume, inode, logical, budget);
}

async function extentRun(volume: Volume, inode: Inode, logical: number, budget: WorkBudget): Promise<Run> {
  let node = inode.body;
  let limit = blocksMax;
  let depth: number | undefined;
  for (;;) {
    const { entries, height } = nodeHeader(node, inode, depth);
    const { at, next } = lastNotAbove(node, entries, logical);
    limit = Math.min(limit, next);
    if (at === undefined) return { physical: undefined, blocks: limit - logical };
    if (height === 0) return leafRun(volume, { node, at, limit, logical });
    const child = node.readUInt32LE(at + 4) + node.readUInt16LE(at + 8) * 2 ** 32;
    node = await readBlock(volume, child, budget);
    depth = height - 1;
  }
}

/** Each level is exactly one lower than the one above it, so that no tree goes in circles. */
function nodeHeader(node: Buffer, inode: Inode, expected: number | undefined): { entries: number; height: number } {
  const entries = node.readUInt16LE(2);
  const height = node.readUInt16LE(6);
  if (node.readUInt16LE(0) !== extentMagic || height > depthMax || (expected !== undefined && height !== expected))
    throw corrupt(`The extent tree of inode ${inode.number} is damaged`);
  if (headerBytes + entries * entryBytes > node.length) throw corrupt(`An extent node of inode ${inode.number} has ${entries} entries`);
  return { entries, height };
}

/** The last entry that begins at or before `logical`, and where the one behind it begins. */
function lastNotAbove(node: Buffer, entries: number, logical: number): { at: number | undefined; next: number } {
  let low = 0;
  let high = entries;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (node.readUInt32LE(headerBytes + middle * entryBytes) <= logical) low = middle + 1;
    else high = middle;
  }
  const next = low < entries ? node.readUInt32LE(headerBytes + low * entryBytes) : blocksMax;
  // Entries of a damaged node may be in any order.
  return { at: low === 0 ? undefined : headerBytes + (low - 1) * entryBytes, next: Math.max(next, logical + 1) };
}

function leafRun({ fs }: Volume, leaf: { node: Buffer; at: number; limit: number; logical: number }): Run {
  const { node, at, limit, logical } = leaf;
  const first = node.readUInt32LE(at);
  const length = node.readUInt16LE(at + 4);
  const unwritten = length > writtenMax;
  const blocks = unwritten ? length - writtenMax : length;
  const inside = logical - first;
  if (inside >= blocks) return { physical: undefined, blocks: Math.max(1, limit - logical) };
  const run = Math.min(blocks - inside, Math.max(1, limit - logical));
  if (unwritten) return { physical: undefined, blocks: run };
  const physical = node.readUInt32LE(at + 8) + node.readUInt16LE(at + 6) * 2 ** 32 + inside;
  if (physical === 0 || physical + run > fs.blocks) throw corrupt(`An extent lies at block ${physical} of ${fs.blocks}`);
  return { physical, blocks: run };
}

const directBlocks = 12;

/** Twelve direct numbers, then trees of one, two and three levels. */
async function mappedRun(volume: Volume, inode: Inode, logical: number, budget: WorkBudget): Promise<Run> {
  const numbersPerBlock = volume.fs.blockBytes / 4;
  if (logical < directBlocks) return mapped(volume, inode.body, logical, directBlocks);
  let index = logical - directBlocks;
  for (let levels = 1; levels <= 3; levels += 1) {
    const reach = numbersPerBlock ** levels;
    if (index >= reach) {
      index -= reach;
      continue;
    }
    let number = inode.body.readUInt32LE((directBlocks + levels - 1) * 4);
    for (let level = levels; ; level -= 1) {
      const below = numbersPerBlock ** (level - 1);
      if (number === 0) return { physical: undefined, blocks: below * numbersPerBlock - (index % (below * numbersPerBlock)) };
      const node = await readBlock(volume, number, budget);
      const slot = Math.floor(index / below) % numbersPerBlock;
      if (level === 1) return mapped(volume, node, slot, numbersPerBlock);
      number = node.readUInt32LE(slot * 4);
      if (number === 0) return { physical: undefined, blocks: below - (index % below) };
    }
  }
  throw corrupt(`Inode ${inode.number} has no block ${logical}`);
}

function mapped({ fs }: Volume, numbers: Buffer, slot: number, slots: number): Run {
  const physical = numbers.readUInt32LE(slot * 4);
  if (physical === 0) return { physical: undefined, blocks: 1 };
  if (physical >= fs.blocks) throw corrupt(`Block ${physical} of ${fs.blocks}`);
  let blocks = 1;
  while (slot + blocks < slots && numbers.readUInt32LE((slot + blocks) * 4) === physical + blocks && physical + blocks < fs.blocks)
    blocks += 1;
  return { physical, blocks };
}
