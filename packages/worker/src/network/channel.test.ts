import type { Duplex } from "node:stream";
import { networkConnectionsMax, networkDataBytesMax, networkKinds, networkSyncBody, networkWindowBytes } from "@helmr/protocol/guest";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GuestChannel } from "./channel.ts";
import type { ChannelEnd } from "./channel.ts";
import { encodeCredit, encodeFrame, FrameReader, ChannelViolation, syncFrame } from "./channel-frames.ts";
import type { FarEnd, GuestConnection } from "./guest-connection.ts";
import { networkLimits } from "./limits.ts";
import { memoryPair } from "./testing/memory-pair.ts";
import { openBody, RelayModel } from "./testing/relay-model.ts";

/** What the far end of a connection was told. */
class Recorder implements FarEnd {
  readonly pieces: Buffer[] = [];
  readonly told: string[] = [];
  settled = 0;
  data(piece: Buffer): void {
    this.pieces.push(Buffer.from(piece));
  }
  end(): void {
    this.told.push("end");
  }
  reset(): void {
    this.told.push("reset");
  }
  resume(): void {
    this.told.push("resume");
  }
  pause(): void {
    this.told.push("pause");
  }
  settle(): void {
    this.settled += 1;
  }
  get text(): string {
    return Buffer.concat(this.pieces).toString();
  }
}

interface Harness {
  guest: Duplex;
  channel: GuestChannel;
  opened: GuestConnection[];
  fars: Recorder[];
  questions: { id: number; message: Buffer; epoch: number }[];
  end: ChannelEnd | null;
  ended: Promise<ChannelEnd>;
}

/** A channel that opens every connection at once. */
function start(options: { opens: boolean } = { opens: true }): Harness {
  const [host, guest] = memoryPair();
  guest.on("error", () => {});
  const { promise: ended, resolve } = Promise.withResolvers<ChannelEnd>();
  const harness: Harness = { guest, opened: [], fars: [], questions: [], end: null, ended, channel: null as never };
  harness.channel = new GuestChannel(host, {
    open: (connection) => {
      const far = new Recorder();
      harness.opened.push(connection);
      harness.fars.push(far);
      connection.attach(far);
      if (options.opens) connection.opened();
    },
    query: (id, message, epoch) => harness.questions.push({ id, message, epoch }),
    ended: (end) => {
      harness.end = end;
      resolve(end);
    },
  });
  return harness;
}

/** Until the condition holds; a turn of the event loop at a time. */
async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const open = (id: number, address = "1.1.1.1", port = 80) => encodeFrame(networkKinds.open, id, openBody(address, port));
const data = (id: number, bytes: number | string) =>
  encodeFrame(networkKinds.data, id, typeof bytes === "number" ? Buffer.alloc(bytes, "x") : Buffer.from(bytes));
const frame = (kind: keyof typeof networkKinds, id: number, body?: Uint8Array) => encodeFrame(networkKinds[kind], id, body);

/** Frames that the host has written so far. */
function collect(guest: Duplex): { kind: number; id: number; body: Buffer }[] {
  const frames: { kind: number; id: number; body: Buffer }[] = [];
  let input = Buffer.alloc(0);
  guest.on("data", (chunk: Buffer) => {
    input = Buffer.concat([input, chunk]);
    while (input.length >= 4 && input.length >= 4 + input.readUInt32BE(0)) {
      const length = input.readUInt32BE(0);
      frames.push({ kind: input.readUInt8(4), id: input.readUInt32BE(5), body: Buffer.from(input.subarray(9, 4 + length)) });
      input = input.subarray(4 + length);
    }
  });
  return frames;
}

describe("the beginning", () => {
  test("drops what comes before SYNC, writes nothing before it, and finds it across chunks", async () => {
    const harness = start();
    const frames = collect(harness.guest);
    const junk = Buffer.concat([Buffer.alloc(70_000, 0xff), syncFrame.subarray(0, 20), open(1)]);
    const bytes = Buffer.concat([junk, syncFrame, open(2)]);
    for (let at = 0; at < bytes.length; at += 11_003) harness.guest.write(bytes.subarray(at, at + 11_003));
    await until(() => frames.length > 0, "OPENED comes");
    expect(harness.opened.map(({ id }) => id)).toEqual([2]);
    expect(frames).toEqual([{ kind: networkKinds.opened, id: 2, body: Buffer.alloc(0) }]);
    harness.channel.close();
  });

  test("a second SYNC forgets every connection and every question", async () => {
    const harness = start();
    const frames = collect(harness.guest);
    harness.guest.write(
      Buffer.concat([syncFrame, open(1), frame("query", 5, Buffer.from("a")), syncFrame, open(1), frame("query", 5, Buffer.from("b"))]),
    );
    await until(() => harness.questions.length === 2, "both questions came");
    expect(harness.fars[0]?.told).toContain("reset");
    expect(harness.channel.connectionCount).toBe(1);
    const [old, current] = harness.questions;
    harness.channel.answer(5, Buffer.from("for the first"), old!.epoch);
    harness.channel.answer(5, Buffer.from("for the second"), current!.epoch);
    await until(() => frames.some(({ kind }) => kind === networkKinds.answer), "an answer came");
    expect(frames.filter(({ kind }) => kind === networkKinds.answer).map(({ body }) => body.toString())).toEqual(["for the second"]);
    expect(harness.end).toBeNull();
    harness.channel.close();
  });
});

describe("a connection", () => {
  test("carries bytes both ways and closes after both ends", async () => {
    const harness = start();
    const relay = new RelayModel(harness.guest);
    const connection = relay.connect("1.2.3.4", 443);
    await connection.outcome;
    const [opened] = harness.opened;
    expect([opened?.address.text, opened?.port]).toEqual(["1.2.3.4", 443]);
    connection.write("hello ");
    connection.end("there");
    await until(() => harness.fars[0]!.told.includes("end"), "END came");
    expect(harness.fars[0]?.text).toBe("hello there");
    opened?.send(Buffer.from("and back"));
    opened?.end();
    let text = "";
    for await (const piece of connection) text += String(piece);
    expect(text).toBe("and back");
    expect(await connection.gone).toBe("ended");
    expect([harness.channel.connectionCount, relay.openConnections, opened?.isClosed]).toEqual([0, 0, true]);
    harness.channel.close();
  });

  test("tells each side of the other's reset, and refusals with their reason", async () => {
    const harness = start();
    const relay = new RelayModel(harness.guest);
    const first = relay.connect("::1", 1);
    await first.outcome;
    first.reset();
    await until(() => harness.fars[0]!.told.includes("reset"), "RESET came");
    const second = relay.connect("1.1.1.1", 2);
    await second.outcome;
    harness.opened[1]?.reset();
    expect(await second.gone).toBe("reset");
    harness.channel.close();

    const refusing = start({ opens: false });
    const other = new RelayModel(refusing.guest);
    for (const reason of ["refused", "unreachable", "timedOut", "notAllowed"] as const) {
      const connection = other.connect("1.1.1.1", 3);
      await until(() => refusing.opened.some(({ isClosed }) => !isClosed), "OPEN came");
      refusing.opened.at(-1)?.refused(reason);
      expect(await connection.outcome).toBe(reason);
    }
    expect(refusing.channel.connectionCount).toBe(0);
    refusing.channel.close();
  });

  test("frames for a connection that is gone are dropped, whatever they carry", async () => {
    const harness = start();
    harness.guest.write(
      Buffer.concat([syncFrame, data(9, 65_536), encodeCredit(9, 5), frame("end", 9), frame("reset", 9), frame("reset", 9), open(9)]),
    );
    await until(() => harness.opened.length === 1, "OPEN came");
    expect(harness.end).toBeNull();
    expect(harness.fars[0]?.pieces).toEqual([]);
    harness.channel.close();
  });

  test("is read only while the guest takes a whole read, so nothing is ever kept", async () => {
    const harness = start();
    harness.guest.write(Buffer.concat([syncFrame, open(1)]));
    await until(() => harness.opened.length === 1, "OPEN came");
    const [connection] = harness.opened;
    const [far] = harness.fars;
    harness.guest.resume();
    let sent = 0;
    while (connection!.mayRead) {
      connection!.send(Buffer.alloc(networkLimits.readBytes));
      sent += networkLimits.readBytes;
    }
    expect(sent).toBe(networkWindowBytes);
    expect(far?.told.at(-1)).toBe("pause");
    harness.guest.write(encodeCredit(1, networkLimits.readBytes - 1));
    harness.guest.write(frame("query", 1, Buffer.from("x")));
    await until(() => harness.questions.length === 1, "the credit was taken");
    expect(far?.told.at(-1)).toBe("pause");
    harness.guest.write(encodeCredit(1, 1));
    await until(() => far!.told.at(-1) === "resume", "reading goes on");
    harness.channel.close();
  });

  test("gives credit back in steps, and none after the guest has ended", async () => {
    const harness = start();
    const frames = collect(harness.guest);
    harness.guest.write(Buffer.concat([syncFrame, open(1), data(1, 65_536), data(1, 65_536)]));
    await until(() => (harness.fars[0]?.pieces.length ?? 0) >= 2, "both came");
    harness.opened[0]?.taken(65_535);
    harness.opened[0]?.taken(1);
    await until(() => frames.some(({ kind }) => kind === networkKinds.credit), "CREDIT came");
    expect(frames.filter(({ kind }) => kind === networkKinds.credit).map(({ body }) => body.readUInt32BE(0))).toEqual([65_536]);
    harness.guest.write(frame("end", 1));
    await until(() => harness.fars[0]!.told.includes("end"), "END came");
    harness.opened[0]?.taken(65_536);
    harness.opened[0]?.send(Buffer.from("mark"));
    await until(() => frames.at(-1)?.kind === networkKinds.data, "the mark came");
    expect(frames.filter(({ kind }) => kind === networkKinds.credit)).toHaveLength(1);
    harness.channel.close();
  });
});

describe("violations end the channel, and with it every connection", () => {
  const header = (length: number, kind: number, id = 1) => {
    const bytes = Buffer.alloc(9);
    bytes.writeUInt32BE(length, 0);
    bytes.writeUInt8(kind, 4);
    bytes.writeUInt32BE(id, 5);
    return bytes;
  };
  const wrongSync = Buffer.from(networkSyncBody);
  wrongSync[0] = 0;
  test.each([
    ["a frame without a kind", header(4, 4)],
    ["a frame of 4 GiB", header(0xffff_ffff, networkKinds.data)],
    ["a frame beyond the limit", header(70_001, networkKinds.data)],
    ["an unknown kind", frame("open", 2).fill(77, 4, 5)],
    ["kind 0", header(5, 0)],
    ["OPENED, which only the host says", frame("opened", 1)],
    ["REFUSED, which only the host says", frame("refused", 1, Buffer.of(1))],
    ["ANSWER, which only the host says", frame("answer", 1, Buffer.from("x"))],
    ["OPEN without an address", frame("open", 2)],
    ["OPEN of family 5", encodeFrame(networkKinds.open, 2, Buffer.concat([Buffer.of(5), openBody("1.1.1.1", 1).subarray(1)]))],
    ["OPEN of family 6 with 4 bytes", encodeFrame(networkKinds.open, 2, Buffer.concat([Buffer.of(6), openBody("1.1.1.1", 1).subarray(1)]))],
    ["OPEN for a connection that is open", open(1)],
    ["empty DATA", frame("data", 1)],
    ["DATA beyond its size", header(5 + networkDataBytesMax + 1, networkKinds.data)],
    ["CREDIT of another length", frame("credit", 1, Buffer.alloc(5))],
    ["CREDIT of nothing", encodeCredit(1, 0)],
    ["CREDIT for what was not sent", encodeCredit(1, 1)],
    ["CREDIT of 4 GiB", encodeCredit(1, 0xffff_ffff)],
    ["END with a body", frame("end", 1, Buffer.of(1))],
    ["END twice", Buffer.concat([frame("end", 1), frame("end", 1)])],
    ["DATA after END", Buffer.concat([frame("end", 1), data(1, 1)])],
    ["RESET with a body", frame("reset", 1, Buffer.of(1))],
    ["more DATA than the window", Buffer.concat([...Array.from({ length: 4 }, () => data(1, 65_536)), data(1, 1)])],
    ["a question beyond its size", header(5 + 4097, networkKinds.query)],
    ["SYNC for a connection", frame("sync", 1, networkSyncBody)],
    ["SYNC of other bytes", frame("sync", 0, wrongSync)],
  ])("%s", async (_what, bytes) => {
    const harness = start();
    harness.guest.write(Buffer.concat([syncFrame, open(1), bytes]));
    expect(await harness.ended).toMatchObject({ reason: "violation" });
    expect(harness.fars[0]?.told).toContain("reset");
    expect(harness.channel.connectionCount).toBe(0);
  });

  test("before OPENED nothing but RESET may come", async () => {
    for (const bytes of [data(1, 1), encodeCredit(1, 1), frame("end", 1)]) {
      const harness = start({ opens: false });
      harness.guest.write(Buffer.concat([syncFrame, open(1), bytes]));
      expect(await harness.ended).toMatchObject({ reason: "violation", detail: expect.stringContaining("before OPENED") });
    }
    const harness = start({ opens: false });
    harness.guest.write(Buffer.concat([syncFrame, open(1), frame("reset", 1), frame("query", 1, Buffer.from("x"))]));
    await until(() => harness.questions.length === 1, "all was taken");
    expect(harness.channel.connectionCount).toBe(0);
    expect(harness.end).toBeNull();
    harness.channel.close();
  });

  test("one connection more than there may be", async () => {
    const harness = start();
    harness.guest.resume();
    harness.guest.write(Buffer.concat([syncFrame, ...Array.from({ length: networkConnectionsMax }, (_, id) => open(id))]));
    await until(() => harness.channel.connectionCount === networkConnectionsMax, "all are open");
    harness.guest.write(open(5_000));
    expect(await harness.ended).toMatchObject({ reason: "violation" });
    expect(harness.fars.every(({ told }) => told.includes("reset"))).toBe(true);
  });
});

describe("the end", () => {
  test("is heard once, whoever ends it", async () => {
    const gone = start();
    gone.guest.write(Buffer.concat([syncFrame, open(1)]));
    await until(() => gone.opened.length === 1, "OPEN came");
    gone.guest.end();
    expect(await gone.ended).toMatchObject({ reason: "gone" });
    expect(gone.fars[0]?.told).toContain("reset");

    const destroyed = start();
    destroyed.guest.destroy();
    expect(await destroyed.ended).toMatchObject({ reason: "gone" });

    const closed = start();
    closed.channel.close();
    closed.channel.close();
    expect(await closed.ended).toEqual({ reason: "closed" });
    closed.channel.answer(1, Buffer.from("late"), 1);
  });
});

describe("bounds", () => {
  test("far ends are not read while the guest does not read, and then go on", async () => {
    const harness = start();
    const ids = Array.from({ length: 64 }, (_, id) => id);
    harness.guest.pause();
    harness.guest.write(Buffer.concat([syncFrame, ...ids.map((id) => open(id))]));
    await until(() => harness.opened.length === ids.length, "all are open");
    let sent = 0;
    for (const connection of harness.opened) {
      while (connection.mayRead) {
        connection.send(Buffer.alloc(networkLimits.readBytes));
        sent += networkLimits.readBytes;
        await new Promise((resolve) => process.nextTick(resolve));
      }
    }
    expect(sent).toBeLessThanOrEqual(networkLimits.outgoingRoomBytes + 2 * networkLimits.readBytes);
    expect(harness.fars.at(-1)?.told.at(-1)).toBe("pause");
    harness.guest.resume();
    await until(() => harness.fars.at(-1)?.told.at(-1) === "resume", "there is room again");
    harness.channel.close();
  });

  test("a guest that asks and does not listen is not listened to either", async () => {
    const harness = start({ opens: false });
    harness.guest.pause();
    harness.guest.write(syncFrame);
    const flood = Buffer.concat(Array.from({ length: 20_000 }, () => frame("query", 1, Buffer.alloc(100))));
    harness.guest.write(flood);
    let answered = 0;
    let quietTurns = 0;
    await until(() => {
      quietTurns = answered === harness.questions.length ? quietTurns + 1 : 0;
      for (; answered < harness.questions.length; answered += 1) harness.channel.answer(1, Buffer.alloc(4096), 1);
      return answered > 0 && quietTurns > 100;
    }, "the host has stopped reading");
    expect(answered * 4096).toBeGreaterThan(networkLimits.outgoingRoomBytes);
    expect(answered * 4096).toBeLessThan(networkLimits.outgoingControlBytes + 2 * networkLimits.framesPerTurn * 4200);
    harness.guest.resume();
    await until(() => {
      for (; answered < harness.questions.length; answered += 1) harness.channel.answer(1, Buffer.alloc(4096), 1);
      return answered === 20_000;
    }, "it reads on");
    harness.channel.close();
  });

  test("many frames in one chunk are taken in turns", async () => {
    const harness = start();
    harness.guest.write(Buffer.concat([syncFrame, ...Array.from({ length: 1_000 }, () => frame("query", 1, Buffer.from("x")))]));
    await until(() => harness.questions.length > 0, "the first turn was taken");
    expect(harness.questions.length).toBeLessThanOrEqual(networkLimits.framesPerTurn);
    await until(() => harness.questions.length === 1_000, "all turns were taken");
    harness.channel.close();
  });
});

describe("hostile input", () => {
  /** A sink that keeps what it is told, as text. */
  function reading(): { reader: FrameReader; seen: string[] } {
    const seen: string[] = [];
    const note = (text: string) => void seen.push(text);
    const reader = new FrameReader({
      sync: () => note("sync"),
      open: (id, address, port) => note(`open ${id} ${address.text} ${port}`),
      dataBegins: (id, bytes) => note(`data ${id} ${bytes}`),
      data: (piece) => note(`. ${piece.toString("hex")}`),
      credit: (id, bytes) => note(`credit ${id} ${bytes}`),
      end: (id) => note(`end ${id}`),
      reset: (id) => note(`reset ${id}`),
      query: (id, message) => note(`query ${id} ${message.toString("hex")}`),
    });
    return { reader, seen };
  }

  function readAll(bytes: Buffer, cuts: number[], framesMax: number): string[] {
    const { reader, seen } = reading();
    const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
    try {
      for (const [index, from] of places.slice(0, -1).entries()) {
        let chunk = bytes.subarray(from, places[index + 1]);
        while (chunk.length > 0) chunk = chunk.subarray(reader.push(chunk, framesMax));
      }
    } catch (error) {
      if (!(error instanceof ChannelViolation)) throw error;
      seen.push("violation");
    }
    // Pieces of one frame are one thing, however they were cut.
    return seen.reduce<string[]>((joined, text) => {
      const last = joined.at(-1);
      if (text.startsWith(". ") && last?.startsWith(". ")) joined[joined.length - 1] = last + text.slice(2);
      else joined.push(text);
      return joined;
    }, []);
  }

  const id = fc.oneof(fc.constantFrom(0, 1, 2), fc.nat(0xffff_ffff));
  const goodFrame = fc.oneof(
    id.map((id) => open(id)),
    id.map((id) => open(id, "2001:db8::1", 65_535)),
    fc.tuple(id, fc.integer({ min: 1, max: 300 })).map(([id, bytes]) => data(id, bytes)),
    fc.tuple(id, fc.nat(0xffff_ffff)).map(([id, bytes]) => encodeCredit(id, bytes)),
    id.map((id) => frame("end", id)),
    id.map((id) => frame("reset", id)),
    fc.tuple(id, fc.uint8Array({ maxLength: 50 })).map(([id, body]) => frame("query", id, body)),
    fc.constant(syncFrame),
  );
  const anyFrame = fc.oneof(
    { weight: 8, arbitrary: goodFrame },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.nat(255), id, fc.uint8Array({ maxLength: 40 })).map(([kind, id, body]) => encodeFrame(kind, id, body)),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
  );

  test("however the bytes are cut, the same is read", () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 30 }),
        fc.array(fc.nat(10_000), { maxLength: 12 }),
        fc.integer({ min: 1, max: 5 }),
        (frames, cuts, framesMax) => {
          const bytes = Buffer.concat([Buffer.from("junk"), syncFrame, ...frames]);
          expect(readAll(bytes, cuts, framesMax)).toEqual(readAll(bytes, [], 1_000_000));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test("every kind with every small length either reads or is a violation", () => {
    for (let kind = 0; kind < 256; kind += 1) {
      for (let length = 0; length < 40; length += 1) {
        const bytes = Buffer.alloc(4 + Math.max(length, 5), 0);
        bytes.writeUInt32BE(length, 0);
        bytes.writeUInt8(kind, 4);
        expect(readAll(Buffer.concat([syncFrame, bytes]), [], 10)[0]).toBe("sync");
      }
    }
  });

  test("whatever frames come, the channel goes on or ends, and nothing is left of it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyFrame, { maxLength: 60 }), fc.boolean(), async (frames, opens) => {
        const harness = start({ opens });
        harness.guest.resume();
        const mark = Buffer.from("the mark of the end");
        harness.guest.write(Buffer.concat([syncFrame, ...frames]));
        harness.guest.write(Buffer.concat([syncFrame, frame("query", 7, mark)]));
        // A frame that was cut short swallows what follows: the stream's end is the last word then.
        for (let turn = 0; turn < 200 && harness.end === null && !harness.questions.some(({ message }) => message.equals(mark)); turn += 1)
          await new Promise((resolve) => setImmediate(resolve));
        if (harness.end === null) harness.guest.end();
        await harness.ended;
        expect(harness.channel.connectionCount).toBe(0);
        expect(harness.opened.every(({ isClosed }) => isClosed)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
