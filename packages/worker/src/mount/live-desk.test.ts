import { randomUUID } from "node:crypto";
import type { ExecReport, LiveUpMessage } from "@helmr/protocol/worker";
import { liveWindowBytes, readLiveFrame } from "@helmr/protocol/worker";
import { beforeEach, describe, expect, test } from "vitest";
import { LiveDesk } from "./live-desk.ts";
import type { LiveStream } from "./live-stream.ts";

const lease = randomUUID();
const report: ExecReport = { lease_id: lease, fence: 1, exec_id: randomUUID(), report: { kind: "started", process_id: "1" } };

let desk: LiveDesk;
let sent: LiveUpMessage[];
let bytes: Buffer[];
beforeEach(() => {
  desk = new LiveDesk();
  sent = [];
  bytes = [];
});
const connect = () =>
  desk.connected({
    text: (message) => void sent.push(message),
    bytes: (frame) => void bytes.push(Buffer.from(readLiveFrame(frame)!.data)),
  });
const lastId = () => (sent.findLast((message) => message.type === "report") as { id: number }).id;
const open = (call: number) => desk.receive({ type: "live.open", call, lease_id: lease, request: { kind: "port", port: 80 } });

describe("reports", () => {
  test("are said again over the next connection until they are answered", async () => {
    const answered = desk.report(report, new AbortController().signal);
    connect();
    await expect.poll(() => sent.length).toBe(1);
    desk.disconnected();
    connect();
    await expect.poll(() => sent.length).toBe(2);
    desk.receive({ type: "answer", id: 999, answer: { state: "stale" } });
    desk.receive({ type: "answer", id: lastId(), answer: { state: "ok" } });
    expect(await answered).toEqual({ state: "ok" });
  });

  test("are given up with their signal", async () => {
    const gone = new AbortController();
    const answered = desk.report(report, gone.signal);
    gone.abort();
    expect(await answered).toBeUndefined();
  });
});

describe("live calls", () => {
  const streams: LiveStream[] = [];
  const register = () =>
    desk.register(lease, { input: () => undefined, resync: () => undefined, open: (_message, stream) => void streams.push(stream) });

  test("of a lease that is not here are refused", () => {
    connect();
    open(7);
    expect(sent).toMatchObject([{ type: "live.failed", call: 7, code: "not_found" }]);
  });

  test("send no more than the other side takes, and give credit for what was read", async () => {
    register();
    connect();
    open(1);
    const stream = streams.at(-1)!;
    stream.open({ some: "facts" });
    expect(sent).toMatchObject([{ type: "live.opened", result: { some: "facts" } }]);
    stream.write(Buffer.alloc(liveWindowBytes + 100_000));
    const total = () => bytes.reduce((sum, part) => sum + part.length, 0);
    expect(total()).toBe(liveWindowBytes);
    desk.receive({ type: "live.credit", call: 1, bytes: 1_000 });
    expect(total()).toBe(liveWindowBytes + 1_000);

    stream.on("data", () => undefined);
    const frame = Buffer.concat([Buffer.from([0, 0, 0, 1]), Buffer.alloc(60_000)]);
    for (let count = 0; count < 4; count += 1) desk.received(frame);
    await expect.poll(() => sent.filter((message) => message.type === "live.credit").length).toBeGreaterThan(0);
    desk.receive({ type: "live.close", call: 1 });
    expect(stream.destroyed).toBe(true);
    // The other side has given up: it is told nothing.
    expect(sent.filter((message) => message.type === "live.close")).toEqual([]);
  });

  test("end with their connection", () => {
    register();
    connect();
    open(2);
    const stream = streams.at(-1)!;
    desk.disconnected();
    expect(stream.destroyed).toBe(true);
  });
});
