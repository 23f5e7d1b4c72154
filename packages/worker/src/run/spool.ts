/**
 * What an attempt has to say, on this host's disk until the control plane has accepted it: numbered items in segment files (run/spool-records.ts).
 * The guest is told to forget its bytes only when they are in here; a segment goes away when all of it was accepted.
 *
 *   queued (memory) ──write──▶ kept (disk, numbered) ──accepted──▶ gone
 *
 * Small pieces of one stream become one item while a write is under way or while `patient` says that nothing would leave anyway. An item never
 * changes once it has its number, so a repeat is identical, also from another process of this worker. At most `bytesMax` are kept; beyond that
 * nothing is written, nothing is acknowledged, and the guest stops at its window.
 */
import { mkdir, readdir, readFile, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "@helmr/protocol/shared";
import type { ReportItem } from "@helmr/protocol/worker";
import { assert } from "../assert.ts";
import {
  decodeRecords,
  encodeRecord,
  type LogStreamName,
  logStreams,
  type MetadataOperation,
  type RecordHeader,
  type StreamOffsets,
} from "./spool-records.ts";
import { SpoolSegments } from "./spool-segments.ts";

export interface SpoolOptions {
  directory: string;
  /** Items and bytes per stream that the control plane has already. */
  accepted: { items: number; lengths: StreamOffsets };
  /** Where the guest's own streams go on, when that is not their beginning: of a resumed run. */
  from?: StreamOffsets;
  bytesMax: number;
  /** Writing failed; nothing is written from here on. */
  onFailed: (error: Error) => void;
}

interface Kept {
  header: RecordHeader;
  /** Undefined: read from its segment. */
  data: Buffer | undefined;
  segment: number;
  position: number;
  bytes: number;
  dataBytes: number;
}

type Queued =
  | { kind: "log"; stream: LogStreamName; parts: Uint8Array[]; bytes: number; taken: StreamOffsets; at: number }
  | { kind: "metadata"; operation: MetadataOperation; taken: StreamOffsets; at: number; written: () => void };

/** An item of a log is at most one stored chunk. */
const itemBytesMax = limits.byteChunkBytesMax;
/** Data of kept items that also stay in memory. */
const memoryBytesMax = 4 * 1024 * 1024;
const patienceMs = 100;
/** What an item costs in memory, however small it is: part of the bound. */
const itemOverheadBytes = 256;

export class Spool {
  /** Asked before a write: true while a report is under way, so that waiting costs nothing. */
  patient: () => boolean = () => false;
  onItems: () => void = () => {};
  /** Something was written: `taken` are the guest's offsets that are safe now. */
  onWritten: (taken: StreamOffsets) => void = () => {};
  private readonly options: SpoolOptions;
  private readonly segments: SpoolSegments;
  private readonly kept: Kept[] = [];
  private queue: Queued[] = [];
  private queuedBytes = 0;
  private keptBytes = 0;
  private memoryBytes = 0;
  private nextItem: number;
  private readonly lengths: StreamOffsets;
  private takenOffsets: StreamOffsets;
  /** As `takenOffsets`, with what is queued or being written: an item that is appended during a write builds on this. */
  private appendedOffsets: StreamOffsets;
  private writing: Promise<void> | undefined;
  private patience: NodeJS.Timeout | undefined;
  private failed: Error | undefined;

  private constructor(options: SpoolOptions, recovered: Recovered) {
    this.options = options;
    this.segments = recovered.segments;
    this.nextItem = recovered.nextItem;
    this.lengths = recovered.lengths;
    this.takenOffsets = recovered.taken;
    this.appendedOffsets = [...recovered.taken];
    for (const item of recovered.kept) this.keep(item);
  }

  /** Finds what an earlier process left in the directory. */
  static async open(options: SpoolOptions): Promise<Spool> {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    return new Spool(options, await recover(options));
  }

  /** Guest offsets up to which everything is kept: where a guest that is taken over goes on. */
  get taken(): StreamOffsets {
    return [...this.takenOffsets];
  }

  /** Number of the last item that was written. */
  get lastItem(): number {
    return this.nextItem - 1;
  }

  get unsentBytes(): number {
    return this.keptBytes + this.queuedBytes;
  }

  /** `guestOffset`: the offset in the guest's stream behind what led to these bytes; absent for the worker's own. `data` is taken over. */
  appendLog(stream: LogStreamName, data: Uint8Array, guestOffset?: number): void {
    if (guestOffset !== undefined) this.appendedOffsets[logStreams.indexOf(stream)] = guestOffset;
    const taken: StreamOffsets = [...this.appendedOffsets];
    const last = this.queue.at(-1);
    const joins = last?.kind === "log" && last.stream === stream && last.bytes + data.length <= itemBytesMax;
    if (joins) {
      last.parts.push(data);
      last.bytes += data.length;
      last.taken = taken;
    } else {
      this.queue.push({ kind: "log", stream, parts: [data], bytes: data.length, taken, at: Date.now() });
    }
    this.queuedBytes += data.length;
    this.pump();
  }

  /** Resolves when it is kept. Never, when the spool has failed: then its run ends. */
  appendMetadata(operation: MetadataOperation): Promise<void> {
    return new Promise((resolve) => {
      this.queue.push({ kind: "metadata", operation, taken: [...this.appendedOffsets], at: Date.now(), written: resolve });
      this.pump();
    });
  }

  /** Writes what is queued, if now is a time for it. */
  pump(): void {
    if (this.writing !== undefined || this.queue.length === 0 || this.failed !== undefined) return;
    if (this.keptBytes >= this.options.bytesMax) return;
    if (this.patient() && this.queuedBytes < itemBytesMax) {
      this.patience ??= setTimeout(() => this.write(), patienceMs);
      return;
    }
    this.write();
  }

  /** Resolves when everything that was appended is kept, or the spool has failed. */
  async flush(): Promise<void> {
    while ((this.queue.length > 0 || this.writing !== undefined) && this.failed === undefined) {
      if (this.writing === undefined) this.write();
      await this.writing;
    }
  }

  /** The oldest items, as many as fit; none when nothing is kept. */
  async batch(max: { items: number; bytes: number }): Promise<{ first: number; items: ReportItem[] } | undefined> {
    const chosen: Kept[] = [];
    let bytes = 0;
    for (const item of this.kept) {
      if (chosen.length === max.items || (chosen.length > 0 && bytes + item.dataBytes > max.bytes)) break;
      chosen.push(item);
      bytes += item.dataBytes;
    }
    const first = chosen[0];
    if (first === undefined) return undefined;
    const now = Date.now();
    const items: ReportItem[] = [];
    for (const item of chosen) {
      const data = item.data ?? (await this.segments.read(item.segment, item.position + item.bytes - item.dataBytes, item.dataBytes));
      items.push(reportItem(item.header, data, now));
    }
    return { first: first.header.n, items };
  }

  /** The control plane has everything up to item `last`. */
  async accepted(last: number): Promise<void> {
    let count = 0;
    for (const item of this.kept) {
      if (item.header.n > last) break;
      count += 1;
      this.keptBytes -= item.bytes + itemOverheadBytes;
      if (item.data !== undefined) this.memoryBytes -= item.dataBytes;
    }
    this.kept.splice(0, count);
    this.pump();
    await this.segments.dropBefore(this.kept[0]?.segment ?? this.segments.current);
  }

  async close(): Promise<void> {
    clearTimeout(this.patience);
    this.failed ??= new SpoolClosed("The spool is closed");
    await this.writing;
    await this.segments.close();
  }

  private write(): void {
    clearTimeout(this.patience);
    this.patience = undefined;
    if (this.writing !== undefined || this.failed !== undefined || this.queue.length === 0) return;
    const queue = this.queue;
    this.queue = [];
    this.queuedBytes = 0;
    this.writing = this.writeAll(queue).finally(() => {
      this.writing = undefined;
      this.pump();
    });
  }

  /** Never rejects. */
  private async writeAll(queue: Queued[]): Promise<void> {
    const items = queue.map((one) => this.number(one));
    const records = items.map(({ header, data }) => encodeRecord(header, data));
    try {
      const places = await this.segments.append(records);
      for (const [index, { header, data }] of items.entries()) {
        const place = places[index] as { segment: number; position: number };
        this.keep({ header, data, ...place, bytes: (records[index] as Buffer).length, dataBytes: data.length });
      }
    } catch (error) {
      // These items do not exist: nobody waits for them.
      this.nextItem -= items.length;
      this.failed = error as Error;
      this.options.onFailed(error as Error);
      return;
    }
    this.takenOffsets = (queue.at(-1) as Queued).taken;
    this.onWritten(this.taken);
    for (const one of queue) if (one.kind === "metadata") one.written();
    this.onItems();
  }

  private number(one: Queued): { header: RecordHeader; data: Buffer } {
    const n = this.nextItem;
    this.nextItem += 1;
    const { at, taken } = one;
    if (one.kind === "metadata") return { header: { n, at, taken, kind: "metadata", operation: one.operation }, data: Buffer.alloc(0) };
    const index = logStreams.indexOf(one.stream);
    const offset = this.lengths[index] as number;
    this.lengths[index] = offset + one.bytes;
    const data = Buffer.concat(one.parts, one.bytes);
    return { header: { n, at, taken, kind: "log", stream: one.stream, offset }, data };
  }

  private keep(item: Kept): void {
    const fits = item.data !== undefined && this.memoryBytes + item.dataBytes <= memoryBytesMax;
    if (fits) this.memoryBytes += item.dataBytes;
    this.kept.push({ ...item, data: fits ? item.data : undefined });
    this.keptBytes += item.bytes + itemOverheadBytes;
  }
}

class SpoolClosed extends Error {
  override name = "SpoolClosed";
}

function reportItem(header: RecordHeader, data: Buffer, now: number): ReportItem {
  const age_ms = Math.max(0, Math.round(now - header.at));
  if (header.kind === "metadata") return { kind: "metadata", operation: header.operation, age_ms };
  return { kind: "log", stream: header.stream, offset: header.offset, data: data.toString("base64"), age_ms };
}

interface Recovered {
  segments: SpoolSegments;
  kept: Kept[];
  nextItem: number;
  lengths: StreamOffsets;
  taken: StreamOffsets;
}

async function recover(options: SpoolOptions): Promise<Recovered> {
  const { directory, accepted } = options;
  const numbers = (await readdir(directory)).map((name) => Number(/^segment-(\d+)$/.exec(name)?.[1])).filter((number) => number > 0);
  const kept: Kept[] = [];
  const lengths: StreamOffsets = [...accepted.lengths];
  let taken: StreamOffsets = [...(options.from ?? ([0, 0, 0] as const))];
  let nextItem = accepted.items + 1;
  for (const segment of numbers.sort((a, b) => a - b)) {
    const path = join(directory, `segment-${segment}`);
    const file = await readFile(path);
    let position = 0;
    for (const { header, data, bytes } of decodeRecords(file)) {
      taken = header.taken;
      if (header.n >= nextItem) {
        assert(header.n === nextItem, `The spool has item ${header.n} where ${nextItem} is next`);
        nextItem += 1;
        if (header.kind === "log") lengths[logStreams.indexOf(header.stream)] = header.offset + data.length;
        kept.push({ header, data: undefined, segment, position, bytes, dataBytes: data.length });
      }
      position += bytes;
    }
    if (position < file.length) await truncate(path, position);
    if (position === 0) await rm(path, { force: true });
  }
  return { segments: new SpoolSegments(directory, numbers.at(-1) ?? 0), kept, nextItem, lengths, taken };
}
