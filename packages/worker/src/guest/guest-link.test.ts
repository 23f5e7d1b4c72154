import { type Duplex, duplexPair } from "node:stream";
import {
  encodeBytes,
  encodeMessage,
  FrameDecoder,
  type GuestMessage,
  type HostMessage,
  hostFrameBytesMax,
  streamWindowBytes,
} from "@helmr/protocol/guest";
import { until } from "@helmr/test/services";
import { beforeEach, describe, expect, test } from "vitest";
import { GuestLink } from "./guest-link.ts";

let link: GuestLink;
let guest: Duplex;
let heard: HostMessage[];
let bytes: { stream: number; offset: number; data: Buffer }[];

beforeEach(() => {
  const [ours, theirs] = duplexPair();
  link = new GuestLink(ours);
  guest = theirs;
  heard = [];
  bytes = [];
  const decoder = new FrameDecoder(hostFrameBytesMax);
  theirs.on("error", () => {});
  theirs.on("data", (chunk: Buffer) => {
    for (const frame of decoder.push(chunk)) {
      if (frame.kind === "message") heard.push(frame.message as HostMessage);
      else bytes.push({ stream: frame.stream, offset: frame.offset, data: Buffer.from(frame.data) });
    }
  });
});

const say = (message: GuestMessage) => guest.write(encodeMessage(message));
const last = async <T extends HostMessage["type"]>(type: T) =>
  (await until(type, () => heard.findLast((message) => message.type === type))) as Extract<HostMessage, { type: T }>;

describe("requests", () => {
  test("are answered by id, in any order, and refusals carry their code", async () => {
    const first = link.request({ type: "ping" }, 1_000);
    const second = link.request({ type: "sync", freeze: true }, 1_000);
    const [ping, sync] = [await last("ping"), await last("sync")];
    say({ type: "error", id: sync.id, code: "sync_failed", message: "busy", retryable: true });
    say({ type: "ok", id: ping.id, result: { n: 1 } });
    expect(await first).toEqual({ n: 1 });
    await expect(second).rejects.toMatchObject({ name: "GuestRefused", code: "sync_failed", retryable: true });
  });

  test("that get no answer in time, or whose guest goes away, fail and say which", async () => {
    await expect(link.request({ type: "ping" }, 10)).rejects.toMatchObject({ code: "guest_silent" });
    const waiting = link.request({ type: "ping" }, 10_000);
    guest.destroy();
    await expect(waiting).rejects.toMatchObject({ code: "guest_gone" });
    await expect(link.request({ type: "ping" }, 10_000)).rejects.toMatchObject({ code: "guest_gone" });
    expect(await link.closed).toEqual({ kind: "ended" });
  });

  test("answers that nobody waits for are nobody's", async () => {
    say({ type: "ok", id: 1 });
    say({ type: "ok", id: 2 });
    const answer = link.request({ type: "ping" }, 1_000);
    say({ type: "ok", id: (await last("ping")).id });
    await expect(answer).resolves.toBeUndefined();
  });
});

describe("what the guest may not do", () => {
  test.each([
    ["a frame that is too long", () => guest.write(Buffer.from([0x7f, 0, 0, 0, 0]))],
    ["a frame of another kind", () => guest.write(Buffer.from([0, 0, 0, 1, 9]))],
    ["no JSON", () => guest.write(Buffer.from([0, 0, 0, 2, 0, 0x7b]))],
    ["a message that is not of the protocol", () => guest.write(encodeMessage({ type: "hello", protocol: 99 }))],
    ["a message of the host", () => guest.write(encodeMessage({ type: "run.start" }))],
    ["bytes beyond a gap", () => guest.write(encodeBytes(1, 5, Buffer.from("x")))],
  ])("%s ends the link", async (_, act) => {
    link.receiveStream(1, { data: () => {}, end: () => {} });
    act();
    expect(await link.closed).toMatchObject({ kind: "violation" });
  });

  test("an end that lies about the length ends the link", async () => {
    link.receiveStream(1, { data: () => {}, end: () => {} });
    guest.write(encodeBytes(1, 0, Buffer.from("abc")));
    say({ type: "stream.end", stream: 1, length: 7 });
    expect(await link.closed).toMatchObject({ kind: "violation", message: expect.stringMatching(/ended at 7/) });
  });
});

describe("streams from the guest", () => {
  test("arrive once however often they are sent, and their ends too", async () => {
    const parts: string[] = [];
    const ends: number[] = [];
    link.receiveStream(1, { data: (data) => parts.push(Buffer.from(data).toString()), end: (length) => ends.push(length) }, 2);
    guest.write(encodeBytes(1, 0, Buffer.from("abcd"))); // "ab" was known to a predecessor
    guest.write(encodeBytes(1, 2, Buffer.from("cd")));
    guest.write(encodeBytes(1, 3, Buffer.from("def")));
    say({ type: "stream.end", stream: 1, length: 6 });
    say({ type: "stream.end", stream: 1, length: 6 });
    guest.write(encodeBytes(9, 0, Buffer.from("nobody asked")));
    await until("the end", () => ends.length > 0);
    expect(parts.join("")).toBe("cdef");
    expect(ends).toEqual([6]);
    link.acknowledge(1, 6);
    expect(await last("stream.ack")).toEqual({ type: "stream.ack", stream: 1, offset: 6 });
  });
});

describe("streams to the guest", () => {
  async function* source(total: number): AsyncGenerator<Uint8Array> {
    for (let sent = 0; sent < total; sent += 100_000) yield Buffer.alloc(Math.min(100_000, total - sent), sent % 251);
  }
  const received = () => bytes.reduce((sum, part) => sum + part.data.length, 0);

  test("stay within the window, and are done when all of it was taken", async () => {
    let done = false;
    const sending = link.sendStream(16, source(700_000)).then(() => (done = true));
    await until("a full window", () => received() > streamWindowBytes - 65_536);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(received()).toBeLessThanOrEqual(streamWindowBytes);
    while (received() < 700_000) {
      const before = received();
      say({ type: "stream.ack", stream: 16, offset: before });
      await until("more", () => received() > before);
    }
    expect(await last("stream.end")).toEqual({ type: "stream.end", stream: 16, length: 700_000 });
    expect(done).toBe(false);
    say({ type: "stream.ack", stream: 16, offset: 700_000 });
    await sending;
    expect(Buffer.concat(bytes.map((part) => part.data)).length).toBe(700_000);
  });

  test("end early when the guest has enough, when the source fails, and when the guest goes", async () => {
    const stopped = link.sendStream(16, source(700_000));
    await until("something", () => received() > 0);
    say({ type: "stream.stop", stream: 16 });
    await expect(stopped).rejects.toMatchObject({ code: "stream_stopped" });
    expect(await last("stream.end")).toMatchObject({ stream: 16 });

    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("abc");
      throw new RangeError("disk gone");
    }
    await expect(link.sendStream(17, broken())).rejects.toThrow("disk gone");
    expect(await until("its end", () => heard.findLast((message) => message.type === "stream.end" && message.stream === 17))).toMatchObject(
      { length: 3, error: "disk gone" },
    );

    const gone = link.sendStream(18, source(700_000));
    await until("something", () => bytes.some((part) => part.stream === 18));
    guest.destroy();
    await expect(gone).rejects.toMatchObject({ code: "stream_stopped" });
  });

  test("an acknowledgement beyond what was sent counts for nothing more", async () => {
    const sending = link.sendStream(16, source(600_000));
    await until("a window", () => received() > streamWindowBytes - 65_536);
    say({ type: "stream.ack", stream: 16, offset: 10_000_000 });
    await until("the next", () => received() > streamWindowBytes);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(received()).toBeLessThanOrEqual(2 * streamWindowBytes);
    link.abandon();
    await expect(sending).rejects.toMatchObject({ code: "stream_stopped" });
  });
});
