/**
 * Stack traces in the places of the sources. Node's own support reads and parses the map of every module while it is loaded, which costs a start
 * 70 ms under emulation (test/bench); this reads a map when the first stack is looked at, and never when none is.
 *
 * Only the task's compiled module has a map: `x.ts.mjs.map` beside it, sources relative to it. Frames of everything else stay as they are.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";

interface Segment {
  column: number;
  source: number;
  line: number;
  sourceColumn: number;
}

interface SourceMapFile {
  sources: string[];
  /** By line of the compiled file, ascending in columns. */
  lines: Segment[][];
}

const maps = new Map<string, SourceMapFile | undefined>();
const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Formats like Node does, with mapped places. A library that sets its own `Error.prepareStackTrace` wins, as always. */
export function mapStackTraces(compiledModule: string): void {
  Error.prepareStackTrace = (error, frames) => {
    const lines = frames.map((frame) => `\n    at ${mapFrame(frame, compiledModule)}`);
    return `${headline(error)}${lines.join("")}`;
  };
}

function headline(error: Error): string {
  try {
    return Error.prototype.toString.call(error);
  } catch {
    return "<error>";
  }
}

function mapFrame(frame: NodeJS.CallSite, compiledModule: string): string {
  // oxlint-disable-next-line typescript/no-base-to-string -- a call site's own text is what Node prints
  const text = String(frame);
  const name = frame.getFileName();
  const line = frame.getLineNumber();
  const column = frame.getColumnNumber();
  if (typeof name !== "string" || line === null || column === null) return text;
  const file = name.startsWith("file://") ? decodeURIComponent(name.slice(7)) : name;
  if (file !== compiledModule) return text;
  const place = originalPlace(file, line, column);
  return place === undefined ? text : text.replace(`${name}:${line}:${column}`, place);
}

/** `file:line:column`, counted from 1. */
export function originalPlace(file: string, line: number, column: number): string | undefined {
  const map = mapOf(file);
  const segment = map?.lines[line - 1]?.findLast((candidate) => candidate.column < column);
  const source = segment === undefined ? undefined : map?.sources[segment.source];
  return segment === undefined || source === undefined
    ? undefined
    : `${resolve(dirname(file), source)}:${segment.line + 1}:${segment.sourceColumn + 1}`;
}

function mapOf(file: string): SourceMapFile | undefined {
  if (!maps.has(file)) {
    try {
      const { sources, mappings } = JSON.parse(readFileSync(`${file}.map`, "utf8")) as { sources: string[]; mappings: string };
      maps.set(file, { sources, lines: decodeMappings(mappings) });
    } catch {
      // A module without a map, or with a broken one, keeps its compiled places.
      maps.set(file, undefined);
    }
  }
  return maps.get(file);
}

/** The base64 VLQ text of a source map, version 3. */
export function decodeMappings(mappings: string): Segment[][] {
  let source = 0;
  let line = 0;
  let sourceColumn = 0;
  return mappings.split(";").map((text) => {
    let column = 0;
    const segments: Segment[] = [];
    for (const part of text === "" ? [] : text.split(",")) {
      const [columns = 0, ...rest] = decodeNumbers(part);
      column += columns;
      if (rest.length < 3) continue;
      source += rest[0] as number;
      line += rest[1] as number;
      sourceColumn += rest[2] as number;
      segments.push({ column, source, line, sourceColumn });
    }
    return segments;
  });
}

function decodeNumbers(text: string): number[] {
  const numbers: number[] = [];
  let value = 0;
  let shift = 0;
  for (const character of text) {
    const digit = digits.indexOf(character);
    value += (digit & 31) << shift;
    shift += 5;
    if ((digit & 32) !== 0) continue;
    numbers.push((value & 1) === 1 ? -(value >>> 1) : value >>> 1);
    value = 0;
    shift = 0;
  }
  return numbers;
}
