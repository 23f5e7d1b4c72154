/**
 * Finds secret values in what a run writes and replaces them by `***`, before anything is stored (engine §7). Worker and guest import it; it does no
 * I/O and remembers nothing but the needles and the tail of a stream.
 *
 * What is looked for, per value of at least `maskedBytesMin` bytes of UTF-8:
 *   - the value, and the value without blanks at both ends
 *   - each line of a value of several lines (keys in PEM form), from `maskedPartBytesMin` bytes on
 *   - the value as text inside JSON (also JSON inside JSON, and with `\uXXXX` for everything outside ASCII)
 *   - the value as part of a URL or form
 *   - the value in hexadecimal, and in base64 and base64url at each of the three alignments, so that it is found inside longer encodings such as
 *     `user:value` of basic authentication
 *
 * What is not: values shorter than `maskedBytesMin` bytes (masking "1" or "yes" would destroy the log and tell the value), encodings that give
 * fewer than `maskedPartBytesMin` bytes, encodings of values above 64 KiB, bytes of one value beyond `maskedValueBytesMax`, and anything compressed,
 * encrypted or taken apart.
 *
 * Cost is linear in the text, whatever the needles are (`needle-automaton.ts`); building is linear in the needles.
 */
import type { Json } from "./json.ts";
import { type NeedleAutomaton, buildAutomaton } from "./needle-automaton.ts";
import { maskedBytesMin, needlesOf } from "./secret-forms.ts";

export { maskedBytesMin, maskedPartBytesMin, maskedValueBytesMax } from "./secret-forms.ts";

export const maskText = "***";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const mask = encoder.encode(maskText);
const nothing = new Uint8Array();

export interface Masker {
  /** Whether there is anything to look for. */
  readonly active: boolean;
  maskBytes(bytes: Uint8Array): Uint8Array;
  maskText(text: string): string;
  /**
   * Strings, member names, and numbers whose decimal text holds a value; the same object when nothing was found. A value that spans two strings
   * is not found.
   */
  maskJson(value: Json): Json;
  /** For one byte stream; each stream needs its own. */
  openStream(): MaskingStream;
}

/** Bytes go in as they come and come out masked. What could be the beginning of a value is held back until more has come. */
export interface MaskingStream {
  push(bytes: Uint8Array): Uint8Array;
  /** Number of bytes held back. */
  readonly held: number;
  /** What is left at the end of the stream; afterwards another one may begin. */
  end(): Uint8Array;
}

export function createMasker(values: Iterable<string>): Masker {
  const needles = needlesOf(values);
  if (needles.length === 0) return inactive;
  const automaton = buildAutomaton(needles);
  const maskBytes = (bytes: Uint8Array): Uint8Array => {
    if (!automaton.finds(bytes)) return bytes;
    const stream = openStream(automaton);
    return joined([stream.push(bytes), stream.end()]);
  };
  const maskString = (text: string): string => {
    if (text.length * 3 < maskedBytesMin) return text;
    const bytes = encoder.encode(text);
    return automaton.finds(bytes) ? decoder.decode(maskBytes(bytes)) : text;
  };
  return {
    active: true,
    maskBytes,
    maskText: maskString,
    maskJson: (value) => maskMembers(value, maskString),
    openStream: () => openStream(automaton),
  };
}

const inactive: Masker = {
  active: false,
  maskBytes: (bytes) => bytes,
  maskText: (text) => text,
  maskJson: (value) => value,
  openStream: () => ({ push: (bytes) => bytes, held: 0, end: () => nothing }),
};

function maskMembers(value: Json, maskString: (text: string) => string): Json {
  if (typeof value === "string") return maskString(value);
  if (typeof value === "number") return maskString(String(value)) === String(value) ? value : maskText;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const items = value.map((item) => maskMembers(item, maskString));
    return items.some((item, index) => item !== value[index]) ? items : value;
  }
  const members = Object.entries(value).map(([name, member]) => ({
    name: maskString(name),
    member: maskMembers(member, maskString),
    was: name,
  }));
  if (members.every(({ name, member, was }) => name === was && member === value[was])) return value;
  const masked = new Map<string, Json>();
  for (const { name, member } of members) masked.set(freeName(name, masked), member);
  return Object.fromEntries(masked);
}

/** Two names may become the same by masking; neither member gets lost. */
function freeName(name: string, taken: ReadonlyMap<string, unknown>): string {
  let free = name;
  for (let count = 2; taken.has(free); count += 1) free = `${name} (${count})`;
  return free;
}

/**
 * Bytes before `pos - depth` are decided: only the last `depth` bytes can belong to a value that is still coming. Found values are kept as ranges of
 * the stream, merged where they touch; ends only grow, so merging looks at the last range and costs nothing on the whole. A range is written as one
 * mask, also when it reaches over several pushes.
 */
function openStream(automaton: NeedleAutomaton): MaskingStream {
  let state = 0;
  /** Undecided bytes, and the position of the first of them in the stream. */
  let tail: Uint8Array = nothing;
  let base = 0;
  let ranges: { start: number; end: number }[] = [];
  /** Up to here a mask was written already. */
  let maskedUntil = -1;

  function cover(start: number, end: number): void {
    let from = start;
    for (let last = ranges.at(-1); last && last.end >= from; last = ranges.at(-1)) {
      from = Math.min(from, last.start);
      ranges.pop();
    }
    ranges.push({ start: from, end });
  }

  function emit(bytes: Uint8Array, until: number): Uint8Array {
    const out: Uint8Array[] = [];
    let at = base;
    for (const range of ranges) {
      if (range.start >= until) break;
      if (range.start > at) out.push(bytes.subarray(at - base, range.start - base));
      if (range.start > maskedUntil) out.push(mask);
      at = Math.min(range.end, until);
      maskedUntil = at;
    }
    if (until > at) out.push(bytes.subarray(at - base, until - base));
    ranges = ranges.filter((range) => range.end > until).map((range) => ({ start: Math.max(range.start, until), end: range.end }));
    return joined(out);
  }

  return {
    get held() {
      return tail.length;
    },
    push(bytes) {
      const whole = tail.length === 0 ? bytes : joined([tail, bytes]);
      for (let at = tail.length; at < whole.length; at += 1) {
        state = automaton.next(state, whole[at] as number);
        const length = automaton.matchLength(state);
        if (length > 0) cover(base + at + 1 - length, base + at + 1);
      }
      const until = base + whole.length - automaton.depth(state);
      const out = emit(whole, until);
      tail = whole.slice(until - base);
      base = until;
      return out;
    },
    end() {
      const out = emit(tail, base + tail.length);
      state = 0;
      tail = nothing;
      base = 0;
      ranges = [];
      maskedUntil = -1;
      return out;
    },
  };
}

function joined(parts: Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0] as Uint8Array;
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
