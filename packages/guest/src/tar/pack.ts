/**
 * Packs a tree into a tar, chunk by chunk as the reader asks for it. Links are stored, not followed; sockets, FIFOs and devices are left out.
 * A file that changes its size meanwhile keeps the size of its header: cut, or filled with zeros.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, read, readdirSync, readlinkSync } from "node:fs";
import { blockBytes, formatHeader, padding } from "./headers.ts";

const chunkBytes = 65_536;
const noFollow = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface PackLimits {
  depthMax: number;
  directoryEntriesMax: number;
}

export class PackError extends Error {
  override name = "PackError";
}

/** `directory`: any path of the tree's root that stays valid, `/proc/self/fd/N/.` for example. */
export async function* packTree(directory: string, limits: PackLimits): AsyncGenerator<Uint8Array> {
  yield* packDirectory({ path: directory, name: "" }, limits);
  yield new Uint8Array(2 * blockBytes);
}

async function* packDirectory(at: { path: string; name: string }, limits: PackLimits): AsyncGenerator<Uint8Array> {
  const depth = at.name === "" ? 0 : at.name.split("/").length;
  if (depth > limits.depthMax) throw new PackError(`${at.name} is nested deeper than ${limits.depthMax} levels`);
  const fd = openPresent(at.path, constants.O_DIRECTORY | constants.O_NOFOLLOW);
  if (fd === undefined) return;
  try {
    const status = fstatSync(fd);
    yield formatHeader({ kind: "directory", path: at.name, mode: status.mode, sizeBytes: 0, modifiedSeconds: status.mtimeMs / 1000 });
    const names = readdirSync(`/proc/self/fd/${fd}/.`);
    if (names.length > limits.directoryEntriesMax)
      throw new PackError(`${at.name || "."} has more than ${limits.directoryEntriesMax} entries`);
    for (const child of names.sort()) {
      const entry = { path: `/proc/self/fd/${fd}/${child}`, name: at.name === "" ? child : `${at.name}/${child}` };
      yield* packEntry(entry, limits);
    }
  } finally {
    closeSync(fd);
  }
}

async function* packEntry(entry: { path: string; name: string }, limits: PackLimits): AsyncGenerator<Uint8Array> {
  const status = lstatSync(entry.path, { throwIfNoEntry: false });
  if (status === undefined) return;
  if (status.isDirectory()) yield* packDirectory(entry, limits);
  else if (status.isSymbolicLink()) {
    const linkTarget = readlinkSync(entry.path);
    yield formatHeader({
      kind: "symlink",
      path: entry.name,
      mode: 0o777,
      sizeBytes: 0,
      linkTarget,
      modifiedSeconds: status.mtimeMs / 1000,
    });
  } else if (status.isFile()) yield* packFile(entry);
}

async function* packFile(entry: { path: string; name: string }): AsyncGenerator<Uint8Array> {
  const fd = openPresent(entry.path, noFollow);
  if (fd === undefined) return;
  try {
    const status = fstatSync(fd);
    yield formatHeader({
      kind: "file",
      path: entry.name,
      mode: status.mode,
      sizeBytes: status.size,
      modifiedSeconds: status.mtimeMs / 1000,
    });
    let left = status.size;
    while (left > 0) {
      const chunk = await readSome(fd, Math.min(left, chunkBytes));
      if (chunk.length === 0) break;
      left -= chunk.length;
      yield chunk;
    }
    for (let missing = left + padding(status.size); missing > 0; missing -= chunkBytes) yield new Uint8Array(Math.min(missing, chunkBytes));
  } finally {
    closeSync(fd);
  }
}

/** undefined: it went away, or is something else by now. */
function openPresent(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP") return undefined;
    throw error;
  }
}

function readSome(fd: number, length: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafe(length);
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, length, null, (error, count) => {
      if (error === null) resolve(buffer.subarray(0, count));
      else reject(error);
    });
  });
}
