/**
 * The content of a device as the chunk store reads it: a raw file, or an overlay over a raw file. Synchronous, for the chunk threads.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type ByteRange, mergeRanges } from "./byte-ranges.ts";
import { clusterBytes } from "./overlay-format.ts";
import { OverlayReader } from "./overlay-reader.ts";

export interface BlockSource {
  readonly lengthBytes: number;
  /** Ranges that may differ from what the caller compares with; ascending. Everything else is known to be equal. */
  changes(): Iterable<ByteRange>;
  /** Whether the range is known to be zeros without reading it. False says nothing. */
  isZero(offset: number, length: number): boolean;
  /** Fills `into` with the bytes at `offset`; never beyond the length. */
  read(into: Uint8Array, offset: number): void;
  close(): void;
}

/** Plain data, so that it can be sent to a thread. */
export type BlockSourceSpec =
  | {
      kind: "raw";
      path: string;
      lengthBytes: number;
      /** Where the file has data; the rest is holes. */
      extents: ByteRange[];
    }
  | {
      kind: "overlay";
      path: string;
      backing: string;
      lengthBytes: number;
      /** Extents of the backing file when nothing of it is stored yet (compared with zeros); absent when its manifest is the parent. */
      backingExtents?: ByteRange[];
    };

export function openBlockSource(spec: BlockSourceSpec): BlockSource {
  return spec.kind === "raw" ? new RawSource(spec) : new OverlaySource(spec);
}

class RawSource implements BlockSource {
  readonly lengthBytes: number;
  private readonly extents: ByteRange[];
  private readonly fd: number;

  constructor(spec: Extract<BlockSourceSpec, { kind: "raw" }>) {
    this.lengthBytes = spec.lengthBytes;
    this.extents = spec.extents;
    this.fd = openSync(spec.path, "r");
  }

  changes(): Iterable<ByteRange> {
    return this.extents.filter((range) => range.start < this.lengthBytes);
  }

  isZero(): boolean {
    return false;
  }

  read(into: Uint8Array, offset: number): void {
    readOrZero(this.fd, into, offset);
  }

  close(): void {
    closeSync(this.fd);
  }
}

class OverlaySource implements BlockSource {
  readonly lengthBytes: number;
  private readonly overlay: OverlayReader;
  private readonly backing: number;
  private readonly backingBytes: number;
  private readonly backingExtents: ByteRange[];

  constructor(spec: Extract<BlockSourceSpec, { kind: "overlay" }>) {
    this.lengthBytes = spec.lengthBytes;
    this.backingExtents = (spec.backingExtents ?? []).filter((range) => range.start < spec.lengthBytes);
    this.overlay = new OverlayReader(spec.path, spec.lengthBytes);
    try {
      this.backing = openSync(spec.backing, "r");
    } catch (error) {
      this.overlay.close();
      throw error;
    }
    this.backingBytes = fstatSync(this.backing).size;
  }

  changes(): Iterable<ByteRange> {
    return mergeRanges(this.backingExtents, this.written());
  }

  private *written(): Generator<ByteRange> {
    for (const { index } of this.overlay.changed()) {
      const start = index * clusterBytes;
      yield { start, end: Math.min(start + clusterBytes, this.lengthBytes) };
    }
  }

  /** A trimmed file system has many clusters that only say "zero". */
  isZero(offset: number, length: number): boolean {
    const last = Math.floor((offset + length - 1) / clusterBytes);
    for (let cluster = Math.floor(offset / clusterBytes); cluster <= last; cluster += 1)
      if (this.overlay.cluster(cluster).state !== "zero") return false;
    return true;
  }

  read(into: Uint8Array, offset: number): void {
    let done = 0;
    while (done < into.length) {
      const at = offset + done;
      const inCluster = at % clusterBytes;
      const part = into.subarray(done, done + Math.min(clusterBytes - inCluster, into.length - done));
      const mapped = this.overlay.cluster((at - inCluster) / clusterBytes);
      if (mapped.state === "data") this.overlay.read(part, mapped.offset + inCluster);
      else if (mapped.state === "zero" || at >= this.backingBytes) part.fill(0);
      else readOrZero(this.backing, part, at);
      done += part.length;
    }
  }

  close(): void {
    this.overlay.close();
    closeSync(this.backing);
  }
}

function readOrZero(fd: number, into: Uint8Array, offset: number): void {
  let done = 0;
  while (done < into.length) {
    const read = readSync(fd, into, done, into.length - done, offset + done);
    if (read === 0) break;
    done += read;
  }
  if (done < into.length) into.fill(0, done);
}
