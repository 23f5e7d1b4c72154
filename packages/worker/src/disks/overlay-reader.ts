/**
 * Reads which clusters of an overlay were written, and their bytes. Synchronous: it runs in the chunk threads.
 *
 * The file comes from a monitor that a guest may have taken over. So: the backing file named inside it is never opened (the caller knows
 * its own), every offset is checked against the file, tables are read one at a time, and the work is bounded by the device size that the
 * caller expects, whatever the header says.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import {
  clusterBytes,
  entryCompressed,
  entryOffsetMask,
  entryZero,
  field,
  headerMagic,
  l2Entries,
  l2Span,
  OverlayError,
} from "./overlay-format.ts";

export type ClusterState = "backing" | "zero" | "data";

export interface MappedCluster {
  state: ClusterState;
  /** Place in the overlay file; 0 unless `data`. */
  offset: number;
}

const unmapped: MappedCluster = { state: "backing", offset: 0 };

export class OverlayReader {
  readonly sizeBytes: number;
  private readonly fd: number;
  private readonly fileBytes: number;
  private readonly l1: BigUint64Array;
  private loaded: { number: number; table: DataView | undefined } = { number: -1, table: undefined };

  constructor(path: string, sizeBytes: number) {
    this.sizeBytes = sizeBytes;
    this.fd = openSync(path, "r");
    try {
      this.fileBytes = fstatSync(this.fd).size;
      this.l1 = this.readL1(this.readHeader());
    } catch (error) {
      closeSync(this.fd);
      throw error;
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  /** Clusters that hide the backing file, ascending. */
  *changed(): Generator<{ index: number } & MappedCluster> {
    for (let number = 0; number < this.l1.length; number += 1) {
      if (this.l1[number] === 0n) continue;
      const first = number * l2Entries;
      const last = Math.min(first + l2Entries, Math.ceil(this.sizeBytes / clusterBytes));
      for (let index = first; index < last; index += 1) {
        const mapped = this.cluster(index);
        if (mapped.state !== "backing") yield { index, ...mapped };
      }
    }
  }

  cluster(index: number): MappedCluster {
    const table = this.l2Table(Math.floor(index / l2Entries));
    if (table === undefined) return unmapped;
    const entry = table.getBigUint64((index % l2Entries) * 8);
    if ((entry & entryCompressed) !== 0n) throw this.malformed(`cluster ${index} is compressed`);
    if ((entry & entryZero) !== 0n) return { state: "zero", offset: 0 };
    const offset = Number(entry & entryOffsetMask);
    if (offset === 0) return unmapped;
    this.checkOffset(offset, `cluster ${index}`);
    return { state: "data", offset };
  }

  /** Fills `into` from a place in the overlay file. The last cluster of the file may not be written to its end: the rest is zeros. */
  read(into: Uint8Array, offset: number): void {
    const read = readSync(this.fd, into, 0, into.length, offset);
    if (read < into.length) into.fill(0, read);
  }

  private readHeader(): { l1Entries: number; l1Offset: number } {
    const header = Buffer.alloc(104);
    if (readSync(this.fd, header, 0, header.length, 0) < header.length) throw this.malformed("its header is cut short");
    const expect = (what: string, found: number | bigint, wanted: number | bigint) => {
      if (found !== wanted) throw this.malformed(`${what} is ${found}, not ${wanted}`);
    };
    expect("magic", header.readUInt32BE(field.magic), headerMagic);
    expect("version", header.readUInt32BE(field.version), 3);
    expect("cluster bits", header.readUInt32BE(field.clusterBits), Math.log2(clusterBytes));
    expect("encryption", header.readUInt32BE(field.encryption), 0);
    expect("snapshot count", header.readUInt32BE(field.snapshots), 0);
    // Dirty (bit 0) only concerns refcounts, which are not used here. All other bits change how the file is to be read.
    expect("set of features", header.readBigUInt64BE(field.incompatible) & ~1n, 0n);
    const size = header.readBigUInt64BE(field.size);
    if (size !== BigInt(this.sizeBytes))
      throw new OverlayError("overlay_size", `Overlay is of a device of ${size} bytes, not ${this.sizeBytes}`);
    const l1Offset = header.readBigUInt64BE(field.l1Offset);
    const l1Entries = header.readUInt32BE(field.l1Entries);
    const needed = Math.ceil(this.sizeBytes / l2Span);
    if (l1Entries < needed) throw this.malformed(`its L1 table has ${l1Entries} entries for ${needed}`);
    if (l1Offset > BigInt(this.fileBytes)) throw this.malformed(`its L1 table is at ${l1Offset}`);
    return { l1Entries: needed, l1Offset: Number(l1Offset) };
  }

  private readL1(at: { l1Entries: number; l1Offset: number }): BigUint64Array {
    this.checkOffset(at.l1Offset, "the L1 table");
    const bytes = Buffer.alloc(at.l1Entries * 8);
    if (readSync(this.fd, bytes, 0, bytes.length, at.l1Offset) < bytes.length) throw this.malformed("its L1 table is cut short");
    const entries = new BigUint64Array(at.l1Entries);
    for (let number = 0; number < at.l1Entries; number += 1) entries[number] = bytes.readBigUInt64BE(number * 8) & entryOffsetMask;
    return entries;
  }

  private l2Table(number: number): DataView | undefined {
    if (this.loaded.number === number) return this.loaded.table;
    const offset = Number(this.l1[number] ?? 0n);
    let table: DataView | undefined;
    if (offset !== 0) {
      this.checkOffset(offset, `L2 table ${number}`);
      const bytes = new Uint8Array(clusterBytes);
      this.read(bytes, offset);
      table = new DataView(bytes.buffer);
    }
    this.loaded = { number, table };
    return table;
  }

  private checkOffset(offset: number, what: string): void {
    if (offset % clusterBytes !== 0 || offset === 0 || offset >= this.fileBytes)
      throw this.malformed(`${what} is at ${offset} in a file of ${this.fileBytes} bytes`);
  }

  private malformed(why: string): OverlayError {
    return new OverlayError("overlay_malformed", `Overlay cannot be read: ${why}`);
  }
}
