/**
 * What differs between two trees: chunks first, then files. Directories of both are walked side by side in order of names; an inode whose chunk is the
 * same in both, or whose bytes are, is unchanged with all it holds (every write changes the times in it), and nothing more of it is read. Only the rest is
 * compared: kind, size, permission bits, link target, and contents, again by chunks before bytes. Times alone are no change.
 */
import { Ext4Error, WorkBudget } from "../ext4/block-device.ts";
import type { DirectoryEntry } from "../ext4/directory.ts";
import { readBytes, runs } from "../ext4/file-bytes.ts";
import { type Inode, inlineData, readInode } from "../ext4/inode.ts";
import type { TreeEntry } from "../ext4/tree.ts";
import { fileLimits } from "./file-limits.ts";
import { type DiffSide, SameInodes } from "./same-inodes.ts";

export interface TreeChange {
  path: string;
  change: "added" | "removed" | "changed";
  before?: TreeEntry;
  after?: TreeEntry;
}

export interface TreeChanges {
  changes: TreeChange[];
  more: boolean;
}

const depthMax = 512;
const compareBytes = 256 * 1024;

export async function diffTrees(
  from: DiffSide | undefined,
  to: DiffSide | undefined,
  page: { path: string; after: string | undefined; limit: number },
): Promise<TreeChanges> {
  const diff = new TreeDiff(from, to);
  const changes: TreeChange[] = [];
  for await (const change of diff.changes(page.path, page.after)) {
    if (changes.length === page.limit) return { changes, more: true };
    changes.push(change);
  }
  return { changes, more: false };
}

/** A place in both trees; at least one side is there. */
interface Pair {
  segments: readonly string[];
  from: Inode | undefined;
  to: Inode | undefined;
  /** What is left of the path after which the page begins, when this place lies on it. */
  skip: readonly string[] | undefined;
  /** Directories above, of each side: a directory that contains itself is not entered again. */
  above: { from: readonly number[]; to: readonly number[] };
}

class TreeDiff {
  private readonly from: DiffSide | undefined;
  private readonly to: DiffSide | undefined;
  private readonly budget = new WorkBudget(fileLimits.diffEntriesMax);
  private compareLeft: number = fileLimits.diffCompareBytesMax;
  private readonly inodes: SameInodes | undefined;

  constructor(from: DiffSide | undefined, to: DiffSide | undefined) {
    this.from = from;
    this.to = to;
    this.inodes = SameInodes.of(from, to, this.budget);
  }

  async *changes(path: string, after: string | undefined): AsyncGenerator<TreeChange> {
    const segments = path === "." ? [] : path.split("/");
    const [from, to] = [await this.inodeAt(this.from, path), await this.inodeAt(this.to, path)];
    if (from === undefined && to === undefined && path !== ".")
      throw new Ext4Error("not_found", `Neither version has ${JSON.stringify(path)}`);
    const skip = after === undefined ? undefined : skipBelow(segments, after.split("/"));
    const pair: Pair = { segments, from, to, skip, above: { from: [], to: [] } };
    if (path === "." || after !== undefined) yield* this.below(pair);
    else yield* this.at(pair);
  }

  private async inodeAt(side: DiffSide | undefined, path: string): Promise<Inode | undefined> {
    if (side === undefined) return undefined;
    try {
      return await side.tree.inodeAt(path);
    } catch (error) {
      if (error instanceof Ext4Error && (error.code === "not_found" || error.code === "not_directory")) return undefined;
      throw error;
    }
  }

  /** The place itself, then what is below it. */
  private async *at(pair: Pair): AsyncGenerator<TreeChange> {
    const change = await this.changeOf(pair);
    if (change !== undefined) yield change;
    yield* this.below(pair);
  }

  private async *below(pair: Pair): AsyncGenerator<TreeChange> {
    const { segments, above } = pair;
    if (segments.length > depthMax) throw new Ext4Error("too_much_work", `The trees are more than ${depthMax} directories deep`);
    const from = this.enterable(pair.from, above.from);
    const to = this.enterable(pair.to, above.to);
    if (from === undefined && to === undefined) return;
    const left = await this.entries(this.from, from);
    const right =
      to !== undefined && from !== undefined && (await this.unchanged(from.number, to.number)) ? left : await this.entries(this.to, to);
    const inside = { from: from ? [...above.from, from.number] : above.from, to: to ? [...above.to, to.number] : above.to };
    for (const { name, from: a, to: b } of merged(left, right)) {
      const skipped = skipAt(pair.skip, name);
      if (skipped === "whole") continue;
      this.budget.spend();
      // Nearly all of a tree: an entry of the same inode that has not changed. Nothing is awaited for it once its chunk was compared.
      const same = a !== undefined && a.inode === b?.inode && (this.inodes?.known(a.inode) ?? (await this.unchanged(a.inode, b.inode)));
      if (same && a.kind !== undefined && a.kind === b?.kind && a.kind !== "directory") continue;
      const inode = a && (await this.inode(this.from, a.inode));
      const child: Pair = {
        segments: [...segments, name],
        from: inode,
        to: same ? inode : b && (await this.inode(this.to, b.inode)),
        skip: skipped?.rest,
        above: inside,
      };
      if (same) yield* this.below(child);
      else if (skipped === undefined) yield* this.at(child);
      else yield* this.below(child);
    }
  }

  private enterable(inode: Inode | undefined, above: readonly number[]): Inode | undefined {
    return inode?.kind === "directory" && !above.includes(inode.number) ? inode : undefined;
  }

  private async entries(side: DiffSide | undefined, inode: Inode | undefined): Promise<readonly DirectoryEntry[]> {
    return side === undefined || inode === undefined ? [] : side.tree.directory(inode, this.budget);
  }

  private async inode(side: DiffSide | undefined, number: number): Promise<Inode | undefined> {
    if (side === undefined) return undefined;
    const inode = await readInode(side.tree.volume, number, this.budget);
    return inode.kind === "other" ? undefined : inode;
  }

  private async changeOf({ segments, from, to }: Pair): Promise<TreeChange | undefined> {
    const path = segments.join("/");
    const before = from && (await this.from?.tree.describe(from, path, this.budget));
    const after = to && (await this.to?.tree.describe(to, path, this.budget));
    if (before === undefined) return after && { path, change: "added", after };
    if (after === undefined) return { path, change: "removed", before };
    const same =
      before.kind === after.kind &&
      before.mode === after.mode &&
      before.linkTarget === after.linkTarget &&
      (before.kind !== "file" || (await this.sameContent(from as Inode, to as Inode)));
    return same ? undefined : { path, change: "changed", before, after };
  }

  /** The inode of both trees is the same, byte by byte. */
  private async unchanged(a: number, b: number): Promise<boolean> {
    return a === b && this.inodes !== undefined && (this.inodes.known(a) ?? this.inodes.same(a));
  }

  private async sameContent(a: Inode, b: Inode): Promise<boolean> {
    const { from, to } = this;
    if (a.sizeBytes !== b.sizeBytes || from === undefined || to === undefined) return false;
    if (await this.unchanged(a.number, b.number)) return true;
    if (a.isInline && b.isInline) return inlineData(a).equals(inlineData(b));
    if (a.isInline || b.isInline) return this.sameBytes(a, b, { start: 0, end: a.sizeBytes });
    const range = { start: 0, end: a.sizeBytes };
    const others = runs(to.tree.volume, b, range, this.budget);
    let other = await others.next();
    for await (const one of runs(from.tree.volume, a, range, this.budget)) {
      for (let start = one.start; start < one.start + one.length && !other.done;) {
        const two = other.value;
        const end = Math.min(one.start + one.length, two.start + two.length);
        const [left, right] = [placeOf(one, start, from.tree.volume.fs.blockBytes), placeOf(two, start, to.tree.volume.fs.blockBytes)];
        if (!this.sameChunksAt(left, right, end - start) && !(await this.sameBytes(a, b, { start, end }))) return false;
        if (end === two.start + two.length) other = await others.next();
        start = end;
      }
    }
    return true;
  }

  /** Both nowhere, or at the same place in chunks that are equal. */
  private sameChunksAt(left: number | undefined, right: number | undefined, length: number): boolean {
    if (left === undefined || right === undefined) return left === right;
    const [a, b] = [(this.from as DiffSide).device, (this.to as DiffSide).device];
    const { chunkBytes } = a.manifest;
    if (this.from?.tree.replayed || this.to?.tree.replayed) return false;
    if (left !== right || b.manifest.chunkBytes !== chunkBytes) return false;
    for (let index = Math.floor(left / chunkBytes); index <= Math.floor((left + length - 1) / chunkBytes); index += 1)
      if (a.chunkName(index) !== b.chunkName(index)) return false;
    return true;
  }

  /** When too much was compared already, contents of one size count as changed: better one too many than one that is missing. */
  private async sameBytes(a: Inode, b: Inode, range: { start: number; end: number }): Promise<boolean> {
    const [left, right] = [(this.from as DiffSide).tree.volume, (this.to as DiffSide).tree.volume];
    for (let start = range.start; start < range.end; start += compareBytes) {
      const length = Math.min(compareBytes, range.end - start);
      this.compareLeft -= length;
      if (this.compareLeft < 0) return false;
      const [one, two] = [
        await readBytes(left, a, { start, length }, this.budget),
        await readBytes(right, b, { start, length }, this.budget),
      ];
      if (!one.equals(two)) return false;
    }
    return true;
  }
}

function placeOf(run: { start: number; run: { physical: number | undefined } }, at: number, blockBytes: number): number | undefined {
  if (run.run.physical === undefined) return undefined;
  return run.run.physical * blockBytes + (run.start % blockBytes) + (at - run.start);
}

function* merged(
  left: readonly DirectoryEntry[],
  right: readonly DirectoryEntry[],
): Generator<{ name: string; from: DirectoryEntry | undefined; to: DirectoryEntry | undefined }> {
  let i = 0;
  let j = 0;
  while (i < left.length || j < right.length) {
    const [a, b] = [left[i], right[j]];
    const name = a === undefined || (b !== undefined && b.name < a.name) ? (b as DirectoryEntry).name : a.name;
    const from = a?.name === name ? a : undefined;
    const to = b?.name === name ? b : undefined;
    // A damaged directory may have a name twice: the first one counts.
    while (left[i]?.name === name) i += 1;
    while (right[j]?.name === name) j += 1;
    yield { name, from, to };
  }
}

/** The rest of `after` below a directory; empty: everything below it comes later. */
function skipBelow(segments: readonly string[], after: readonly string[]): readonly string[] | undefined {
  return segments.every((segment, at) => after[at] === segment) ? after.slice(segments.length) : undefined;
}

/** `whole`: it and all below it came before. With a rest: it came before itself, and so did what is before the rest below it. */
function skipAt(skip: readonly string[] | undefined, name: string): "whole" | { rest: readonly string[] | undefined } | undefined {
  const first = skip?.[0];
  if (skip === undefined || first === undefined || name > first) return undefined;
  if (name < first) return "whole";
  return { rest: skip.length > 1 ? skip.slice(1) : undefined };
}
