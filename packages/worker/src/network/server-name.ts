/**
 * Reads the server name that a TLS connection asks for, from its first bytes.
 *
 * Used only to take away: a connection that passed because of a name, and only if it begins as TLS. Addresses of large hosters serve
 * thousands of names, so without it a rule for one of them would open all. It is no wall by itself: a protocol that is not TLS, an
 * encrypted client hello, or a server that looks at the inner Host header instead can still be asked for another name, on the addresses of
 * the names that are allowed. A connection without a server name is refused, because every client that was given a name sends it.
 *
 * The message may be split over records and reads at any byte; at most `clientHelloBytes` are looked at.
 */
import { networkLimits } from "./limits.ts";

export type ServerName = { status: "more" } | { status: "not_tls" } | { status: "none" } | { status: "name"; name: string };

const handshakeRecord = 22;
const clientHello = 1;
const serverNameExtension = 0;
const recordHeaderBytes = 5;
const recordBytesMax = 16_384;

export function readServerName(bytes: Buffer): ServerName {
  if (bytes[0] !== undefined && bytes[0] !== handshakeRecord) return { status: "not_tls" };
  if (bytes[1] !== undefined && bytes[1] !== 3) return { status: "not_tls" };
  const { handshake, broken } = joinRecords(bytes);
  if (handshake[0] !== undefined && handshake[0] !== clientHello) return { status: "none" };
  const complete = handshake.length >= 4 && handshake.length >= 4 + handshake.readUIntBE(1, 3);
  if (complete) return nameIn(handshake.subarray(4, 4 + handshake.readUIntBE(1, 3)));
  return broken || bytes.length >= networkLimits.clientHelloBytes ? { status: "none" } : { status: "more" };
}

/** The handshake bytes of all records up to the first that is not one of a handshake, as early data is. */
function joinRecords(bytes: Buffer): { handshake: Buffer; broken: boolean } {
  const parts: Buffer[] = [];
  let at = 0;
  while (bytes.length - at >= recordHeaderBytes) {
    const length = bytes.readUInt16BE(at + 3);
    const broken = bytes[at] !== handshakeRecord || bytes[at + 1] !== 3 || length === 0 || length > recordBytesMax;
    if (broken) return { handshake: Buffer.concat(parts), broken };
    parts.push(bytes.subarray(at + recordHeaderBytes, at + recordHeaderBytes + length));
    at += recordHeaderBytes + length;
  }
  return { handshake: Buffer.concat(parts), broken: false };
}

function nameIn(hello: Buffer): ServerName {
  // version, random; then session id, cipher suites and compression methods, each with its length before it
  let at = 34;
  at = skip(hello, at, 1);
  at = skip(hello, at, 2);
  at = skip(hello, at, 1);
  const end = skip(hello, at, 2);
  if (end > hello.length) return { status: "none" };
  at += 2;
  while (at + 4 <= end) {
    const type = hello.readUInt16BE(at);
    const next = at + 4 + hello.readUInt16BE(at + 2);
    if (next > end) break;
    if (type === serverNameExtension) return nameInExtension(hello.subarray(at + 4, next));
    at = next;
  }
  return { status: "none" };
}

/** Where a field ends whose length stands before it; beyond the end of the message when it does not fit. */
function skip(message: Buffer, at: number, lengthBytes: 1 | 2): number {
  if (at + lengthBytes > message.length) return message.length + 1;
  return at + lengthBytes + message.readUIntBE(at, lengthBytes);
}

function nameInExtension(extension: Buffer): ServerName {
  // One list with one entry of type 0 is all that is in use (RFC 6066).
  if (extension.length < 5 || extension[2] !== 0) return { status: "none" };
  const length = extension.readUInt16BE(3);
  if (length === 0 || 5 + length !== extension.length || extension.readUInt16BE(0) + 2 !== extension.length) return { status: "none" };
  const name = extension.toString("latin1", 5).toLowerCase();
  return { status: "name", name: name.endsWith(".") ? name.slice(0, -1) : name };
}
