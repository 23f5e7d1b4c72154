/** Internet addresses and ranges as numbers. One address has one form here: IPv4 in IPv6 clothes (::ffff:a.b.c.d) is IPv4. */
import { isIP } from "node:net";
import { assert } from "../assert.ts";

export interface IpAddress {
  family: 4 | 6;
  value: bigint;
  /** Canonical text: what two spellings of one address share. */
  text: string;
}

export interface IpRange {
  family: 4 | 6;
  first: bigint;
  last: bigint;
  prefix: number;
  text: string;
}

const bits = { 4: 32n, 6: 128n } as const;
const mappedPrefix = 0xffffn;

export function addressFromBytes(bytes: Uint8Array): IpAddress {
  assert(bytes.length === 4 || bytes.length === 16, `An address has 4 or 16 bytes, not ${bytes.length}`);
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return makeAddress(bytes.length === 4 ? 4 : 6, value);
}

export function makeAddress(family: 4 | 6, value: bigint): IpAddress {
  if (family === 6 && value >> 32n === mappedPrefix) return makeAddress(4, value & 0xffff_ffffn);
  return { family, value, text: family === 4 ? formatIpv4(value) : formatIpv6(value) };
}

/** `undefined` when the text is no address. Zones (`fe80::1%eth0`) are not addresses here. */
export function parseAddress(text: string): IpAddress | undefined {
  const family = text.includes("%") ? 0 : isIP(text);
  if (family === 0) return undefined;
  return family === 4 ? makeAddress(4, ipv4Value(text)) : makeAddress(6, ipv6Value(text));
}

/** The bytes of an address for a DNS record. */
export function addressBytes(address: IpAddress): Buffer {
  const bytes = Buffer.alloc(address.family === 4 ? 4 : 16);
  let rest = address.value;
  for (let at = bytes.length - 1; at >= 0; at -= 1) {
    bytes[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/** `address/prefix`, or one address. Bits behind the prefix are ignored (`hasHostBits` tells). */
export function parseRange(text: string): IpRange | undefined {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text);
  if (!match?.[1]) return undefined;
  const given = match[1].includes("%") ? 0 : isIP(match[1]);
  const address = parseAddress(match[1]);
  if (given === 0 || !address) return undefined;
  const width = given === 4 ? 32 : 128;
  const prefix = match[2] === undefined ? width : Number(match[2]);
  if (prefix > width) return undefined;
  if (given === address.family) return makeRange(address, prefix);
  // ::ffff:10.0.0.0/104 is 10.0.0.0/8. A shorter prefix holds more than IPv4 and stays what it is.
  return prefix >= 96
    ? makeRange(address, prefix - 96)
    : makeRange({ family: 6, value: (mappedPrefix << 32n) | address.value, text: "" }, prefix);
}

function makeRange(address: IpAddress, prefix: number): IpRange {
  const free = bits[address.family] - BigInt(prefix);
  const first = (address.value >> free) << free;
  const text = `${address.family === 4 ? formatIpv4(first) : formatIpv6(first)}/${prefix}`;
  return { family: address.family, first, last: first + (1n << free) - 1n, prefix, text };
}

/** For tables in code. */
export function range(text: string): IpRange {
  const parsed = parseRange(text);
  assert(parsed, `"${text}" is no range`);
  return parsed;
}

export function contains(range: IpRange, address: IpAddress): boolean {
  return range.family === address.family && address.value >= range.first && address.value <= range.last;
}

export function isSingleAddress(range: IpRange): boolean {
  return range.first === range.last;
}

/** Whether the text of a range names an address inside it rather than its first: `10.1.2.3/8`. */
export function hasHostBits(text: string, range: IpRange): boolean {
  const address = parseAddress(text.split("/")[0] ?? "");
  return address !== undefined && address.family === range.family && address.value !== range.first;
}

function ipv4Value(text: string): bigint {
  return text.split(".").reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}

function ipv6Value(text: string): bigint {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  let groups = text;
  if (dotted?.[1] && dotted[2]) {
    const value = ipv4Value(dotted[2]);
    groups = `${dotted[1]}${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
  }
  const [head = "", tail] = groups.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const gap = tail === undefined ? 0 : 8 - left.length - right.length;
  const all = [...left, ...Array.from({ length: gap }, () => "0"), ...right];
  return all.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

function formatIpv4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 0xffn)).join(".");
}

/** RFC 5952: the longest run of at least two zero groups is left out. */
function formatIpv6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) => Number((value >> BigInt(112 - 16 * index)) & 0xffffn));
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start += 1) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.start < 0) return hex.join(":");
  return `${hex.slice(0, best.start).join(":")}::${hex.slice(best.start + best.length).join(":")}`;
}
