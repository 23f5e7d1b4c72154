/**
 * DNS messages, as much of them as a resolver between a guest and a name server needs (RFC 1035, EDNS: RFC 6891, errors: RFC 8914).
 *
 * Our own codec rather than a library's, because guest, policy and name server must see the same name: a general decoder turns labels into
 * text in ways that make two names one (a dot or broken UTF-8 inside a label), and decodes every record of a message that we pass on unread.
 * Tests hold it against dns-packet. Nothing here allocates by a count that stands in a message; compression pointers must lead backwards.
 */
import { addressBytes, addressFromBytes } from "./ip-address.ts";
import type { IpAddress } from "./ip-address.ts";
import { nameFromLabels } from "./host-name.ts";
import { networkLimits } from "./limits.ts";

export const recordTypes = { a: 1, ns: 2, cname: 5, soa: 6, ptr: 12, aaaa: 28, opt: 41 } as const;
export const responseCodes = {
  ok: 0,
  formatError: 1,
  serverFailure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;
/** Extended errors: why an answer is not what a name server would have said. */
export const extendedErrors = { blocked: 15, filtered: 17, prohibited: 18, noReachableAuthority: 22, networkError: 23 } as const;

const headerBytes = 12;
const classInternet = 1;
const flag = { response: 0x8000, truncated: 0x0200, recursionDesired: 0x0100, recursionAvailable: 0x0080 } as const;
const nameBytesMax = 255;

export interface Question {
  id: number;
  recursionDesired: boolean;
  /** Lower case, without the last dot; `undefined` when it is no name that we look up. */
  name: string | undefined;
  type: number;
  /** Name, type and class as they came: an answer repeats them. */
  bytes: Buffer;
  edns: boolean;
}

export type ParsedQuestion =
  | { status: "ok"; question: Question }
  /** Answer with this code; `question` as far as it could be read. */
  | { status: "refuse"; code: number; question: Question }
  /** Not even an answer is due: too short, or an answer itself. */
  | { status: "drop" };

export function parseQuestion(message: Buffer): ParsedQuestion {
  if (message.length < headerBytes || message.readUInt16BE(2) & flag.response) return { status: "drop" };
  const flags = message.readUInt16BE(2);
  const blank: Question = {
    id: message.readUInt16BE(0),
    recursionDesired: (flags & flag.recursionDesired) !== 0,
    name: undefined,
    type: 0,
    bytes: Buffer.alloc(0),
    edns: false,
  };
  const refuse = (code: number, question = blank): ParsedQuestion => ({ status: "refuse", code, question });
  if ((flags & 0x7800) !== 0) return refuse(responseCodes.notImplemented);
  if (flags & flag.truncated || count(message, 0) !== 1 || count(message, 1) !== 0 || count(message, 2) !== 0)
    return refuse(responseCodes.formatError);
  const labels = readPlainName(message, headerBytes);
  if (!labels || labels.end + 4 > message.length) return refuse(responseCodes.formatError);
  const end = labels.end + 4;
  const question = { ...blank, bytes: Buffer.from(message.subarray(headerBytes, end)), type: message.readUInt16BE(labels.end) };
  const edns = readEdns(message, end);
  if (edns === "bad") return refuse(responseCodes.formatError, question);
  question.edns = edns !== "absent";
  if (edns === "unknown_version") return refuse(responseCodes.badVersion, question);
  if (message.readUInt16BE(labels.end + 2) !== classInternet) return refuse(responseCodes.refused, question);
  return { status: "ok", question: { ...question, name: nameFromLabels(labels.labels) } };
}

/** Questions, answers, authorities, additional records: the counts of a header. */
function count(message: Buffer, section: 0 | 1 | 2 | 3): number {
  return message.readUInt16BE(4 + 2 * section);
}

/** A name without compression, as a question has it. */
function readPlainName(message: Buffer, start: number): { labels: Buffer[]; end: number } | undefined {
  const labels: Buffer[] = [];
  let at = start;
  while (at < message.length) {
    const length = message[at] ?? 0;
    if (length === 0) return { labels, end: at + 1 };
    if (length > 63 || at + 1 + length >= message.length || at + 2 + length - start > nameBytesMax) return undefined;
    labels.push(message.subarray(at + 1, at + 1 + length));
    at += 1 + length;
  }
  return undefined;
}

/** The one additional record that a question may have. */
function readEdns(message: Buffer, start: number): "absent" | "present" | "unknown_version" | "bad" {
  const records = count(message, 3);
  if (records === 0) return start === message.length ? "absent" : "bad";
  if (records !== 1 || start + 11 > message.length || message[start] !== 0 || message.readUInt16BE(start + 1) !== recordTypes.opt)
    return "bad";
  if (start + 11 + message.readUInt16BE(start + 9) !== message.length) return "bad";
  return message[start + 6] === 0 ? "present" : "unknown_version";
}

export interface Answer {
  code: number;
  addresses?: readonly IpAddress[];
  ttl?: number;
  /** Sections of a name server's message that are passed on, behind its question. */
  passed?: { counts: readonly [number, number]; bytes: Buffer };
  extendedError?: { code: number; text: string };
}

/** The guest's answer. Longer than `bytesMax`, it becomes the truncated one, which sends the asker to TCP. */
export function encodeAnswer(question: Question, answer: Answer, bytesMax: number): Buffer {
  const records = answer.passed?.bytes ?? encodeAddresses(answer.addresses ?? [], answer.ttl ?? 0);
  const counts = answer.passed?.counts ?? [answer.addresses?.length ?? 0, 0];
  const edns = question.edns ? encodeEdns(answer) : Buffer.alloc(0);
  const whole = Buffer.concat([encodeHeader(question, answer.code, { counts, truncated: false }), question.bytes, records, edns]);
  if (whole.length <= bytesMax) return whole;
  return Buffer.concat([encodeHeader(question, answer.code, { counts: [0, 0], truncated: true }), question.bytes, edns]);
}

function encodeHeader(question: Question, code: number, options: { counts: readonly [number, number]; truncated: boolean }): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(question.id, 0);
  const desired = question.recursionDesired ? flag.recursionDesired : 0;
  const truncated = options.truncated ? flag.truncated : 0;
  header.writeUInt16BE(flag.response | desired | truncated | flag.recursionAvailable | (code & 15), 2);
  header.writeUInt16BE(question.bytes.length > 0 ? 1 : 0, 4);
  header.writeUInt16BE(options.counts[0], 6);
  header.writeUInt16BE(options.counts[1], 8);
  header.writeUInt16BE(question.edns ? 1 : 0, 10);
  return header;
}

/** Records of the question's own name, which a pointer to byte 12 names. */
function encodeAddresses(addresses: readonly IpAddress[], ttl: number): Buffer {
  return Buffer.concat(
    addresses.map((address) => {
      const data = addressBytes(address);
      const record = Buffer.alloc(12 + data.length);
      record.writeUInt16BE(0xc000 | headerBytes, 0);
      record.writeUInt16BE(address.family === 4 ? recordTypes.a : recordTypes.aaaa, 2);
      record.writeUInt16BE(classInternet, 4);
      record.writeUInt32BE(ttl, 6);
      record.writeUInt16BE(data.length, 10);
      data.copy(record, 12);
      return record;
    }),
  );
}

function encodeEdns(answer: Answer): Buffer {
  const text = answer.extendedError ? Buffer.from(answer.extendedError.text) : null;
  const record = Buffer.alloc(11 + (text ? 6 + text.length : 0));
  record.writeUInt16BE(recordTypes.opt, 1);
  record.writeUInt16BE(networkLimits.dnsUpstreamUdpBytes, 3);
  record.writeUInt8(answer.code >> 4, 5);
  if (text && answer.extendedError) {
    record.writeUInt16BE(6 + text.length, 9);
    record.writeUInt16BE(15, 11);
    record.writeUInt16BE(2 + text.length, 13);
    record.writeUInt16BE(answer.extendedError.code, 15);
    text.copy(record, 17);
  }
  return record;
}

/** A question of our own, with room for answers of a common packet size. */
export function encodeQuery(id: number, name: string, type: number): Buffer {
  const labels = name === "" ? [] : name.split(".");
  const parts = labels.flatMap((label) => [Buffer.of(label.length), Buffer.from(label, "latin1")]);
  const tail = Buffer.alloc(5);
  tail.writeUInt16BE(type, 1);
  tail.writeUInt16BE(classInternet, 3);
  const question: Question = { id, recursionDesired: true, name, type, bytes: Buffer.concat([...parts, tail]), edns: true };
  const header = encodeHeader(question, 0, { counts: [0, 0], truncated: false });
  header.writeUInt16BE(flag.recursionDesired, 2);
  return Buffer.concat([header, question.bytes, encodeEdns({ code: 0 })]);
}

export interface ServerAnswer {
  code: number;
  truncated: boolean;
  /** Of the asked name, directly or over CNAMEs. */
  addresses: IpAddress[];
  /** Seconds that the answer (or that there is none) may be kept. */
  ttl: number;
  /** Answer and authority sections, times to live bounded; the asked question has the same length as ours. */
  passed: { counts: readonly [number, number]; bytes: Buffer };
}

/** `undefined`: not an answer to this query, or broken. */
export function parseServerAnswer(message: Buffer, query: Buffer): ServerAnswer | undefined {
  const questionEnd = headerBytes + questionBytes(query);
  if (message.length < questionEnd || message.readUInt16BE(0) !== query.readUInt16BE(0)) return undefined;
  const flags = message.readUInt16BE(2);
  if (!(flags & flag.response) || (flags & 0x7800) !== 0 || count(message, 0) !== 1) return undefined;
  const asked = query.subarray(headerBytes, questionEnd).toString("latin1").toLowerCase();
  if (message.subarray(headerBytes, questionEnd).toString("latin1").toLowerCase() !== asked) return undefined;
  const truncated = (flags & flag.truncated) !== 0;
  const records = readRecords(message, questionEnd);
  // What is left of a truncated message may end anywhere.
  if (!records) return truncated ? { code: flags & 15, truncated, addresses: [], ttl: 0, passed: nothing } : undefined;
  const type = query.readUInt16BE(questionEnd - 4);
  const end = records.list.at(-1)?.end ?? questionEnd;
  const passed = Buffer.from(message.subarray(questionEnd, end));
  for (const record of records.list) passed.writeUInt32BE(Math.min(record.ttl, networkLimits.dnsTtlSecondsMax), record.ttlAt - questionEnd);
  const answers = records.list.slice(0, records.answers);
  return {
    code: flags & 15,
    truncated,
    addresses: addressesOf(asked, type, answers),
    ttl: answers.length > 0 ? boundTtl(Math.min(...answers.map((record) => record.ttl))) : negativeTtl(records.list),
    passed: { counts: [records.answers, records.list.length - records.answers], bytes: passed },
  };
}

const nothing = { counts: [0, 0], bytes: Buffer.alloc(0) } as const;

function questionBytes(query: Buffer): number {
  return (readPlainName(query, headerBytes)?.end ?? query.length) + 4 - headerBytes;
}

interface ResourceRecord {
  /** Lower-case wire form without compression. */
  owner: string;
  type: number;
  ttl: number;
  ttlAt: number;
  data: Buffer;
  /** For CNAME. */
  target: string | undefined;
  soaMinimum: number | undefined;
  end: number;
}

/** Answer and authority records; `undefined` when the message does not hold what its counts say. */
function readRecords(message: Buffer, start: number): { list: ResourceRecord[]; answers: number } | undefined {
  const answers = count(message, 1);
  const total = answers + count(message, 2);
  const list: ResourceRecord[] = [];
  let at = start;
  for (let left = total; left > 0; left -= 1) {
    const owner = readName(message, at);
    if (!owner || owner.end + 10 > message.length) return undefined;
    const dataAt = owner.end + 10;
    const end = dataAt + message.readUInt16BE(owner.end + 8);
    if (end > message.length) return undefined;
    const type = message.readUInt16BE(owner.end);
    const internet = message.readUInt16BE(owner.end + 2) === classInternet;
    const ttl = message.readUInt32BE(owner.end + 4);
    list.push({
      owner: owner.wire,
      type: internet ? type : 0,
      // Beyond 31 bits it counts as 0 (RFC 2181).
      ttl: ttl > 0x7fff_ffff ? 0 : ttl,
      ttlAt: owner.end + 4,
      data: message.subarray(dataAt, end),
      target: type === recordTypes.cname ? readName(message, dataAt)?.wire : undefined,
      soaMinimum: type === recordTypes.soa && end - dataAt >= 22 ? message.readUInt32BE(end - 4) : undefined,
      end,
    });
    at = end;
  }
  return { list, answers };
}

/** Follows pointers, each of which must lead before the place where the name (or the last jump) began. */
function readName(message: Buffer, start: number): { wire: string; end: number } | undefined {
  const labels: string[] = [];
  let bytes = 1;
  let at = start;
  let bound = start;
  let end: number | undefined;
  for (;;) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return { wire: `${labels.join("")}\0`, end: end ?? at + 1 };
    if (length < 64) {
      bytes += 1 + length;
      if (bytes > nameBytesMax || at + 1 + length > message.length) return undefined;
      labels.push(message.toString("latin1", at, at + 1 + length).toLowerCase());
      at += 1 + length;
    } else {
      const low = message[at + 1];
      if (length < 0xc0 || low === undefined) return undefined;
      const target = ((length & 0x3f) << 8) | low;
      if (target >= bound) return undefined;
      end ??= at + 2;
      at = target;
      bound = target;
    }
  }
}

/** Only what belongs to the asked name: addresses that merely came along in the message are nobody's. */
function addressesOf(asked: string, type: number, answers: readonly ResourceRecord[]): IpAddress[] {
  if (type !== recordTypes.a && type !== recordTypes.aaaa) return [];
  const length = type === recordTypes.a ? 4 : 16;
  let name = asked.slice(0, -4);
  for (let hops = 0; hops <= 16; hops += 1) {
    const found = answers.filter((record) => record.owner === name && record.type === type && record.data.length === length);
    if (found.length > 0) return found.slice(0, networkLimits.dnsAddressesPerName).map((record) => addressFromBytes(record.data));
    const alias = answers.find((record) => record.owner === name && record.target !== undefined);
    if (alias?.target === undefined) return [];
    name = alias.target;
  }
  return [];
}

function boundTtl(seconds: number): number {
  return Math.min(Math.max(seconds, networkLimits.dnsTtlSecondsMin), networkLimits.dnsTtlSecondsMax);
}

/** RFC 2308: the lesser of the SOA's own time and its minimum. */
function negativeTtl(records: readonly ResourceRecord[]): number {
  const soa = records.find((record) => record.soaMinimum !== undefined);
  const seconds = soa ? Math.min(soa.ttl, soa.soaMinimum ?? 0) : networkLimits.dnsNegativeTtlSeconds;
  return Math.min(Math.max(seconds, networkLimits.dnsTtlSecondsMin), networkLimits.dnsNegativeTtlSecondsMax);
}
