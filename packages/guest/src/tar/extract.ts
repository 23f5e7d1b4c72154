/**
 * Unpacks a tar into a tree that may be in use: every path is walked anew without leaving the tree (confined-tree.ts), links in the way are
 * replaced, never written through, ownership is the given one, set-id bits are dropped.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  symlinkSync,
  unlinkSync,
  write,
} from "node:fs";
import type { ConfinedTree, Place } from "../supervisor/confined-tree.ts";
import { TarError, type TarEntry } from "./headers.ts";
import { type TarLimits, TarReader, type TarVisitor } from "./reader.ts";

export interface ExtractOptions extends TarLimits {
  tree: ConfinedTree;
  /** Where in the tree. */
  target: string;
  owner: { uid: number; gid: number };
  /** For all files; absent: as in the archive. */
  modifiedSeconds?: number;
  /** Of a mode only whether a file can be executed. */
  plainModes?: boolean;
}

/** Feed it the archive, then `finish`; `abort` closes what is open. */
export class TarExtractor {
  private readonly reader: TarReader;
  private readonly options: ExtractOptions;
  private open: { fd: number; modifiedSeconds: number } | undefined;

  constructor(options: ExtractOptions) {
    this.options = options;
    const visitor: TarVisitor = {
      entry: (entry) => this.make(entry),
      data: (chunk) => this.append(chunk),
      endFile: () => this.close(),
    };
    this.reader = new TarReader(visitor, options);
  }

  get entries(): number {
    return this.reader.entries;
  }

  get bytes(): number {
    return this.reader.bytes;
  }

  async push(chunk: Uint8Array): Promise<void> {
    await this.reader.push(chunk);
  }

  finish(): void {
    this.reader.finish();
  }

  abort(): void {
    if (this.open !== undefined) closeSync(this.open.fd);
    this.open = undefined;
  }

  private make(entry: TarEntry): void {
    const { tree, target, owner } = this.options;
    const place = tree.locate(`${target}/${entry.path}`, { makeParents: 0o755 });
    try {
      const present = kindAt(place);
      if (entry.kind === "directory") {
        if (present === "other") unlinkSync(place.path);
        if (present !== "directory") mkdirSync(place.path);
        setDirectory(place.path, this.mode(entry), owner);
        return;
      }
      if (present === "directory")
        throw new TarError("unsupported", `The archive entry ${JSON.stringify(entry.path)} would replace a directory`);
      if (present === "other") unlinkSync(place.path);
      if (entry.kind === "symlink") {
        symlinkSync(entry.linkTarget as string, place.path);
        lchownSync(place.path, owner.uid, owner.gid);
      } else this.open = { fd: this.create(place, entry), modifiedSeconds: this.options.modifiedSeconds ?? entry.modifiedSeconds };
    } finally {
      place.close();
    }
  }

  private create(place: Place, entry: TarEntry): number {
    const fd = openSync(place.path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    fchmodSync(fd, this.mode(entry));
    fchownSync(fd, this.options.owner.uid, this.options.owner.gid);
    return fd;
  }

  private mode(entry: TarEntry): number {
    if (this.options.plainModes !== true) return entry.mode & 0o777;
    return entry.kind === "directory" || (entry.mode & 0o111) !== 0 ? 0o755 : 0o644;
  }

  private async append(chunk: Uint8Array): Promise<void> {
    const { fd } = this.open as NonNullable<typeof this.open>;
    for (let at = 0; at < chunk.length;) at += await writeSome(fd, chunk.subarray(at));
  }

  private close(): void {
    const open = this.open as NonNullable<typeof this.open>;
    futimesSync(open.fd, open.modifiedSeconds, open.modifiedSeconds);
    closeSync(open.fd);
    this.open = undefined;
  }
}

/** Over a descriptor, because the directory may be replaced by a link at any moment. */
function setDirectory(path: string, mode: number, owner: ExtractOptions["owner"]): void {
  const fd = openSync(path, constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    fchmodSync(fd, mode);
    fchownSync(fd, owner.uid, owner.gid);
  } finally {
    closeSync(fd);
  }
}

function kindAt(place: Place): "none" | "directory" | "other" {
  try {
    return lstatSync(place.path).isDirectory() ? "directory" : "other";
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "none";
    throw error;
  }
}

function writeSome(fd: number, chunk: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, chunk, (error, written) => {
      if (error === null) resolve(written);
      else reject(error);
    });
  });
}
