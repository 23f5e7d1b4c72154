/**
 * The files of one ext4 file system by path, read only. Symbolic links on the way are followed while they stay inside the tree (40 at most, as the
 * kernel does it); an absolute target counts from the directory where the tree is mounted in a guest. Nothing here trusts a byte of the device: every
 * loop spends from a budget, every number is checked where it is used, and a contradiction is an `Ext4Error`.
 *
 * A file system that was not left cleanly is read as it would be after recovery. Not supported, and said so: encryption, meta block groups, fast commits. Sockets, pipes and devices are not shown.
 */
import type { BoundedCache } from "../bounded-cache.ts";
import { type BlockDevice, Ext4Error, WorkBudget } from "./block-device.ts";
import { type DirectoryEntry, findEntry, firstAbove, readDirectory } from "./directory.ts";
import { readBytes } from "./file-bytes.ts";
import { findByHash } from "./hash-index.ts";
import { type Inode, readInode, rootInode } from "./inode.ts";
import { replayedDevice } from "./journal.ts";
import { readSuperblock, type Volume } from "./superblock.ts";

export interface TreeEntry {
  /** Relative to the root of the tree, `.` for itself. */
  path: string;
  name: string;
  kind: "file" | "directory" | "symlink";
  sizeBytes: number;
  mode: number;
  linkTarget?: string;
  modified: { seconds: number; nanoseconds: number };
}

export interface TreePage {
  entries: TreeEntry[];
  more: boolean;
}

export interface OpenFile {
  inode: number;
  entry: TreeEntry;
}

const linksMax = 40;
const linkBytesMax = 4_096;
/** Steps of one request: blocks of metadata, inodes, extents. A directory of two million entries is some 15,000 blocks. */
const budgetOf = { lookup: 100_000, list: 200_000, read: 100_000 } as const;

export interface TreeOptions {
  /** Where the tree is mounted in guests; absolute links into it are followed. */
  mountPath: string;
  /** Sorted directories; keys begin with `cacheKey`, weights are entries. */
  directories: BoundedCache<DirectoryEntry[]>;
  cacheKey: string;
}

export class Ext4Tree {
  readonly volume: Volume;
  /** What is read is not all what lies on the device: some of it is in the journal. */
  readonly replayed: boolean;
  private readonly options: TreeOptions;

  private constructor(volume: Volume, options: TreeOptions, replayed = false) {
    this.volume = volume;
    this.options = options;
    this.replayed = replayed;
  }

  static async open(device: BlockDevice, options: TreeOptions): Promise<Ext4Tree> {
    const fs = await readSuperblock(device);
    if (!fs.needsRecovery) return new Ext4Tree({ device, fs }, options);
    const replayed = await replayedDevice(device, fs);
    return new Ext4Tree({ device: replayed, fs: await readSuperblock(replayed) }, options, replayed !== device);
  }

  /** A link is described, not followed. */
  async stat(path: string): Promise<TreeEntry> {
    const budget = new WorkBudget(budgetOf.lookup);
    return this.entryOf(await this.resolve(path, { follow: false }, budget), segmentsOf(path), budget);
  }

  /** Direct children after a name, in order of their names. */
  async list(path: string, page: { after: string | undefined; limit: number }): Promise<TreePage> {
    const budget = new WorkBudget(budgetOf.list);
    const all = await this.directory(await this.resolve(path, { follow: true }, budget), budget);
    const entries: TreeEntry[] = [];
    let at = page.after === undefined ? 0 : firstAbove(all, page.after);
    // Under the path that was asked for, links on the way included.
    const shown = segmentsOf(path);
    for (; at < all.length && entries.length < page.limit; at += 1) {
      const child = all[at] as DirectoryEntry;
      if (child.kind === "other") continue;
      const childInode = await readInode(this.volume, child.inode, budget);
      if (childInode.kind === "other") continue;
      entries.push(await this.entryOf(childInode, [...shown, child.name], budget));
    }
    return { entries, more: at < all.length };
  }

  /** A regular file, links followed. */
  async openFile(path: string): Promise<OpenFile> {
    const budget = new WorkBudget(budgetOf.lookup);
    const inode = await this.resolve(path, { follow: true }, budget);
    if (inode.kind !== "file") throw new Ext4Error("not_regular", `${JSON.stringify(path)} is not a regular file`);
    return { inode: inode.number, entry: await this.entryOf(inode, segmentsOf(path), budget) };
  }

  async readFile(number: number, range: { start: number; length: number }): Promise<Buffer> {
    const budget = new WorkBudget(budgetOf.read);
    const inode = await readInode(this.volume, number, budget);
    if (inode.kind !== "file") throw new Ext4Error("not_regular", "This is not a regular file");
    return readBytes(this.volume, inode, range, budget);
  }

  async directory(inode: Inode, budget: WorkBudget): Promise<DirectoryEntry[]> {
    const { directories, cacheKey } = this.options;
    const key = `${cacheKey} ${inode.number}`;
    const known = directories.get(key);
    if (known !== undefined) return known;
    const entries = await readDirectory(this.volume, inode, budget);
    directories.set(key, entries, entries.length + 1);
    return entries;
  }

  private async lookup(inode: Inode, name: string, budget: WorkBudget): Promise<DirectoryEntry | undefined> {
    const { directories, cacheKey } = this.options;
    if (directories.get(`${cacheKey} ${inode.number}`) === undefined) {
      const found = await findByHash(this.volume, inode, name, budget);
      if (found !== "unknown") return found === "absent" ? undefined : found;
    }
    return findEntry(await this.directory(inode, budget), name);
  }

  /** What is at a path, links on the way followed, one at its end not. */
  inodeAt(path: string): Promise<Inode> {
    return this.resolve(path, { follow: false }, new WorkBudget(budgetOf.lookup));
  }

  describe(inode: Inode, path: string, budget: WorkBudget): Promise<TreeEntry> {
    return this.entryOf(inode, segmentsOf(path), budget);
  }

  private async linkTarget(inode: Inode, budget: WorkBudget): Promise<string> {
    if (inode.sizeBytes > linkBytesMax) throw new Ext4Error("corrupt", `A symbolic link of ${inode.sizeBytes} bytes`);
    const isShort = !inode.hasExtents && !inode.isInline && inode.sizeBytes < inode.body.length;
    const bytes = isShort
      ? inode.body.subarray(0, inode.sizeBytes)
      : await readBytes(this.volume, inode, { start: 0, length: inode.sizeBytes }, budget);
    return bytes.toString("utf8");
  }

  private async entryOf(inode: Inode, segments: readonly string[], budget: WorkBudget): Promise<TreeEntry> {
    if (inode.kind === "other") throw new Ext4Error("not_found", "Sockets, pipes and devices are not shown");
    return {
      path: segments.length === 0 ? "." : segments.join("/"),
      name: segments.at(-1) ?? ".",
      kind: inode.kind,
      sizeBytes: inode.sizeBytes,
      mode: inode.mode,
      ...(inode.kind === "symlink" ? { linkTarget: await this.linkTarget(inode, budget) } : {}),
      modified: { seconds: inode.modifiedSeconds, nanoseconds: inode.modifiedNanoseconds },
    };
  }

  private async resolve(path: string, { follow }: { follow: boolean }, budget: WorkBudget): Promise<Inode> {
    const root = await readInode(this.volume, rootInode, budget);
    /** The directories on the way, without links: what `..` in a target goes back to. */
    const chain: Inode[] = [];
    const pending = path.split("/").reverse();
    let links = 0;
    for (let segment = pending.pop(); segment !== undefined; segment = pending.pop()) {
      budget.spend();
      if (segment === "" || segment === ".") continue;
      if (segment === "..") {
        if (chain.pop() === undefined) throw outside(path);
        continue;
      }
      const here = chain.at(-1) ?? root;
      const found = await this.lookup(here, segment, budget);
      if (found === undefined) throw new Ext4Error("not_found", `There is no ${JSON.stringify(path)}`);
      const inode = await readInode(this.volume, found.inode, budget);
      const isLast = pending.every((rest) => rest === "" || rest === ".");
      if (inode.kind !== "symlink" || (isLast && !follow)) {
        chain.push(inode);
        continue;
      }
      links += 1;
      if (links > linksMax) throw new Ext4Error("not_found", `${JSON.stringify(path)} leads through more than ${linksMax} symbolic links`);
      let target = await this.linkTarget(inode, budget);
      if (target.startsWith("/")) {
        target = this.insideOf(target, path);
        chain.length = 0;
      }
      pending.push(...target.split("/").reverse());
    }
    return chain.at(-1) ?? root;
  }

  private insideOf(target: string, path: string): string {
    const { mountPath } = this.options;
    if (target === mountPath) return ".";
    if (!target.startsWith(`${mountPath}/`)) throw outside(path);
    return target.slice(mountPath.length + 1);
  }
}

function segmentsOf(path: string): string[] {
  return path === "." ? [] : path.split("/");
}

function outside(path: string): Ext4Error {
  return new Ext4Error("not_found", `${JSON.stringify(path)} leads out of the workspace`);
}
