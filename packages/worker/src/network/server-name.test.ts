import { Duplex } from "node:stream";
import { connect } from "node:tls";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { networkLimits } from "./limits.ts";
import { readServerName } from "./server-name.ts";

/** The first bytes that Node's TLS client sends. */
async function helloOf(servername: string): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      resolve(Buffer.from(chunk));
      done();
    },
  });
  const socket = connect({ socket: wire, servername });
  socket.on("error", () => {});
  const hello = await promise;
  socket.destroy();
  return hello;
}

/** The same handshake message in records of the given size. */
function split(hello: Buffer, bytes: number): Buffer {
  const message = hello.subarray(5);
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += bytes) {
    const piece = message.subarray(at, at + bytes);
    const header = Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 255]);
    parts.push(header, piece);
  }
  return Buffer.concat(parts);
}

let hello: Buffer;
let nameless: Buffer;
beforeAll(async () => {
  hello = await helloOf("API.example.com");
  nameless = await helloOf("");
});

describe("readServerName()", () => {
  test("finds the name in a real client hello, or that there is none", () => {
    expect(readServerName(hello)).toEqual({ status: "name", name: "api.example.com" });
    expect(readServerName(nameless)).toEqual({ status: "none" });
    expect(readServerName(Buffer.concat([hello, Buffer.from("early data")]))).toEqual({ status: "name", name: "api.example.com" });
  });

  test("waits for more at every byte before the end", () => {
    for (let length = 0; length < hello.length; length += 1) expect(readServerName(hello.subarray(0, length))).toEqual({ status: "more" });
  });

  test("finds it in records of any size", () => {
    for (const bytes of [1, 3, 7, 64, 300])
      expect(readServerName(split(hello, bytes))).toEqual({ status: "name", name: "api.example.com" });
  });

  test("leaves other protocols alone", () => {
    for (const text of ["GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "\x16\x02", "\0"])
      expect(readServerName(Buffer.from(text, "latin1"))).toEqual({ status: "not_tls" });
  });

  test("takes a broken hello, and one that never ends, for one without a name", () => {
    const wrongType = Buffer.from(hello);
    wrongType[5] = 2;
    expect(readServerName(wrongType)).toEqual({ status: "none" });
    const endless = split(
      Buffer.concat([Buffer.alloc(5), Buffer.from("01ffffff", "hex"), Buffer.alloc(networkLimits.clientHelloBytes)]),
      1_000,
    );
    expect(readServerName(endless)).toEqual({ status: "none" });
    expect(readServerName(Buffer.from("16030100000000", "hex"))).toEqual({ status: "none" });
  });

  test("two names in one extension, or one that does not fill it, are none", () => {
    const at = hello.indexOf("API.example.com") - 5;
    for (const [offset, byte] of [
      [0, 0xff],
      [1, 0],
      [2, 1],
      [4, 3],
    ] as const) {
      const copy = Buffer.from(hello);
      copy[at + offset] = byte;
      expect(readServerName(copy)).toEqual({ status: "none" });
    }
  });

  test("never throws, and never makes a name out of damage outside the name", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { maxLength: 4 }), fc.nat(hello.length), (changes, length) => {
        const copy = Buffer.from(hello.subarray(0, length));
        for (const [at, byte] of changes) if (at < length) copy[at] = byte;
        expect(["more", "none", "name", "not_tls"]).toContain(readServerName(copy).status);
      }),
      { numRuns: 3_000 },
    );
  });
});
