/**
 * Looks one name up through the hash index of a large directory, so that it costs the few blocks on the way and not the whole directory. The index is a guest's
 * like everything else: whatever is unusual about it (another hash, a list that goes on in another node, a number that makes no sense) is `unknown`, and the
 * directory is read whole instead.
 *
 *   root block   the entries of . and .., then: reserved, version of the hash, length of this, levels below; then (hash, block) in order, the first without a hash
 *   node block   one empty entry, then the same list
 *   leaf block   entries like in any directory; names of one hash may go on in the next leaf, whose hash has its lowest bit set then
 */
import type { WorkBudget } from "./block-device.ts";
import { type DirectoryEntry, parseBlock } from "./directory.ts";
import { readBytes } from "./file-bytes.ts";
import type { Inode } from "./inode.ts";
import type { Volume } from "./superblock.ts";

const halfMd4 = 1;
const levelsMax = 3;
const rootInfoAt = 0x18;
const nodeListAt = 8;
const entryBytes = 8;
/** Smaller ones are read whole, and kept. */
const blocksMin = 16;

interface IndexList {
  block: Buffer;
  at: number;
  count: number;
}

/** The entry, `absent`, or `unknown`: nothing was learned. */
export async function findByHash(
  volume: Volume,
  inode: Inode,
  name: string,
  budget: WorkBudget,
): Promise<DirectoryEntry | "absent" | "unknown"> {
  const { blockBytes, hash } = volume.fs;
  if (hash === undefined || !inode.isHashed || inode.kind !== "directory" || inode.isInline || inode.sizeBytes < blocksMin * blockBytes)
    return "unknown";
  // Bytes that were no UTF-8 are shown as another name than they are.
  if (name.includes("\ufffd")) return "unknown";
  const bytes = Buffer.from(name);
  const wanted = nameHash(bytes, hash);
  const read = async (logical: number) => {
    if (logical < 0 || (logical + 1) * blockBytes > inode.sizeBytes) return undefined;
    const block = await readBytes(volume, inode, { start: logical * blockBytes, length: blockBytes }, budget);
    return block.length === blockBytes ? block : undefined;
  };
  const root = await read(0);
  if (root === undefined || root[rootInfoAt + 4] !== halfMd4) return "unknown";
  const levels = root.readUInt8(rootInfoAt + 6);
  if (levels >= levelsMax || root.readUInt32LE(rootInfoAt) !== 0) return "unknown";
  let list = listAt(root, rootInfoAt + root.readUInt8(rootInfoAt + 5));
  for (let level = 0; level < levels && list !== undefined; level += 1) {
    budget.spend();
    const node = await read(blockAt(list, lastNotAbove(list, wanted)));
    list = node && listAt(node, nodeListAt);
  }
  if (list === undefined) return "unknown";
  for (let at = lastNotAbove(list, wanted); ; at += 1) {
    budget.spend();
    const leaf = await read(blockAt(list, at));
    if (leaf === undefined) return "unknown";
    const found: DirectoryEntry[] = [];
    parseBlock(leaf, volume, found);
    const entry = found.find((one) => one.name === name);
    if (entry) return entry;
    // Where the list ends, names of this hash may go on in a node beside this one.
    if (at + 1 >= list.count) return levels === 0 ? "absent" : "unknown";
    if (hashAt(list, at + 1) !== wanted + 1) return "absent";
  }
}

function listAt(block: Buffer, at: number): IndexList | undefined {
  if (at + entryBytes > block.length) return undefined;
  const [limit, count] = [block.readUInt16LE(at), block.readUInt16LE(at + 2)];
  return count >= 1 && count <= limit && at + limit * entryBytes <= block.length ? { block, at, count } : undefined;
}

const hashAt = ({ block, at }: IndexList, index: number) => block.readUInt32LE(at + index * entryBytes);
const blockAt = ({ block, at }: IndexList, index: number) => block.readUInt32LE(at + index * entryBytes + 4);

/** The first entry is for everything below the second one's hash. */
function lastNotAbove(list: IndexList, wanted: number): number {
  let low = 1;
  let high = list.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (hashAt(list, middle) <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export interface NameHash {
  seed: readonly [number, number, number, number];
  /** Whether the bytes of names are added as numbers below zero from 0x80 on: as the machine's `char` was that made the file system. */
  signed: boolean;
}

const pieceBytes = 32;
const end = 0xffff_fffe;

/** Half of MD4, over pieces of 32 bytes; even, and never the value that stands for the end. */
export function nameHash(name: Buffer, { seed, signed }: NameHash): number {
  const state: [number, number, number, number] = seed.some((word) => word !== 0)
    ? [...seed]
    : [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
  for (let at = 0; at < name.length; at += pieceBytes) mix(state, words(name.subarray(at), signed));
  const hash = (state[1] & ~1) >>> 0;
  return hash === end ? end - 2 : hash;
}

/** Eight words of what is left of a name; behind its end the length of the rest, in every byte. */
function words(rest: Buffer, signed: boolean): number[] {
  const length = rest.length & 0xff;
  const pad = (length | (length << 8) | (length << 16) | (length << 24)) >>> 0;
  return Array.from({ length: 8 }, (_, word) => {
    let value = pad;
    for (let at = word * 4; at < Math.min(rest.length, word * 4 + 4); at += 1)
      value = ((signed ? rest.readInt8(at) : rest.readUInt8(at)) + (value << 8)) >>> 0;
    return value;
  });
}

type Mixer = (x: number, y: number, z: number) => number;
const rounds: readonly { mixer: Mixer; add: number; order: readonly number[]; turns: readonly number[] }[] = [
  { mixer: (x, y, z) => z ^ (x & (y ^ z)), add: 0, order: [0, 1, 2, 3, 4, 5, 6, 7], turns: [3, 7, 11, 19] },
  { mixer: (x, y, z) => (x & y) + ((x ^ y) & z), add: 0x5a82_7999, order: [1, 3, 5, 7, 0, 2, 4, 6], turns: [3, 5, 9, 13] },
  { mixer: (x, y, z) => x ^ y ^ z, add: 0x6ed9_eba1, order: [3, 7, 2, 6, 1, 5, 0, 4], turns: [3, 9, 11, 15] },
];

function mix(state: [number, number, number, number], input: readonly number[]): void {
  let [a, b, c, d] = state;
  for (const { mixer, add, order, turns } of rounds) {
    for (const [step, word] of order.entries()) {
      const sum = (a + mixer(b, c, d) + (input[word] as number) + add) | 0;
      const by = turns[step % 4] as number;
      [a, b, c, d] = [d, (sum << by) | (sum >>> (32 - by)), b, c];
    }
  }
  state[0] = (state[0] + a) >>> 0;
  state[1] = (state[1] + b) >>> 0;
  state[2] = (state[2] + c) >>> 0;
  state[3] = (state[3] + d) >>> 0;
}
