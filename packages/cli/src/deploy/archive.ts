/**
 * The deploy archive (sdk §6): a plain tar of the project directory that is the same, byte for byte, for the same files. Entries are sorted by
 * the bytes of their paths and carry neither times nor owners, and of the mode only whether a file can be executed.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { readdir, readlink, stat } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { limits } from "@helmr/protocol/shared";
import picomatch from "picomatch";
import { type Pack, pack } from "tar-stream";
import { Failure, reasonOf } from "../failure.ts";

const defaultIgnorePatterns = ["**/*.test.*", "**/*.spec.*", "**/_*.*"] as const;
const neverArchived = ["**/.env", "**/.env.*"] as const;
const neverArchivedDirectories = new Set(["node_modules", ".git", ".helmr", ".next"]);

export interface ArchiveEntry {
  /** Relative, with `/`. */
  path: string;
  mode: number;
  size: number;
  /** A symbolic link. */
  target?: string;
}

export interface Archive {
  file: string;
  bytes: number;
  contentHash: string;
  entries: readonly ArchiveEntry[];
}

/** What belongs into the archive, sorted. */
export async function archiveEntries(directory: string, ignorePatterns: readonly string[] | undefined): Promise<ArchiveEntry[]> {
  const patterns = [...(ignorePatterns ?? defaultIgnorePatterns), ...neverArchived].map((pattern) => pattern.replace(/^\.\//, ""));
  const isIgnored = picomatch(patterns, { dot: true, nonegate: true });
  const entries: ArchiveEntry[] = [];
  let total = 0;
  const walk = async (relative: string): Promise<void> => {
    for (const item of await readdir(path.join(directory, relative), { withFileTypes: true })) {
      const itemPath = relative === "" ? item.name : `${relative}/${item.name}`;
      if (neverArchivedDirectories.has(item.name)) continue;
      if (item.isDirectory()) {
        await walk(itemPath);
        continue;
      }
      if (isIgnored(itemPath)) continue;
      if (item.isSymbolicLink()) entries.push(await linkEntry(directory, itemPath));
      else if (item.isFile()) entries.push(await fileEntry(directory, itemPath));
      // Sockets, pipes and devices are no source.
      total += entries.at(-1)?.size ?? 0;
      if (entries.length > limits.deploymentEntriesMax)
        throw new Failure(`the project has more than ${limits.deploymentEntriesMax} files; leave some out with ignorePatterns`);
    }
  };
  await walk("");
  if (total > limits.deploymentUnpackedBytesMax) throw new Failure(tooLarge(entries, total));
  return entries.sort((left, right) => Buffer.compare(Buffer.from(left.path), Buffer.from(right.path)));
}

async function fileEntry(directory: string, itemPath: string): Promise<ArchiveEntry> {
  const found = await stat(path.join(directory, itemPath));
  return { path: itemPath, mode: (found.mode & 0o111) === 0 ? 0o644 : 0o755, size: found.size };
}

async function linkEntry(directory: string, itemPath: string): Promise<ArchiveEntry> {
  const target = await readlink(path.join(directory, itemPath));
  const reached = path.resolve(directory, path.dirname(itemPath), target);
  const inside = reached === directory || reached.startsWith(directory + path.sep);
  if (path.isAbsolute(target) || !inside) {
    throw new Failure(
      `${itemPath} is a symbolic link to ${target}, outside of the project; leave it out with ignorePatterns or replace it`,
    );
  }
  return { path: itemPath, mode: 0o777, size: 0, target: target.split(path.sep).join("/") };
}

function tooLarge(entries: readonly ArchiveEntry[], total: number): string {
  const largest = [...entries].sort((left, right) => right.size - left.size).slice(0, 3);
  const named = largest.map((entry) => `${entry.path} (${mebibytes(entry.size)})`).join(", ");
  return `the project has ${mebibytes(total)}, more than ${mebibytes(limits.deploymentUnpackedBytesMax)}; leave files out with ignorePatterns; the largest are ${named}`;
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / (1024 * 1024))} MiB`;
}

/** Writes the archive to `file`. */
export async function writeArchive(directory: string, entries: readonly ArchiveEntry[], file: string): Promise<Archive> {
  const tar = pack();
  const hash = createHash("sha256");
  let bytes = 0;
  const counted = async function* () {
    for await (const piece of tar as AsyncIterable<Buffer>) {
      hash.update(piece);
      bytes += piece.length;
      yield piece;
    }
  };
  const [packed, written] = await Promise.allSettled([
    packEntries(tar, directory, entries),
    pipeline(counted, createWriteStream(file, { mode: 0o600 })),
  ]);
  // When a file is the reason the writer fails too, but only the packer knows which.
  if (packed.status === "rejected") throw packed.reason;
  if (written.status === "rejected")
    throw new Failure(`the archive could not be written: ${reasonOf(written.reason)}`, { cause: written.reason });
  return { file, bytes, contentHash: `sha256:${hash.digest("hex")}`, entries };
}

async function packEntries(tar: Pack, directory: string, entries: readonly ArchiveEntry[]): Promise<void> {
  try {
    for (const entry of entries) {
      const header = { name: entry.path, mode: entry.mode, mtime: new Date(0), uid: 0, gid: 0, uname: "", gname: "" };
      if (entry.target === undefined) await packFile(tar, { ...header, size: entry.size }, path.join(directory, entry.path));
      else await packLink(tar, { ...header, linkname: entry.target });
    }
    tar.finalize();
  } catch (error) {
    tar.destroy(error as Error);
    throw error;
  }
}

async function packFile(tar: Pack, header: { name: string; size: number }, file: string): Promise<void> {
  try {
    // No more than the size in the header, should the file grow meanwhile; tar-stream notices one that shrinks.
    const source = header.size === 0 ? [] : createReadStream(file, { end: header.size - 1 });
    await pipeline(source, tar.entry(header));
  } catch (error) {
    throw new Failure(`${header.name} could not be archived: ${reasonOf(error)}`, { cause: error });
  }
}

function packLink(tar: Pack, header: { name: string; linkname: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry({ ...header, type: "symlink" }, (error) => (error ? reject(error) : resolve()));
  });
}
