import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeBytes, encodeMessage, type Frame, FrameDecoder, frameBytesMax, FrameError, guestMessage, hostMessage } from "./index.ts";

const plain = (frames: Frame[]) =>
  frames.map((frame) => (frame.kind === "message" ? frame : { ...frame, data: Buffer.from(frame.data).toString("hex") }));

const anyFrame = fc.oneof(
  fc
    .jsonValue()
    .map((message): [Uint8Array, unknown] => [encodeMessage(message), { kind: "message", message: JSON.parse(JSON.stringify(message)) }]),
  fc
    .record({
      stream: fc.integer({ min: 0, max: 0xffff_ffff }),
      offset: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 1000 }),
      data: fc.uint8Array({ maxLength: 900 }),
    })
    .map(({ stream, offset, data }): [Uint8Array, unknown] => [
      encodeBytes(stream, offset, data),
      { kind: "bytes", stream, offset, data: Buffer.from(data).toString("hex") },
    ]),
);

/** Feeds bytes in the given cuts until they are used up or the decoder fails. */
function decode(bytes: Uint8Array, cuts: readonly number[], decoder = new FrameDecoder()): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const length = Math.max(1, cuts[turn % cuts.length] ?? 1);
    frames.push(...decoder.push(bytes.subarray(at, at + length)));
    at += length;
  }
  return frames;
}

describe("FrameDecoder", () => {
  test("gives back what was encoded, however it is cut", () => {
    const property = fc.property(
      fc.array(anyFrame, { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }),
      (list, cuts) => {
        const bytes = Buffer.concat(list.map(([encoded]) => encoded));
        expect(plain(decode(bytes, cuts))).toEqual(list.map(([, expected]) => expected));
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  test("answers arbitrary bytes with frames or a FrameError, and stays dead after one", () => {
    const property = fc.property(
      fc.uint8Array({ maxLength: 400 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
      (bytes, cuts) => {
        const decoder = new FrameDecoder();
        try {
          decode(bytes, cuts, decoder);
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError);
          expect(() => decoder.push(encodeMessage({}))).toThrow(FrameError);
        }
        expect(decoder.pending).toBeLessThanOrEqual(bytes.length);
      },
    );
    fc.assert(property, { numRuns: 1000 });
  });

  test("refuses every length outside of its limit before any byte of the body", () => {
    const property = fc.property(fc.oneof(fc.constant(0), fc.integer({ min: frameBytesMax + 1, max: 0xffff_ffff })), (length) => {
      const header = Buffer.alloc(4);
      header.writeUInt32BE(length);
      expect(() => new FrameDecoder().push(header)).toThrow(FrameError);
    });
    fc.assert(property, { numRuns: 200 });
  });

  test("refuses every kind but two, and bytes frames shorter than their header", () => {
    for (let kind = 2; kind < 256; kind += 1) expect(() => new FrameDecoder().push(Uint8Array.of(0, 0, 0, 2, kind, 0))).toThrow(FrameError);
    for (let length = 1; length < 13; length += 1) {
      const frame = new Uint8Array(4 + length);
      frame.set([0, 0, 0, length, 1]);
      expect(() => new FrameDecoder().push(frame)).toThrow(FrameError);
    }
  });

  test("refuses offsets that no number can count to, and text that is not UTF-8 or not JSON", () => {
    const far = Buffer.from(encodeBytes(1, 0, Uint8Array.of(1)));
    far.fill(0xff, 9, 17);
    expect(() => new FrameDecoder().push(far)).toThrow("too large");
    expect(() => new FrameDecoder().push(Uint8Array.of(0, 0, 0, 3, 0, 0x22, 0xff))).toThrow(FrameError);
    expect(() => new FrameDecoder().push(Uint8Array.of(0, 0, 0, 2, 0, 0x7b))).toThrow(FrameError);
  });

  test("allocates with what arrives, not with what a header promises", () => {
    const decoders = Array.from({ length: 2000 }, () => new FrameDecoder());
    const before = process.memoryUsage().arrayBuffers;
    const header = Buffer.alloc(5);
    header.writeUInt32BE(frameBytesMax);
    for (const decoder of decoders) decoder.push(header);
    // 2000 promises of 1.1 MB; the first buffer of each has 64 KiB.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200_000_000);
    expect(decoders.every((decoder) => decoder.pending === 5)).toBe(true);
  });

  test("does linear work on a frame that comes byte by byte", () => {
    const bytes = encodeMessage("x".repeat(1_000_000));
    const decoder = new FrameDecoder();
    const frames: Frame[] = [];
    const startedAt = performance.now();
    for (let at = 0; at < bytes.length; at += 1) frames.push(...decoder.push(bytes.subarray(at, at + 1)));
    expect(frames).toHaveLength(1);
    // Quadratic work would take minutes.
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});

describe("encodeMessage()", () => {
  test("refuses what the other side would refuse", () => {
    expect(() => encodeMessage("x".repeat(frameBytesMax))).toThrow(FrameError);
    expect(() => encodeBytes(1, 0, new Uint8Array(2_000_000))).toThrow(FrameError);
  });
});

describe("messages", () => {
  const schemas = [hostMessage, guestMessage];
  const types = schemas.flatMap((schema) => schema.options.map((option) => [...option.shape.type.values][0] as string));

  test("of every type with arbitrary members are judged without an exception", () => {
    const member = fc.oneof(
      fc.jsonValue(),
      fc.string(),
      fc.double(),
      fc.bigInt().map(String),
      fc.constant("\0"),
      fc.constant("x".repeat(70_000)),
    );
    const names = fc.constantFrom(
      "id",
      "stream",
      "offset",
      "length",
      "path",
      "operation",
      "call",
      "callId",
      "run",
      "state",
      "result",
      "outcome",
      "kind",
    );
    const property = fc.property(
      fc.constantFrom(...types),
      fc.dictionary(fc.oneof(names, fc.string()), member, { maxKeys: 8 }),
      (type, members) => {
        for (const schema of schemas) expect(typeof schema.safeParse({ ...members, type }).success).toBe("boolean");
      },
    );
    fc.assert(property, { numRuns: 500 });
  });

  test("keep their bounds", () => {
    const base = {
      type: "run.ended",
      attemptId: "a",
      reason: "returned",
      exitCode: 0,
      signal: null,
      activeMs: 0,
      streams: { stdout: 0, stderr: 0, logger: 0 },
      usage: {},
    };
    expect(guestMessage.safeParse(base).success).toBe(true);
    expect(guestMessage.safeParse({ ...base, output: { json: "x".repeat(300_001) } }).success).toBe(false);
    expect(guestMessage.safeParse({ ...base, message: "x".repeat(65_537) }).success).toBe(false);
    expect(guestMessage.safeParse({ ...base, reason: "won" }).success).toBe(false);
    expect(guestMessage.safeParse({ type: "stream.ack", stream: 1, offset: -1 }).success).toBe(false);
    expect(guestMessage.safeParse({ type: "stream.ack", stream: 0, offset: 1 }).success).toBe(false);
    expect(guestMessage.safeParse({ type: "hello", protocol: 2, supervisor: "", bootId: "", state: {} }).success).toBe(false);
  });
});
