/**
 * Records of the spool on disk: u32 header length · header (JSON) · u32 data length · data. A header says which item it is and how far the
 * guest's streams had come when it was written. A file may end in the middle of a record: that one was never acknowledged to anybody.
 */
import type { ReportItem } from "@helmr/protocol/worker";

export const logStreams = ["stdout", "stderr", "logger"] as const;
export type LogStreamName = (typeof logStreams)[number];
/** One number per stream, in the order of `logStreams`. */
export type StreamOffsets = [number, number, number];

export type MetadataOperation = Extract<ReportItem, { kind: "metadata" }>["operation"];

export type RecordHeader = {
  /** Number of the item in the attempt's report. */
  n: number;
  /** Wall clock of the host when it came; only differences count. */
  at: number;
  /** Guest offsets up to which everything is in this or earlier records. */
  taken: StreamOffsets;
} & ({ kind: "log"; stream: LogStreamName; offset: number } | { kind: "metadata"; operation: MetadataOperation });

export interface SpoolRecord {
  header: RecordHeader;
  data: Buffer;
  /** Bytes of the whole record. */
  bytes: number;
}

const recordBytesMax = 16 * 1024 * 1024;

export function encodeRecord(header: RecordHeader, data: Uint8Array): Buffer {
  const head = Buffer.from(JSON.stringify(header));
  const record = Buffer.allocUnsafe(8 + head.length + data.length);
  record.writeUInt32LE(head.length, 0);
  head.copy(record, 4);
  record.writeUInt32LE(data.length, 4 + head.length);
  record.set(data, 8 + head.length);
  return record;
}

/** Whole records of a file, in order; stops at the first that is not whole. */
export function* decodeRecords(file: Buffer): Generator<SpoolRecord> {
  let at = 0;
  while (at + 4 <= file.length) {
    const headEnd = at + 4 + file.readUInt32LE(at);
    if (headEnd - at > recordBytesMax || headEnd + 4 > file.length) return;
    const end = headEnd + 4 + file.readUInt32LE(headEnd);
    if (end - at > recordBytesMax || end > file.length) return;
    let header: RecordHeader;
    try {
      header = JSON.parse(file.subarray(at + 4, headEnd).toString()) as RecordHeader;
    } catch {
      return;
    }
    yield { header, data: file.subarray(headEnd + 4, end), bytes: end - at };
    at = end;
  }
}
