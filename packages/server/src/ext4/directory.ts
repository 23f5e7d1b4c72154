/**
 * Entries of a directory. Blocks are read one after the other; the inner nodes of a hashed directory look like empty ones (one name is looked up through them,
 * hash-index.ts). What is in a directory is a guest's word: names with a slash or NUL, and a second `.`, are not names.
 */
import { corrupt, Ext4Error, type WorkBudget } from "./block-device.ts";
import { readBytes } from "./file-bytes.ts";
import { type FileKind, type Inode, inlineRest } from "./inode.ts";
import type { Volume } from "./superblock.ts";

export interface DirectoryEntry {
  name: string;
  inode: number;
  /** Absent on file systems that do not say. */
  kind?: FileKind;
}

export const directoryEntriesMax = 2_000_000;
const blocksAtOnce = 16;
const kinds: Record<number, FileKind> = { 1: "file", 2: "directory", 7: "symlink" };

/** Sorted by name. */
export async function readDirectory(volume: Volume, inode: Inode, budget: WorkBudget): Promise<DirectoryEntry[]> {
  if (inode.kind !== "directory") throw new Ext4Error("not_directory", "This is not a directory");
  const found: DirectoryEntry[] = [];
  if (inode.isInline) {
    // Four bytes for the parent, then entries; more of them behind the inode.
    parseBlock(inode.body.subarray(4), volume, found);
    parseBlock(inlineRest(inode), volume, found);
  } else {
    const { blockBytes } = volume.fs;
    const length = blocksAtOnce * blockBytes;
    for (let start = 0; start < inode.sizeBytes; start += length) {
      const bytes = await readBytes(volume, inode, { start, length }, budget);
      for (let at = 0; at < bytes.length; at += blockBytes) {
        budget.spend();
        parseBlock(bytes.subarray(at, at + blockBytes), volume, found);
      }
    }
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

export function parseBlock(block: Buffer, { fs }: Volume, found: DirectoryEntry[]): void {
  for (let at = 0; at + 8 <= block.length;) {
    const number = block.readUInt32LE(at);
    const bytes = recordBytes(block.readUInt16LE(at + 4), fs.blockBytes);
    const nameBytes = fs.hasFileType ? block.readUInt8(at + 6) : block.readUInt16LE(at + 6);
    if (bytes < 8 || bytes % 4 !== 0 || at + bytes > block.length)
      throw corrupt(`A directory entry of ${bytes} bytes at ${at} of ${block.length}`);
    if (number !== 0 && nameBytes > 0) {
      if (8 + nameBytes > bytes) throw corrupt(`A directory entry of ${bytes} bytes has a name of ${nameBytes}`);
      const name = block.toString("utf8", at + 8, at + 8 + nameBytes);
      const kind = fs.hasFileType ? (kinds[block.readUInt8(at + 7)] ?? "other") : undefined;
      if (isName(name)) found.push({ name, inode: number, ...(kind === undefined ? {} : { kind }) });
      if (found.length > directoryEntriesMax)
        throw new Ext4Error("too_much_work", `A directory has more than ${directoryEntriesMax} entries`);
    }
    at += bytes;
  }
}

/** Of blocks of 64 KiB the length does not fit into its field. */
function recordBytes(stored: number, blockBytes: number): number {
  if (blockBytes < 65_536) return stored;
  return stored === 0 || stored === 0xffff ? blockBytes : (stored & 0xfffc) | ((stored & 3) << 16);
}

function isName(name: string): boolean {
  return name !== "." && name !== ".." && !name.includes("/") && !name.includes("\0");
}

/** The entry with a name, in a sorted directory. */
export function findEntry(entries: readonly DirectoryEntry[], name: string): DirectoryEntry | undefined {
  const at = firstAbove(entries, name, true);
  const entry = entries[at];
  return entry?.name === name ? entry : undefined;
}

/** Index of the first entry above a name (or at it). */
export function firstAbove(entries: readonly DirectoryEntry[], name: string, orEqual = false): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const found = (entries[middle] as DirectoryEntry).name;
    if (found < name || (!orEqual && found === name)) low = middle + 1;
    else high = middle;
  }
  return low;
}
