import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ApiServer } from "../testing/api-server.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { GrantedBlobs } from "./blob-grants.ts";
import { WorkerClient } from "./client.ts";

const directory = temporaryDirectory("client");
const lease = { lease_id: randomUUID(), fence: 3 };
const attempt = { ...lease, attempt_id: randomUUID() };
let api: ApiServer;
let client: WorkerClient;

beforeEach(async () => {
  api = await ApiServer.start();
  client = new WorkerClient({ url: api.url, credential: "hlmr_wk_test", limits: { firstPauseMs: 2, pauseMaxMs: 20, attemptMs: 300 } });
});
afterEach(async () => {
  client.close();
  await api.close();
});

const within = (ms: number) => {
  const until = performance.now() + ms;
  return () => until;
};
const start = (ms = 5_000, signal?: AbortSignal) =>
  client.call("attemptStarted", attempt, { id: attempt.attempt_id, deadline: within(ms), signal });

describe("a call", () => {
  test("carries the credential and gives the validated answer", async () => {
    let authorization: string | undefined;
    api.routes.set("/runs/{id}/attempt-started", ({ headers }) => {
      authorization = headers.authorization;
      return { body: { state: "started", later: "field of a newer server" } };
    });
    expect(await start()).toEqual({ kind: "ok", value: { state: "started" } });
    expect(authorization).toBe("Bearer hlmr_wk_test");
    expect(api.calls[0]!.path).toBe(`/runs/${attempt.attempt_id}/attempt-started`);
  });

  test.each([
    ["a refused connection", "refuse"],
    ["a lost answer", "lost"],
    ["a failing server", 500],
    ["a restarting server", 503],
    ["too many requests", 429],
  ] as const)("is repeated after %s", async (_, fault) => {
    let left = 3;
    api.fault = () => (left-- > 0 ? fault : undefined);
    api.routes.set("*", () => ({ body: { state: "started" } }));
    expect(await start()).toEqual({ kind: "ok", value: { state: "started" } });
  });

  test("that stays without an answer is told", async () => {
    const told: unknown[] = [];
    const patient = new WorkerClient({
      url: api.url,
      credential: "hlmr_wk_test",
      limits: { firstPauseMs: 1, pauseMaxMs: 1, attemptMs: 300 },
      onUnanswered: (call) => told.push(call),
    });
    let left = 10;
    api.fault = () => (left-- > 0 ? 500 : undefined);
    api.routes.set("*", () => ({ body: { state: "started" } }));
    const answer = await patient.call("attemptStarted", attempt, { id: attempt.attempt_id, deadline: within(5_000) });
    patient.close();
    expect(answer).toMatchObject({ kind: "ok" });
    const path = "/runs/{id}/attempt-started";
    expect(told).toEqual([
      { path, attempts: 3, reason: expect.any(String) as string },
      { path, attempts: 10, reason: expect.any(String) as string },
    ]);
  });

  test("is repeated when the server takes too long for one attempt", async () => {
    let hang = true;
    api.routes.set("*", async () => {
      if (hang) {
        hang = false;
        await new Promise((resolve) => setTimeout(resolve, 400));
      }
      return { body: { state: "started" } };
    });
    expect(await start()).toMatchObject({ kind: "ok" });
    expect(api.calls).toHaveLength(2);
  });

  test("ends at its deadline and not before; the deadline may move meanwhile", async () => {
    api.fault = () => 503;
    const began = performance.now();
    let until = began + 100;
    setTimeout(() => (until = began + 400), 50);
    const result = await client.call("attemptStarted", attempt, { id: attempt.attempt_id, deadline: () => until });
    expect(result).toMatchObject({ kind: "lost" });
    expect(performance.now() - began).toBeGreaterThan(300);
    expect(performance.now() - began).toBeLessThan(3_000);
  });

  test("ends when the caller gives up", async () => {
    api.fault = () => 503;
    const controller = new AbortController();
    const result = start(60_000, controller.signal);
    controller.abort();
    expect(await result).toMatchObject({ kind: "lost" });
  });

  test.each([
    [{ status: 409, body: { error: "no", code: "stale_lease" } }, { kind: "stale" }],
    [
      { status: 409, body: { error: "no", code: "report_gap", expected: 7 } },
      { kind: "gap", expected: 7 },
    ],
    [
      { status: 409, body: { error: "no", code: "other" } },
      { kind: "refused", status: 409, code: "other", message: "no" },
    ],
    [
      { status: 401, body: { error: "who are you" } },
      { kind: "refused", status: 401, code: "", message: "who are you" },
    ],
    [
      { status: 400, bytes: Buffer.from("<html>") },
      { kind: "refused", status: 400, code: "", message: "HTTP status 400" },
    ],
  ])("answer %j is the outcome %j, without a repeat", async (answer, outcome) => {
    api.routes.set("*", () => answer);
    expect(await start()).toEqual(outcome);
    expect(api.calls).toHaveLength(1);
  });

  test("an answer that is not of the protocol is repeated, not believed", async () => {
    api.routes.set("*", () => ({ body: { state: api.calls.length < 3 ? "surprise" : "started" } }));
    expect(await start()).toMatchObject({ kind: "ok" });
    expect(api.calls).toHaveLength(3);
  });

  test("a stream gives the bytes or the outcome", async () => {
    api.routes.set("/builds/1/source", () => ({ bytes: Buffer.from("tar") }));
    const result = await client.stream("/builds/1/source?lease_id=x", { deadline: within(2_000) });
    if (result.kind !== "ok") throw new TypeError(JSON.stringify(result));
    const parts: Buffer[] = [];
    for await (const part of result.value as AsyncIterable<Buffer>) parts.push(part);
    expect(Buffer.concat(parts).toString()).toBe("tar");
    api.routes.set("*", () => ({ status: 409, body: { error: "no", code: "stale_lease" } }));
    expect(await client.stream("/builds/2/source", { deadline: within(2_000) })).toEqual({ kind: "stale" });
  });
});

describe("blobs over grants", () => {
  const objects = new Map<string, Buffer>();
  let grantCalls: { gets: string[]; puts: { object_key: string; size_bytes: number }[] }[];
  let blobs: GrantedBlobs;
  const signal = AbortSignal.timeout(20_000);

  beforeEach(() => {
    objects.clear();
    grantCalls = [];
    api.routes.set("/grants", ({ body }) => {
      const { gets, puts } = body as (typeof grantCalls)[0];
      grantCalls.push({ gets, puts });
      const grant = (method: string) => (key: string) => ({
        object_key: key,
        method,
        url: `${api.url}/blobs/${key}?n=${grantCalls.length}`,
        headers: { "x-grant": "1" },
        ttl_ms: 60_000,
      });
      return { body: { grants: [...gets.map(grant("GET")), ...puts.map((put) => grant("PUT")(put.object_key))] } };
    });
    api.routes.set("*", ({ path, bytes, headers, method }) => {
      const key = path.replace("/blobs/", "");
      if (headers["x-grant"] !== "1") return { status: 401 };
      if (method === "PUT") {
        objects.set(key, bytes);
        return { status: 201 };
      }
      const found = objects.get(key);
      if (found === undefined) return { status: 404 };
      const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "");
      return range === null ? { bytes: found } : { status: 206, bytes: found.subarray(Number(range[1]), Number(range[2]) + 1) };
    });
    blobs = new GrantedBlobs(client, { leaseId: lease.lease_id, fence: lease.fence, deadline: within(10_000) });
  });

  test("files and buffers go out, whole objects and ranges come back, and grants are asked for together and kept", async () => {
    const path = join(directory, "pack");
    writeFileSync(path, "0123456789");
    await Promise.all([blobs.put("a", { path, sizeBytes: 10 }, { signal }), blobs.put("b", Buffer.from("bee"), { signal })]);
    const parts = await Promise.all([
      blobs.get("a", { signal }),
      blobs.get("a", { range: { start: 2, end: 5 }, signal }),
      blobs.get("b", { signal }),
    ]);
    expect(parts.map((part) => Buffer.from(part).toString())).toEqual(["0123456789", "234", "bee"]);
    expect(grantCalls).toEqual([
      {
        gets: [],
        puts: [
          { object_key: "a", size_bytes: 10 },
          { object_key: "b", size_bytes: 3 },
        ],
      },
      { gets: ["a", "b"], puts: [] },
    ]);
  });

  test("a store that fails or loses answers is asked again, with a fresh grant", async () => {
    let faults = ["lost", 503, 403] as ("lost" | number)[];
    api.fault = (path) => (path.startsWith("/blobs/") ? faults.shift() : undefined);
    await blobs.put("a", Buffer.from("x"), { signal });
    expect(objects.get("a")?.toString()).toBe("x");
    expect(grantCalls.length).toBeGreaterThan(1);
    faults = [403];
    expect(Buffer.from(await blobs.get("a", { signal })).toString()).toBe("x");
  });

  test("what cannot be had is an error with a code", async () => {
    await expect(blobs.get("nothing", { signal })).rejects.toMatchObject({ code: "blob_missing" });
    api.routes.set("/grants", () => ({ status: 409, body: { error: "no", code: "stale_lease" } }));
    await expect(blobs.get("other", { signal })).rejects.toMatchObject({ code: "lease_stale" });
    api.routes.set("/grants", () => ({ body: { grants: [] } }));
    await expect(blobs.get("other", { signal })).rejects.toMatchObject({ code: "blob_refused" });
  });
});
