/**
 * The log lines of one run in this page: filled by the follower, drawn by the log viewer through a window. A record whose message has line breaks becomes
 * several lines. At most `linesMax` lines are kept; older ones are dropped in blocks and counted.
 */
import type { LogRecord } from "@helmr/protocol/api";
import { stripAnsi } from "./ansi.ts";

export interface LogLine {
  id: string;
  at: number;
  stream: LogRecord["stream"];
  level: LogRecord["level"];
  /** With terminal colours. */
  text: string;
  /** Only on the first line of a record. */
  fields: LogRecord["fields"];
  /** A further line of the same record. */
  continued: boolean;
}

export const linesMax = 200_000;
const dropBlock = 20_000;

export class LogBuffer {
  lines: LogLine[] = [];
  dropped = 0;
  /** Grows with every change. */
  version = 0;
  readonly #linesMax: number;
  readonly #listeners = new Set<() => void>();

  constructor(options: { linesMax?: number } = {}) {
    this.#linesMax = options.linesMax ?? linesMax;
  }

  append(records: readonly LogRecord[]): void {
    for (const { id, at, stream, level, message, fields } of records) {
      const time = Date.parse(at);
      let continued = false;
      for (const text of message.split(/\r?\n/)) {
        this.lines.push({ id, at: time, stream, level, text, fields: continued ? undefined : fields, continued });
        continued = true;
      }
    }
    if (this.lines.length > this.#linesMax) {
      const excess = Math.min(this.lines.length, this.lines.length - this.#linesMax + Math.min(dropBlock, this.#linesMax / 10));
      this.lines = this.lines.slice(excess);
      this.dropped += excess;
    }
    this.version += 1;
    for (const listener of this.#listeners) listener();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  asText(): string {
    return this.lines.map(({ text }) => `${stripAnsi(text)}\n`).join("");
  }
}

export interface LogFilter {
  streams: ReadonlySet<LogRecord["stream"]>;
  /** Lower case; empty matches everything. */
  text: string;
}

/** Indexes of the lines that fit; goes on where it stopped while filter and buffer stay the same. */
export class FilteredLines {
  readonly filter: LogFilter;
  indexes: number[] = [];
  #seen = 0;
  #dropped = 0;

  constructor(filter: LogFilter) {
    this.filter = filter;
  }

  update(buffer: LogBuffer): number[] {
    if (buffer.dropped !== this.#dropped) {
      this.#dropped = buffer.dropped;
      this.#seen = 0;
      this.indexes = [];
    }
    const { streams, text } = this.filter;
    for (; this.#seen < buffer.lines.length; this.#seen += 1) {
      const line = buffer.lines[this.#seen] as LogLine;
      if (!streams.has(line.stream)) continue;
      if (text !== "" && !stripAnsi(line.text).toLowerCase().includes(text)) continue;
      this.indexes.push(this.#seen);
    }
    return this.indexes;
  }
}

/** Which rows to draw of a list of equal rows. */
export function windowOf({
  rows,
  rowHeight,
  top,
  height,
  overscan = 20,
}: {
  rows: number;
  rowHeight: number;
  top: number;
  height: number;
  overscan?: number;
}): { from: number; to: number } {
  const from = Math.max(0, Math.floor(top / rowHeight) - overscan);
  return { from: Math.min(from, rows), to: Math.min(rows, Math.ceil((top + height) / rowHeight) + overscan) };
}
