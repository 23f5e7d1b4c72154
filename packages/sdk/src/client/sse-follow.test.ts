import { expect, test, vi } from "vitest";
import { AuthError, HelmrApiError } from "../errors.ts";
import { eventStream, frame, wireServer } from "../node/testing/wire-server.ts";
import { isFatal, pause, sseFrames } from "./sse-follow.ts";
import { MalformedAnswerError, Transport } from "./transport.ts";

vi.spyOn(console, "warn").mockImplementation(() => undefined);

test("a connection that went silent ends with an error that may be tried again", async () => {
  const server = await wireServer();
  server.expect(eventStream([frame(1, "x", {}), ": alive\n\n"], { ending: "stay" }));
  const seen: unknown[] = [];
  const reading = (async () => {
    const transport = new Transport({ url: server.url });
    for await (const event of sseFrames(transport, { method: "GET", path: "/x" }, { stalledMs: 60 })) seen.push(event);
  })();
  const error: unknown = await reading.catch((caught: unknown) => caught);
  expect(error).toMatchObject({ name: "StalledConnectionError", message: "No byte came for 60 ms" });
  expect(isFatal(error, undefined)).toBe(false);
  expect(seen).toEqual([{ kind: "event", id: "1", event: "x", data: "{}" }]);
});

test.each([
  [new AuthError(), true],
  [new MalformedAnswerError("x"), true],
  [new HelmrApiError(400, ""), true],
  [new HelmrApiError(404, ""), true],
  [new HelmrApiError(410, ""), true],
  [new HelmrApiError(408, ""), false],
  [new HelmrApiError(429, ""), false],
  [new HelmrApiError(500, ""), false],
  [new HelmrApiError(503, ""), false],
  [new TypeError("fetch failed"), false],
])("%s is final: %s", (error, fatal) => {
  expect(isFatal(error, undefined)).toBe(fatal);
  expect(isFatal(error, AbortSignal.abort())).toBe(true);
});

test("a pause leaves no listener behind", async () => {
  const { signal } = new AbortController();
  const added = vi.spyOn(signal, "addEventListener");
  const removed = vi.spyOn(signal, "removeEventListener");
  await pause(1, signal);
  expect(added.mock.calls.length).toBe(1);
  expect(removed.mock.calls.map(([type, listener]) => [type, listener])).toEqual(
    added.mock.calls.map(([type, listener]) => [type, listener]),
  );
  await expect(pause(60_000, AbortSignal.abort(new RangeError("enough")))).rejects.toThrow("enough");
});
