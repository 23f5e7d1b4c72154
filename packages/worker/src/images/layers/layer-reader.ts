/**
 * Reads the tar of a layer as it is decompressed. Memory is bounded (one header, one extension), every number is checked before it is used. What an
 * entry means for the image is the visitor's (layer-applier.ts).
 *
 *   header ── L, K, x ──▶ header ── file ──▶ data ── padding ──▶ header ── a zero block ──▶ end (what follows is padding)
 */
import { ImageError } from "../image-error.ts";
import type { NodeFacts } from "./image-tree.ts";
import { blockBytes, idOf, longName, malformed, parseHeader, parsePax, sizeOf, type TarHeader } from "./tar-headers.ts";

export interface LayerEntry extends NodeFacts {
  kind: "file" | "directory" | "symlink" | "hardlink" | "fifo";
  /** As in the archive. */
  path: string;
  sizeBytes: number;
  linkTarget: string;
}

export interface LayerVisitor {
  entry(entry: LayerEntry): void;
  /** Bytes of the last entry, a file with a size. */
  data(chunk: Buffer): void;
  endFile(): void;
}

export interface LayerLimits {
  entriesMax: number;
  /** Sum of all file contents. */
  bytesMax: number;
}

const extensionBytesMax = 1_048_576;
const pathBytesMax = 4_096;
const kinds: Record<string, LayerEntry["kind"]> = { "0": "file", "1": "hardlink", "2": "symlink", "5": "directory", "6": "fifo" };
const xattrPrefix = "SCHILY.xattr.";

export class LayerReader {
  entries = 0;
  bytes = 0;
  private readonly visitor: LayerVisitor;
  private readonly limits: LayerLimits;
  private readonly block = Buffer.alloc(blockBytes);
  private filled = 0;
  private dataLeft = 0;
  private skipLeft = 0;
  private extension: { type: string; body: Buffer; filled: number; sizeBytes: number } | undefined;
  private longPath: string | undefined;
  private longTarget: string | undefined;
  private pax = new Map<string, string>();
  private ended = false;

  constructor(visitor: LayerVisitor, limits: LayerLimits) {
    this.visitor = visitor;
    this.limits = limits;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.ended) {
      if (this.dataLeft > 0) {
        const part = chunk.subarray(at, at + this.dataLeft);
        at += part.length;
        this.dataLeft -= part.length;
        this.visitor.data(part);
        if (this.dataLeft === 0) this.visitor.endFile();
      } else if (this.skipLeft > 0) {
        const skipped = Math.min(this.skipLeft, chunk.length - at);
        at += skipped;
        this.skipLeft -= skipped;
      } else if (this.extension !== undefined) at = this.readExtension(this.extension, chunk, at);
      else at = this.readHeader(chunk, at);
    }
  }

  /** The archive is over: throws when it was cut inside an entry. */
  finish(): void {
    if (this.ended) return;
    const cut = this.dataLeft > 0 || this.skipLeft > 0 || this.filled > 0 || this.extension !== undefined || this.pax.size > 0;
    if (cut) throw malformed("it ends in the middle");
  }

  private readHeader(chunk: Buffer, start: number): number {
    const taken = Math.min(blockBytes - this.filled, chunk.length - start);
    chunk.copy(this.block, this.filled, start, start + taken);
    this.filled += taken;
    if (this.filled < blockBytes) return start + taken;
    this.filled = 0;
    if (this.block.every((byte) => byte === 0)) this.ended = true;
    else this.take(parseHeader(this.block));
    return start + taken;
  }

  private take(header: TarHeader): void {
    if ("LKxg".includes(header.type)) {
      if (header.sizeBytes > extensionBytesMax)
        throw malformed(`an extended header has ${header.sizeBytes} bytes; the limit is ${extensionBytesMax}`);
      const padded = Math.ceil(header.sizeBytes / blockBytes) * blockBytes;
      if (padded > 0) this.extension = { type: header.type, body: Buffer.alloc(padded), filled: 0, sizeBytes: header.sizeBytes };
      return;
    }
    const entry = this.entryOf(header);
    this.pax = new Map();
    this.longPath = undefined;
    this.longTarget = undefined;
    this.entries += 1;
    this.bytes += entry.sizeBytes;
    if (this.entries > this.limits.entriesMax)
      throw new ImageError("image_too_large", `The image has more than ${this.limits.entriesMax} files and directories`);
    if (this.bytes > this.limits.bytesMax)
      throw new ImageError(
        "image_too_large",
        `The image unpacks to more than ${this.limits.bytesMax} bytes, which is the limit of this worker`,
      );
    this.visitor.entry(entry);
    if (entry.kind !== "file") return;
    this.dataLeft = entry.sizeBytes;
    this.skipLeft = (blockBytes - (entry.sizeBytes % blockBytes)) % blockBytes;
    if (entry.sizeBytes === 0) this.visitor.endFile();
  }

  private readExtension(extension: NonNullable<typeof this.extension>, chunk: Buffer, start: number): number {
    const taken = Math.min(extension.body.length - extension.filled, chunk.length - start);
    chunk.copy(extension.body, extension.filled, start, start + taken);
    extension.filled += taken;
    if (extension.filled === extension.body.length) {
      this.extension = undefined;
      const body = extension.body.subarray(0, extension.sizeBytes);
      if (extension.type === "L") this.longPath = longName(body);
      else if (extension.type === "K") this.longTarget = longName(body);
      // A global header carries comments; nothing that builds images puts more into it.
      else if (extension.type === "x") this.pax = parsePax(body);
    }
    return start + taken;
  }

  private entryOf(header: TarHeader): LayerEntry {
    const { pax } = this;
    const path = pax.get("path") ?? this.longPath ?? header.path;
    const shown = JSON.stringify(Buffer.from(path.slice(0, 200), "latin1").toString("utf8"));
    if (path.length > pathBytesMax || path.includes("\0")) throw malformed(`${shown} is no path`);
    if (header.type === "S" || [...pax.keys()].some((key) => key.startsWith("GNU.sparse")))
      throw new ImageError("layer_sparse", `The image has the sparse file ${shown}; pack its layers without sparse files`);
    if (header.type === "3" || header.type === "4")
      throw new ImageError("layer_device", `The image has the device ${shown}; a guest has its own /dev, so build the image without it`);
    // Old archives mark a directory by a slash behind its name.
    const kind = header.type === "0" && path.endsWith("/") ? "directory" : kinds[header.type];
    if (kind === undefined) throw malformed(`${shown} is of the unknown type ${JSON.stringify(header.type)}`);
    const sizeBytes = kind === "file" ? (paxNumber(pax, "size", sizeOf) ?? header.sizeBytes) : 0;
    const time = paxTime(pax.get("mtime"));
    return {
      kind,
      path,
      sizeBytes,
      linkTarget: pax.get("linkpath") ?? this.longTarget ?? header.linkTarget,
      mode: header.mode,
      uid: paxNumber(pax, "uid", idOf) ?? header.uid,
      gid: paxNumber(pax, "gid", idOf) ?? header.gid,
      mtimeSeconds: time?.seconds ?? header.mtimeSeconds,
      mtimeNs: time?.ns ?? 0,
      xattrs: xattrsOf(pax),
    };
  }
}

function paxNumber(pax: ReadonlyMap<string, string>, key: string, check: (value: number) => number): number | undefined {
  const text = pax.get(key);
  if (text === undefined) return undefined;
  if (!/^\d{1,16}$/.test(text)) throw malformed(`a pax ${key} is no number`);
  return check(Number(text));
}

function paxTime(text: string | undefined): { seconds: number; ns: number } | undefined {
  if (text === undefined) return undefined;
  const match = /^(-?)(\d{1,12})(?:\.(\d{0,30}))?$/.exec(text);
  if (match === null) throw malformed("a pax mtime is no time");
  const ns = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  const seconds = Number(match[2]);
  if (match[1] === "") return { seconds, ns };
  return ns === 0 ? { seconds: -seconds, ns: 0 } : { seconds: -seconds - 1, ns: 1_000_000_000 - ns };
}

/** Of the overlay file system's own attributes none is taken: they would mean something to the guest's overlay. */
function xattrsOf(pax: ReadonlyMap<string, string>): Map<string, Buffer> | undefined {
  let xattrs: Map<string, Buffer> | undefined;
  for (const [key, value] of pax) {
    if (!key.startsWith(xattrPrefix)) continue;
    const name = key.slice(xattrPrefix.length);
    if (name.startsWith("trusted.overlay.") || name.startsWith("system.")) continue;
    xattrs ??= new Map();
    xattrs.set(name, Buffer.from(value, "latin1"));
  }
  return xattrs;
}
