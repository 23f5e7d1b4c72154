/** The files of a spool: appended to, read at places, dropped from the oldest on. A new process begins a new segment. */
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";

const segmentBytesMax = 8 * 1024 * 1024;

export class SpoolSegments {
  private readonly directory: string;
  private number: number;
  private oldest: number;
  private file: FileHandle | undefined;
  private length = 0;
  private readonly readers = new Map<number, FileHandle>();

  /** `last`: the newest segment that exists; 0 when there is none. */
  constructor(directory: string, last: number) {
    this.directory = directory;
    this.number = last;
    this.oldest = Math.min(1, last);
  }

  get current(): number {
    return this.number;
  }

  async append(records: Buffer[]): Promise<{ segment: number; position: number }[]> {
    if (this.file === undefined || this.length >= segmentBytesMax) await this.begin();
    const file = this.file as FileHandle;
    const start = this.length;
    const places: { segment: number; position: number }[] = [];
    let at = start;
    for (const record of records) {
      places.push({ segment: this.number, position: at });
      at += record.length;
    }
    const whole = records.length === 1 ? (records[0] as Buffer) : Buffer.concat(records);
    await writeWhole(file, whole, start);
    this.length = at;
    return places;
  }

  async read(segment: number, position: number, length: number): Promise<Buffer> {
    let file = segment === this.number ? this.file : this.readers.get(segment);
    if (file === undefined) {
      file = await open(this.path(segment), "r");
      this.readers.set(segment, file);
    }
    const data = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await file.read(data, done, length - done, position + done);
      if (bytesRead === 0) throw new SegmentCut(`Segment ${segment} of a spool ends before ${position + length}`);
      done += bytesRead;
    }
    return data;
  }

  /** Everything in segments before this one was accepted. */
  async dropBefore(segment: number): Promise<void> {
    for (; this.oldest < segment; this.oldest += 1) {
      const reader = this.readers.get(this.oldest);
      this.readers.delete(this.oldest);
      await reader?.close();
      await rm(this.path(this.oldest), { force: true });
    }
  }

  async close(): Promise<void> {
    await this.file?.close();
    for (const reader of this.readers.values()) await reader.close();
    this.readers.clear();
    this.file = undefined;
  }

  private async begin(): Promise<void> {
    if (this.file !== undefined) this.readers.set(this.number, this.file);
    this.number += 1;
    this.oldest = Math.max(1, this.oldest);
    this.length = 0;
    this.file = await open(this.path(this.number), "w+", 0o600);
  }

  private path(segment: number): string {
    return join(this.directory, `segment-${segment}`);
  }
}

class SegmentCut extends Error {
  override name = "SegmentCut";
}

async function writeWhole(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
