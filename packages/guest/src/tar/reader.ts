/**
 * Reads a tar as it arrives. Memory is bounded (one block, one long name), every number is checked before it is used, and each entry is
 * whole and lawful when it is given out: nothing that leaves the root, no hard links, devices or sparse files (http §9.1).
 *
 *   header ── L, K, x ──▶ header (its long name) ── file ──▶ data ── padding ──▶ header ── two zero blocks ──▶ end
 */
import { blockBytes, isZeroBlock, longName, padding, parseHeader, parsePax, type RawHeader, TarError, type TarEntry } from "./headers.ts";

export interface TarLimits {
  entriesMax: number;
  /** Sum of all file contents. */
  bytesMax: number;
}

/** Gets one entry at a time; data of a file come between `entry` and `endFile`. */
export interface TarVisitor {
  entry(entry: TarEntry): Promise<void> | void;
  data(chunk: Uint8Array): Promise<void> | void;
  endFile(): Promise<void> | void;
}

const extensionBytesMax = 65_536;
/** Before one entry: a pax header, and long names for it and its target, some of them twice. Without a bound an archive of nothing else would count as empty for ever. */
const extensionsMax = 8;
const pathBytesMax = 4_096;
const nameBytesMax = 255;

interface Overrides {
  path?: string;
  linkTarget?: string;
  sizeBytes?: number;
}

export class TarReader {
  entries = 0;
  bytes = 0;
  private readonly visitor: TarVisitor;
  private readonly limits: TarLimits;
  private readonly block = new Uint8Array(blockBytes);
  private filled = 0;
  private fileLeft = 0;
  private skipLeft = 0;
  private extension: { type: string; body: Uint8Array; filled: number } | undefined;
  private extensions = 0;
  private overrides: Overrides = {};
  private zeroBlocks = 0;
  private inFile = false;

  constructor(visitor: TarVisitor, limits: TarLimits) {
    this.visitor = visitor;
    this.limits = limits;
  }

  async push(chunk: Uint8Array): Promise<void> {
    let at = 0;
    while (at < chunk.length) {
      if (this.zeroBlocks >= 2) return;
      if (this.fileLeft > 0) {
        const part = chunk.subarray(at, at + this.fileLeft);
        at += part.length;
        this.fileLeft -= part.length;
        await this.visitor.data(part);
        if (this.fileLeft === 0) await this.finishFile();
      } else if (this.skipLeft > 0) {
        const skipped = Math.min(this.skipLeft, chunk.length - at);
        at += skipped;
        this.skipLeft -= skipped;
      } else if (this.extension !== undefined) at = this.readExtension(chunk, at);
      else at = await this.readHeader(chunk, at);
    }
  }

  /** The archive is over: throws when it was cut. */
  finish(): void {
    const cut = this.fileLeft > 0 || this.filled > 0 || this.extension !== undefined || this.inFile;
    if (cut || this.zeroBlocks === 0) throw new TarError("malformed", "The archive ends in the middle");
  }

  private async readHeader(chunk: Uint8Array, start: number): Promise<number> {
    const taken = Math.min(blockBytes - this.filled, chunk.length - start);
    this.block.set(chunk.subarray(start, start + taken), this.filled);
    this.filled += taken;
    if (this.filled < blockBytes) return start + taken;
    this.filled = 0;
    if (isZeroBlock(this.block)) {
      this.zeroBlocks += 1;
      return start + taken;
    }
    if (this.zeroBlocks > 0) throw new TarError("malformed", "The archive goes on after its end");
    await this.header(parseHeader(this.block));
    return start + taken;
  }

  private async header(header: RawHeader): Promise<void> {
    if ("LKxg".includes(header.type)) {
      if (header.sizeBytes > extensionBytesMax)
        throw new TarError("too_large", `The archive has a header of ${header.sizeBytes} bytes; the limit is ${extensionBytesMax}`);
      this.extensions += 1;
      if (this.extensions > extensionsMax)
        throw new TarError("malformed", `The archive has more than ${extensionsMax} extended headers before one entry`);
      this.extension = { type: header.type, body: new Uint8Array(header.sizeBytes + padding(header.sizeBytes)), filled: 0 };
      if (header.sizeBytes === 0) this.extension = undefined;
      return;
    }
    const entry = lawfulEntry(header, this.overrides);
    this.overrides = {};
    this.extensions = 0;
    this.entries += 1;
    this.bytes += entry.sizeBytes;
    if (this.entries > this.limits.entriesMax)
      throw new TarError("too_many_entries", `The archive has more than ${this.limits.entriesMax} entries`);
    if (this.bytes > this.limits.bytesMax)
      throw new TarError("too_large", `The archive unpacks to more than ${this.limits.bytesMax} bytes`);
    await this.visitor.entry(entry);
    if (entry.kind !== "file") return;
    this.inFile = true;
    this.fileLeft = entry.sizeBytes;
    this.skipLeft = padding(entry.sizeBytes);
    if (entry.sizeBytes === 0) await this.finishFile();
  }

  private async finishFile(): Promise<void> {
    this.inFile = false;
    await this.visitor.endFile();
  }

  private readExtension(chunk: Uint8Array, start: number): number {
    const extension = this.extension as NonNullable<typeof this.extension>;
    const taken = Math.min(extension.body.length - extension.filled, chunk.length - start);
    extension.body.set(chunk.subarray(start, start + taken), extension.filled);
    extension.filled += taken;
    if (extension.filled === extension.body.length) {
      this.extension = undefined;
      this.applyExtension(extension.type, extension.body);
    }
    return start + taken;
  }

  private applyExtension(type: string, body: Uint8Array): void {
    if (type === "L") this.overrides.path = longName(body);
    else if (type === "K") this.overrides.linkTarget = longName(body);
    else {
      const records = parsePax(body);
      for (const key of records.keys()) {
        if (key.startsWith("GNU.sparse")) throw new TarError("unsupported", "The archive has a sparse file");
      }
      // A global header ("g") carries comments (git archive); names and sizes there would apply to everything and are refused.
      const path = records.get("path");
      const linkTarget = records.get("linkpath");
      const size = records.get("size");
      if (type === "g") {
        if (path !== undefined || linkTarget !== undefined || size !== undefined)
          throw new TarError("unsupported", "The archive has a global header with a path or a size");
        return;
      }
      if (path !== undefined) this.overrides.path = path;
      if (linkTarget !== undefined) this.overrides.linkTarget = linkTarget;
      if (size !== undefined) {
        if (!/^\d{1,15}$/.test(size)) throw new TarError("malformed", "The archive has a pax size that is no number");
        this.overrides.sizeBytes = Number(size);
      }
    }
  }
}

const kinds: Record<string, TarEntry["kind"]> = { "0": "file", "5": "directory", "2": "symlink" };
const refusedKinds: Record<string, string> = {
  "1": "a hard link",
  "3": "a character device",
  "4": "a block device",
  "6": "a FIFO",
  S: "a sparse file",
};

function lawfulEntry(header: RawHeader, overrides: Overrides): TarEntry {
  const rawPath = overrides.path ?? header.path;
  const shown = JSON.stringify(rawPath.slice(0, 200));
  // Old archives mark a directory by a slash behind its name.
  const type = header.type === "0" && rawPath.endsWith("/") ? "5" : header.type;
  const kind = kinds[type];
  if (kind === undefined)
    throw new TarError(
      "unsupported",
      `The archive entry ${shown} is ${refusedKinds[type] ?? `of the unknown type ${JSON.stringify(type)}`}`,
    );
  const path = lawfulPath(rawPath, shown);
  const sizeBytes = overrides.sizeBytes ?? header.sizeBytes;
  if (kind !== "file" && sizeBytes !== 0)
    throw new TarError("malformed", `The archive entry ${shown} is no file but has ${sizeBytes} bytes`);
  if (path === "" && kind !== "directory") throw new TarError("malformed", `The archive entry ${shown} has no name`);
  const entry: TarEntry = { kind, path, mode: header.mode, sizeBytes, modifiedSeconds: header.modifiedSeconds };
  if (kind === "symlink") entry.linkTarget = lawfulTarget(path, overrides.linkTarget ?? header.linkTarget);
  return entry;
}

function lawfulPath(path: string, shown: string): string {
  if (path.startsWith("/")) throw new TarError("escapes", `The archive entry ${shown} has an absolute path`);
  if (path.includes("\0") || path === "") throw new TarError("malformed", `The archive entry ${shown} has no usable path`);
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new TarError("escapes", `The archive entry ${shown} leaves the root`);
  if (Buffer.byteLength(path) > pathBytesMax || parts.some((part) => Buffer.byteLength(part) > nameBytesMax)) {
    throw new TarError("too_large", `The archive entry ${shown} has a path that is too long`);
  }
  return parts.join("/");
}

function lawfulTarget(path: string, target: string): string {
  const shown = `${JSON.stringify(path)} → ${JSON.stringify(target.slice(0, 200))}`;
  if (target === "" || target.includes("\0")) throw new TarError("malformed", `The archive has a symbolic link without a target: ${shown}`);
  if (target.startsWith("/")) throw new TarError("escapes", `The archive has a symbolic link that leaves the root: ${shown}`);
  if (Buffer.byteLength(target) > pathBytesMax)
    throw new TarError("too_large", `The archive has a symbolic link with a target that is too long: ${shown}`);
  let depth = path.split("/").length - 1;
  for (const part of target.split("/")) {
    if (part === "..") depth -= 1;
    else if (part !== "" && part !== ".") depth += 1;
    if (depth < 0) throw new TarError("escapes", `The archive has a symbolic link that leaves the root: ${shown}`);
  }
  return target;
}
