/** Live files of the workspace (protocol/guest/files.ts): what is asked at once. Contents and trees are in file-contents.ts. */
import {
  closeSync,
  constants,
  fchmodSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  type Stats,
  unlinkSync,
} from "node:fs";
import type { FileOperation, GuestFile } from "@helmr/protocol/guest";
import type { ConfinedTree, Place } from "./confined-tree.ts";
import { RequestError } from "./host-link.ts";
import { guestLimits } from "./limits.ts";

type Operation<Kind extends FileOperation["kind"]> = Extract<FileOperation, { kind: Kind }>;

export interface FileOwner {
  uid: number;
  gid: number;
}

/** Runs with a place in the tree and closes it. */
export function atPlace<T>(tree: ConfinedTree, path: string, use: (place: Place) => T): T {
  const place = tree.locate(path, { followLast: false });
  try {
    return use(place);
  } finally {
    place.close();
  }
}

export function describeFile(place: Place, path: string): GuestFile {
  const status = lstatSync(place.path);
  return describe(status, path, () => readlinkSync(place.path));
}

function describe(status: Stats, path: string, readTarget: () => string): GuestFile {
  const base = { path, sizeBytes: status.size, mode: status.mode & 0o7777, modifiedMs: Math.round(status.mtimeMs) };
  if (status.isFile()) return { ...base, kind: "file" };
  if (status.isDirectory()) return { ...base, kind: "directory" };
  if (status.isSymbolicLink()) return { ...base, kind: "symlink", linkTarget: readTarget() };
  return { ...base, kind: "other" };
}

export function statFile(tree: ConfinedTree, path: string): { entry: GuestFile } {
  return { entry: atPlace(tree, path, (place) => describeFile(place, cleanPath(path))) };
}

/** In the order of the names' UTF-8 bytes; `after` and `next` are paths, as in the entries. */
export function listDirectory(tree: ConfinedTree, operation: Operation<"list">): { entries: GuestFile[]; next?: string } {
  const base = cleanPath(operation.path);
  const place = tree.locate(operation.path, { followLast: true });
  let directory: number;
  try {
    directory = openSync(place.path, constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } finally {
    place.close();
  }
  try {
    const names = readdirSync(`/proc/self/fd/${directory}/.`);
    if (names.length > guestLimits.directoryEntriesMax) {
      throw new RequestError(
        "limit",
        `${operation.path} has ${names.length} entries; at most ${guestLimits.directoryEntriesMax} can be listed`,
      );
    }
    const after = operation.after === undefined ? undefined : cleanPath(operation.after);
    const sorted = names
      .map((name) => ({ name, path: base === "." ? name : `${base}/${name}` }))
      .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
    const rest = after === undefined ? sorted : sorted.filter(({ path }) => Buffer.compare(Buffer.from(path), Buffer.from(after)) > 0);
    const entries: GuestFile[] = [];
    for (const { name, path } of rest.slice(0, operation.limit)) {
      const child = `/proc/self/fd/${directory}/${name}`;
      const status = lstatSync(child, { throwIfNoEntry: false });
      if (status !== undefined) entries.push(describe(status, path, () => readlinkSync(child)));
    }
    const last = rest[operation.limit - 1];
    return { entries, ...(rest.length > operation.limit && last !== undefined ? { next: last.path } : {}) };
  } finally {
    closeSync(directory);
  }
}

export function makeDirectory(tree: ConfinedTree, operation: Operation<"mkdir">, owner: FileOwner): { entry: GuestFile } {
  return atPlace(tree, operation.path, (place) => {
    if (place.name === "") throw new RequestError("exists", "The workspace itself exists");
    mkdirSync(place.path, { mode: operation.mode ?? 0o755 });
    lchownSync(place.path, owner.uid, owner.gid);
    // The umask has no say in what was asked for.
    if (operation.mode !== undefined) setMode(place, operation.mode);
    return { entry: describeFile(place, cleanPath(operation.path)) };
  });
}

function setMode(place: Place, mode: number): void {
  const fd = openSync(place.path, constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    fchmodSync(fd, mode & 0o777);
  } finally {
    closeSync(fd);
  }
}

export function moveFile(tree: ConfinedTree, operation: Operation<"move">): { entry: GuestFile } {
  return atPlace(tree, operation.from, (from) =>
    atPlace(tree, operation.to, (to) => {
      if (from.name === "" || to.name === "") throw new RequestError("bad_path", "The workspace itself cannot be moved or replaced");
      renameSync(from.path, to.path);
      return { entry: describeFile(to, cleanPath(operation.to)) };
    }),
  );
}

export function removeFile(tree: ConfinedTree, operation: Operation<"remove">): void {
  atPlace(tree, operation.path, (place) => {
    if (place.name === "") throw new RequestError("bad_path", "The workspace itself cannot be removed");
    if (!lstatSync(place.path).isDirectory()) unlinkSync(place.path);
    else if (operation.recursive) removeTree(place.path, 0);
    else rmdirSync(place.path);
  });
}

/** Over descriptors: a directory that becomes a link meanwhile is not followed. */
function removeTree(path: string, depth: number): void {
  if (depth > guestLimits.treeDepthMax) throw new RequestError("limit", `The tree is deeper than ${guestLimits.treeDepthMax} levels`);
  const fd = openSync(path, constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    for (const entry of readdirSync(`/proc/self/fd/${fd}/.`, { withFileTypes: true })) {
      const child = `/proc/self/fd/${fd}/${entry.name}`;
      if (entry.isDirectory()) removeTree(child, depth + 1);
      else unlinkSync(child);
    }
  } finally {
    closeSync(fd);
  }
  rmdirSync(path);
}

/** `./a//b/` is `a/b`, the workspace itself is `.`; what leaves it is refused by the walk. */
export function cleanPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return parts.length === 0 ? "." : parts.join("/");
}
