/**
 * Which inodes of two trees are the same, byte by byte: every write to a file changes the times in its inode, so a same inode is an unchanged file. Inode
 * tables are compared chunk by chunk. A chunk that both versions share says so for all its inodes without being read; of a chunk that differs both sides are read
 * once, the next ones that differ with it, and every inode in it is answered from then on without waiting.
 *
 *   asked for an inode ──▶ its group's tables (two descriptors, once) ──▶ its chunk: shared │ compared, one bit per inode
 */
import type { ChunkDevice } from "../chunks/chunk-device.ts";
import type { WorkBudget } from "../ext4/block-device.ts";
import { readInode } from "../ext4/inode.ts";
import { inodeTableAt } from "../ext4/superblock.ts";
import type { Ext4Tree } from "../ext4/tree.ts";

export interface DiffSide {
  device: ChunkDevice;
  tree: Ext4Tree;
}

/** Bytes of one side's inode table that are fetched together. */
const aheadBytes = 1024 * 1024;
const budgetBytes = 4_096;

interface Group {
  /** Where its inodes begin, on both devices. */
  at: number;
  bytes: number;
  /** By index of the chunk: one byte per inode, 1 for the same; `shared`: all of them are. */
  chunks: Map<number, Uint8Array | "shared">;
}

export class SameInodes {
  private readonly from: DiffSide;
  private readonly to: DiffSide;
  private readonly budget: WorkBudget;
  /** `apart`: the tables of the group lie at different places, so that each inode is compared by itself. */
  private readonly groups = new Map<number, Group | "apart">();
  /** Where a journal has the last word, the names of chunks say nothing. */
  private readonly replayed: boolean;

  private constructor(from: DiffSide, to: DiffSide, budget: WorkBudget) {
    this.from = from;
    this.to = to;
    this.budget = budget;
    this.replayed = from.tree.replayed || to.tree.replayed;
  }

  /** Undefined when the trees cannot be compared inode by inode. */
  static of(from: DiffSide | undefined, to: DiffSide | undefined, budget: WorkBudget): SameInodes | undefined {
    if (from === undefined || to === undefined) return undefined;
    const [a, b] = [from.tree.volume.fs, to.tree.volume.fs];
    const alike = a.inodesPerGroup === b.inodesPerGroup && a.inodeBytes === b.inodeBytes;
    return alike ? new SameInodes(from, to, budget) : undefined;
  }

  /** What is known without waiting. */
  known(number: number): boolean | undefined {
    const { inodesPerGroup, inodeBytes } = this.from.tree.volume.fs;
    const group = this.groups.get(Math.floor((number - 1) / inodesPerGroup));
    if (group === undefined || group === "apart") return undefined;
    const offset = group.at + ((number - 1) % inodesPerGroup) * inodeBytes;
    const { chunkBytes } = this.from.device.manifest;
    const index = Math.floor(offset / chunkBytes);
    const chunk = group.chunks.get(index);
    if (chunk === undefined || chunk === "shared") return chunk && true;
    return chunk[(offset - Math.max(group.at, index * chunkBytes)) / inodeBytes] === 1;
  }

  async same(number: number): Promise<boolean> {
    const { fs } = this.from.tree.volume;
    const known = this.known(number);
    if (known !== undefined) return known;
    if (number >= 1 && number <= Math.min(fs.inodes, this.to.tree.volume.fs.inodes)) {
      const group = await this.group(Math.floor((number - 1) / fs.inodesPerGroup));
      if (group !== "apart") {
        const offset = group.at + ((number - 1) % fs.inodesPerGroup) * fs.inodeBytes;
        await this.compare(group, Math.floor(offset / this.from.device.manifest.chunkBytes));
        return this.known(number) === true;
      }
    }
    const { from, to, budget } = this;
    return (await readInode(from.tree.volume, number, budget)).raw.equals((await readInode(to.tree.volume, number, budget)).raw);
  }

  private async group(number: number): Promise<Group | "apart"> {
    const known = this.groups.get(number);
    if (known !== undefined) return known;
    const [left, right] = [this.from.tree.volume, this.to.tree.volume];
    const at = await inodeTableAt(left.device, left.fs, number);
    const { chunkBytes } = this.from.device.manifest;
    const alike =
      at === (await inodeTableAt(right.device, right.fs, number)) &&
      chunkBytes === this.to.device.manifest.chunkBytes &&
      chunkBytes % left.fs.inodeBytes === 0 &&
      at % left.fs.inodeBytes === 0;
    const group: Group | "apart" = alike ? { at, bytes: left.fs.inodesPerGroup * left.fs.inodeBytes, chunks: new Map() } : "apart";
    this.groups.set(number, group);
    return group;
  }

  private async compare(group: Group, index: number): Promise<void> {
    if (this.isShared(index)) {
      group.chunks.set(index, "shared");
      return;
    }
    const { from, to } = this;
    const { chunkBytes } = from.device.manifest;
    const last = Math.floor((group.at + group.bytes - 1) / chunkBytes);
    const ahead: number[] = [];
    for (let next = index; next <= last && ahead.length < Math.max(1, aheadBytes / chunkBytes); next += 1)
      if (next === index || !(group.chunks.has(next) || this.isShared(next))) ahead.push(next);
    await Promise.all([from.device.warm(ahead), to.device.warm(ahead)]);
    for (const next of ahead) group.chunks.set(next, await this.compared(group, next));
  }

  private isShared(index: number): boolean {
    return !this.replayed && this.from.device.chunkName(index) === this.to.device.chunkName(index);
  }

  private async compared(group: Group, index: number): Promise<Uint8Array> {
    const { from, to } = this;
    const { chunkBytes } = from.device.manifest;
    const { inodeBytes } = from.tree.volume.fs;
    const start = Math.max(group.at, index * chunkBytes);
    const length = Math.min(group.at + group.bytes, (index + 1) * chunkBytes) - start;
    this.budget.spend(Math.ceil(length / budgetBytes));
    const [left, right] = [await from.tree.volume.device.read(start, length), await to.tree.volume.device.read(start, length)];
    const same = new Uint8Array(length / inodeBytes);
    if (left.equals(right)) return same.fill(1);
    for (let slot = 0; slot < same.length; slot += 1) {
      const at = slot * inodeBytes;
      if (left.compare(right, at, at + inodeBytes, at, at + inodeBytes) === 0) same[slot] = 1;
    }
    return same;
  }
}
