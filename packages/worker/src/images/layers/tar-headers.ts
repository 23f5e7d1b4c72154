/** Header blocks of a layer: ustar, GNU and pax, all of it hostile until it was checked. Names stay bytes (latin1). */
import { ImageError } from "../image-error.ts";

export const blockBytes = 512;

export interface TarHeader {
  type: string;
  path: string;
  linkTarget: string;
  mode: number;
  uid: number;
  gid: number;
  sizeBytes: number;
  mtimeSeconds: number;
}

export function malformed(message: string): ImageError {
  return new ImageError("layer_malformed", `A layer of the image cannot be read: ${message}`);
}

export function parseHeader(block: Buffer): TarHeader {
  const stored = numberField(block, 148, 8);
  let sum = 8 * 32;
  for (let index = 0; index < blockBytes; index += 1) if (index < 148 || index >= 156) sum += block[index] as number;
  if (sum !== stored) throw malformed("a header has a wrong checksum");
  const isPosix = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isPosix ? textField(block, 345, 155) : "";
  const name = textField(block, 0, 100);
  const type = String.fromCharCode(block[156] as number);
  return {
    type: type === "\0" || type === "7" ? "0" : type,
    path: prefix === "" ? name : `${prefix}/${name}`,
    linkTarget: textField(block, 157, 100),
    mode: numberField(block, 100, 8) & 0o7777,
    uid: idOf(numberField(block, 108, 8)),
    gid: idOf(numberField(block, 116, 8)),
    sizeBytes: sizeOf(numberField(block, 124, 12)),
    mtimeSeconds: numberField(block, 136, 12),
  };
}

/** `LENGTH KEY=VALUE\n`, LENGTH in bytes of the whole record. */
export function parsePax(body: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  let at = 0;
  while (at < body.length && body[at] !== 0) {
    const blank = body.indexOf(32, at);
    const digits = blank < 0 ? "" : body.toString("latin1", at, blank);
    const length = /^\d{1,9}$/.test(digits) ? Number(digits) : Number.NaN;
    const end = at + length;
    if (!(length > digits.length + 2) || end > body.length || body[end - 1] !== 10) throw malformed("a pax header has a broken record");
    const equals = body.indexOf(61, blank + 1);
    if (equals < 0 || equals >= end) throw malformed("a pax record has no value");
    records.set(body.toString("latin1", blank + 1, equals), body.toString("latin1", equals + 1, end - 1));
    at = end;
  }
  return records;
}

export function longName(body: Buffer): string {
  const end = body.indexOf(0);
  return body.toString("latin1", 0, end < 0 ? body.length : end);
}

export function idOf(value: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32 - 1) throw malformed(`an owner is ${value}, which is no user or group`);
  return value;
}

export function sizeOf(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw malformed(`a size is ${value}`);
  return value;
}

/** Octal text, or base 256 with the first bit set (and negative then when the second one is). */
function numberField(block: Buffer, at: number, length: number): number {
  const first = block[at] as number;
  if ((first & 0x80) !== 0) {
    let value = BigInt(first & 0x7f);
    for (let index = 1; index < length; index += 1) value = (value << 8n) | BigInt(block[at + index] as number);
    if ((first & 0x40) !== 0) value -= 1n << BigInt(8 * length - 1);
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw malformed("a number in a header is out of range");
    return number;
  }
  const digits = block
    .toString("latin1", at, at + length)
    .replace(/[\0 ]+$/, "")
    .trimStart();
  if (digits === "") return 0;
  if (!/^[0-7]+$/.test(digits)) throw malformed("a number in a header has other characters than octal digits");
  return Number.parseInt(digits, 8);
}

function textField(block: Buffer, at: number, length: number): string {
  const end = block.indexOf(0, at);
  return block.toString("latin1", at, end < 0 || end > at + length ? at + length : end);
}
