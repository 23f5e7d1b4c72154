/**
 * Guest memory as the pages in which it differs from another memory, its template's: what a machine of its own wrote, and nothing else. A difference is
 * always against the template, never against an earlier difference, so the tenth park costs what the first did.
 *
 *   0 … length          the pages that differ, at their own offsets; holes elsewhere
 *   length … end        one bit per page, least significant first: whether the page differs
 *
 * Pages that differ and are zero are holes with their bit set. Runs in the chunk thread.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync } from "node:fs";
import { type ByteRange, mergeRanges } from "../disks/byte-ranges.ts";
import { writeFully } from "../chunks/load-blocks.ts";

const pageBytes = 4096;
/** A multiple of the page and small beside a processor's cache. */
const blockBytes = 1024 * 1024;

export interface MemoryDifference {
  memory: string;
  template: string;
  /** Made. */
  target: string;
  /** Where the two have data: what is a hole in both is equal. */
  extents: { memory: ByteRange[]; template: ByteRange[] };
}

export interface MemoryPatch {
  difference: string;
  /** A copy of the template's memory: becomes the machine's. */
  target: string;
}

type Checkpoint = () => Promise<void> | undefined;

const bitmapBytes = (memoryBytes: number): number => Math.ceil(memoryBytes / pageBytes / 8 / pageBytes) * pageBytes;

/** Length of the memory that a difference of this length is of. */
function memoryBytesOf(differenceBytes: number): number {
  // bitmap = ceil(memory / 2^27) pages: smaller than memory / 32768 plus one page.
  let memoryBytes = Math.floor((differenceBytes * 32_768) / 32_769 / pageBytes) * pageBytes;
  while (memoryBytes + bitmapBytes(memoryBytes) > differenceBytes) memoryBytes -= pageBytes;
  return memoryBytes;
}

/** Bytes of the pages that differ. */
export async function differMemory(work: MemoryDifference, checkpoint: Checkpoint): Promise<number> {
  const memory = openSync(work.memory, "r");
  const template = openSync(work.template, "r");
  const target = openSync(work.target, "wx", 0o600);
  try {
    const lengthBytes = fstatSync(memory).size;
    ftruncateSync(target, lengthBytes + bitmapBytes(lengthBytes));
    const pages = new DifferingPages(target, lengthBytes);
    const left = Buffer.alloc(blockBytes);
    const right = Buffer.alloc(blockBytes);
    for (const range of mergeRanges(work.extents.memory, work.extents.template)) {
      const end = Math.min(range.end, lengthBytes);
      for (let at = Math.floor(range.start / pageBytes) * pageBytes; at < end; at += blockBytes) {
        const turn = checkpoint();
        if (turn !== undefined) await turn;
        const length = Math.min(blockBytes, lengthBytes - at, Math.ceil((end - at) / pageBytes) * pageBytes);
        readWhole(memory, left.subarray(0, length), at);
        readWhole(template, right.subarray(0, length), at);
        pages.compare(left.subarray(0, length), right.subarray(0, length), at);
      }
    }
    return pages.finish();
  } finally {
    for (const fd of [memory, template, target]) closeSync(fd);
  }
}

class DifferingPages {
  private readonly target: number;
  private readonly lengthBytes: number;
  private readonly bitmap: Buffer;
  private bytes = 0;

  constructor(target: number, lengthBytes: number) {
    this.target = target;
    this.lengthBytes = lengthBytes;
    this.bitmap = Buffer.alloc(bitmapBytes(lengthBytes));
  }

  /** Pages that lie side by side are written together; zeros are left out. */
  compare(left: Buffer, right: Buffer, at: number): void {
    let from = -1;
    for (let page = 0; page <= left.length; page += pageBytes) {
      const differs = page < left.length && left.compare(right, page, page + pageBytes, page, page + pageBytes) !== 0;
      if (differs) this.mark((at + page) / pageBytes);
      const kept = differs && !isZero(left, page);
      if (kept && from < 0) from = page;
      if (kept || from < 0) continue;
      writeFully(this.target, left.subarray(from, page), at + from);
      from = -1;
    }
  }

  finish(): number {
    writeFully(this.target, this.bitmap, this.lengthBytes);
    return this.bytes;
  }

  private mark(page: number): void {
    this.bitmap[page >> 3] = (this.bitmap[page >> 3] as number) | (1 << (page & 7));
    this.bytes += pageBytes;
  }
}

/** The target holds the template's memory, and the machine's when this resolves. */
export async function patchMemory({ difference, target }: MemoryPatch, checkpoint: Checkpoint): Promise<void> {
  const source = openSync(difference, "r");
  const fd = openSync(target, "r+");
  try {
    const lengthBytes = memoryBytesOf(fstatSync(source).size);
    ftruncateSync(fd, lengthBytes);
    const bitmap = Buffer.alloc(bitmapBytes(lengthBytes));
    readWhole(source, bitmap, lengthBytes);
    const buffer = Buffer.alloc(blockBytes);
    for (const { start, end } of markedRuns(bitmap, lengthBytes / pageBytes)) {
      const turn = checkpoint();
      if (turn !== undefined) await turn;
      const part = buffer.subarray(0, end - start);
      readWhole(source, part, start);
      writeFully(fd, part, start);
    }
  } finally {
    closeSync(source);
    closeSync(fd);
  }
}

function* markedRuns(bitmap: Buffer, pages: number): Generator<ByteRange> {
  const pagesMax = blockBytes / pageBytes;
  let from = -1;
  for (let page = 0; page <= pages; page += 1) {
    const marked = page < pages && ((bitmap[page >> 3] as number) & (1 << (page & 7))) !== 0;
    if (marked && from < 0) from = page;
    if (from >= 0 && (!marked || page - from === pagesMax)) {
      yield { start: from * pageBytes, end: page * pageBytes };
      from = marked ? page : -1;
    }
  }
}

const zeroPage = Buffer.alloc(pageBytes);

function isZero(buffer: Buffer, page: number): boolean {
  return buffer.compare(zeroPage, 0, pageBytes, page, page + pageBytes) === 0;
}

/** What lies beyond the end of a file is zero. */
function readWhole(fd: number, into: Buffer, offset: number): void {
  let done = 0;
  while (done < into.length) {
    const read = readSync(fd, into, done, into.length - done, offset + done);
    if (read === 0) break;
    done += read;
  }
  into.fill(0, done);
}
