/**
 * Tar headers (POSIX ustar with pax and GNU long names), read as hostile input and written in the plainest form. Only what a source tree
 * has is accepted: files, directories, symbolic links.
 */
export const blockBytes = 512;

export type TarProblem = "malformed" | "unsupported" | "escapes" | "too_large" | "too_many_entries";

export class TarError extends Error {
  override name = "TarError";
  readonly problem: TarProblem;
  constructor(problem: TarProblem, message: string) {
    super(message);
    this.problem = problem;
  }
}

export interface TarEntry {
  kind: "file" | "directory" | "symlink";
  /** Relative, without `.`, `..`, empty or NUL parts; empty for the root itself. */
  path: string;
  mode: number;
  sizeBytes: number;
  /** As in the archive; it stays inside the root. */
  linkTarget?: string;
  modifiedSeconds: number;
}

/** One header block as it stands, before long names and pax records are applied. */
export interface RawHeader {
  type: string;
  path: string;
  linkTarget: string;
  mode: number;
  sizeBytes: number;
  modifiedSeconds: number;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

export function isZeroBlock(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

export function parseHeader(block: Uint8Array): RawHeader {
  const stored = octal(block, { at: 148, length: 8, what: "checksum" });
  let sum = 8 * 32;
  for (let index = 0; index < blockBytes; index += 1) {
    if (index < 148 || index >= 156) sum += block[index] as number;
  }
  if (sum !== stored) throw new TarError("malformed", "The archive has a header with a wrong checksum; is it a plain tar?");
  const prefix = isUstar(block) ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  const type = String.fromCharCode(block[156] as number);
  return {
    type: type === "\0" || type === "7" ? "0" : type,
    path: prefix === "" ? name : `${prefix}/${name}`,
    linkTarget: text(block, 157, 100),
    mode: octal(block, { at: 100, length: 8, what: "mode" }) & 0o7777,
    sizeBytes: octal(block, { at: 124, length: 12, what: "size" }),
    modifiedSeconds: octal(block, { at: 136, length: 12, what: "time" }),
  };
}

/** Records of a pax header: `LENGTH KEY=VALUE\n`, LENGTH in bytes of the whole record. */
export function parsePax(body: Uint8Array): Map<string, string> {
  const records = new Map<string, string>();
  let at = 0;
  while (at < body.length && body[at] !== 0) {
    const blank = body.indexOf(32, at);
    const length = blank < 0 ? Number.NaN : Number(ascii(body, at, blank));
    const end = at + length;
    if (!Number.isInteger(length) || length < blank - at + 4 || end > body.length || body[end - 1] !== 10) {
      throw new TarError("malformed", "The archive has a pax header that cannot be read");
    }
    const equals = body.indexOf(61, blank + 1);
    if (equals < 0 || equals >= end) throw new TarError("malformed", "The archive has a pax record without a value");
    records.set(decode(body.subarray(blank + 1, equals)), decode(body.subarray(equals + 1, end - 1)));
    at = end;
  }
  return records;
}

export function longName(body: Uint8Array): string {
  const end = body.indexOf(0);
  return decode(end < 0 ? body : body.subarray(0, end));
}

/** Header blocks of an entry: a pax header before it when a name or a size does not fit. */
export function formatHeader(entry: TarEntry): Uint8Array {
  const path = entry.kind === "directory" && entry.path !== "" ? `${entry.path}/` : entry.path;
  const name = Buffer.from(path === "" ? "./" : path);
  const target = Buffer.from(entry.linkTarget ?? "");
  const records: string[] = [];
  if (name.length > 100) records.push(paxRecord("path", path));
  if (target.length > 100) records.push(paxRecord("linkpath", entry.linkTarget ?? ""));
  if (entry.sizeBytes >= 8 ** 11) records.push(paxRecord("size", String(entry.sizeBytes)));
  const type = { file: "0", directory: "5", symlink: "2" }[entry.kind];
  const header = plainHeader({
    name,
    target,
    type,
    mode: entry.mode,
    sizeBytes: Math.min(entry.sizeBytes, 8 ** 11 - 1),
    modifiedSeconds: entry.modifiedSeconds,
  });
  if (records.length === 0) return header;
  const body = Buffer.from(records.join(""));
  const paxHeader = plainHeader({
    name: Buffer.from("pax"),
    target: Buffer.alloc(0),
    type: "x",
    mode: 0o644,
    sizeBytes: body.length,
    modifiedSeconds: 0,
  });
  return Buffer.concat([paxHeader, body, Buffer.alloc(padding(body.length)), header]);
}

export function padding(sizeBytes: number): number {
  return (blockBytes - (sizeBytes % blockBytes)) % blockBytes;
}

interface PlainHeader {
  name: Buffer;
  target: Buffer;
  type: string;
  mode: number;
  sizeBytes: number;
  modifiedSeconds: number;
}

function plainHeader(header: PlainHeader): Buffer {
  const block = Buffer.alloc(blockBytes);
  header.name.copy(block, 0, 0, 100);
  block.write(octalText(header.mode & 0o7777, 7), 100);
  block.write(octalText(0, 7), 108);
  block.write(octalText(0, 7), 116);
  block.write(octalText(header.sizeBytes, 11), 124);
  block.write(octalText(Math.max(0, Math.min(Math.floor(header.modifiedSeconds), 8 ** 11 - 1)), 11), 136);
  block.write("        ", 148);
  block.write(header.type, 156);
  header.target.copy(block, 157, 0, 100);
  block.write("ustar\x0000", 257, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${octalText(sum, 6)}\0 `, 148, "latin1");
  return block;
}

function octalText(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}

function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + 1;
  while (rest + String(length).length !== length) length += 1;
  return `${length} ${key}=${value}\n`;
}

function isUstar(block: Uint8Array): boolean {
  return ascii(block, 257, 262) === "ustar";
}

function octal(block: Uint8Array, field: { at: number; length: number; what: string }): number {
  const { at, length, what } = field;
  // The base-256 form is for sizes beyond 8 GiB and negative times: nothing we take is like that.
  if (((block[at] as number) & 0x80) !== 0) throw new TarError("too_large", `The archive has an entry whose ${what} is out of range`);
  const digits = ascii(block, at, at + length)
    .replace(/[\0 ]+$/, "")
    .trimStart();
  if (digits === "") return 0;
  if (!/^[0-7]+$/.test(digits)) throw new TarError("malformed", `The archive has an entry whose ${what} is no number`);
  return Number.parseInt(digits, 8);
}

function text(block: Uint8Array, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return decode(end < 0 ? field : field.subarray(0, end));
}

function ascii(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString("latin1");
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw Object.assign(new TarError("malformed", "The archive has a name that is not UTF-8"), { cause });
  }
}
