/** The worker API over HTTP: credentials, fences, ordered reports, bad input, the push channel, redelivery. */
import { credentialPrefix } from "@helmr/protocol/shared";
import { workerRoutes } from "@helmr/protocol/worker";
import { fakeWorker, type FakeWorker, succeed, WireRefusal } from "@helmr/test/platform";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Api, openApi } from "./api-fixture.ts";

let api: Api;
let worker: FakeWorker;
beforeAll(async () => {
  api = await openApi();
  worker = await api.worker();
});
afterAll(() => api.close());

const nowhere = "01980a00-0000-7000-8000-000000000001";
const fenced = { lease_id: nowhere, fence: 1 };
const attempt = { ...fenced, attempt_id: nowhere };

describe("credentials", () => {
  test.each(Object.entries(workerRoutes))("%s refuses everybody but workers", async (_name, { path }) => {
    const url = `/api/worker${path.replace("{id}", nowhere)}`;
    for (const bearer of [
      undefined,
      "x",
      api.plane.install.apiKey,
      `${credentialPrefix.worker}${"0".repeat(49)}`,
      worker.credential.slice(0, -1),
    ]) {
      const answer = await worker.wire.call("POST", url, {
        body: {},
        headers: { authorization: bearer === undefined ? "" : `Bearer ${bearer}` },
      });
      // A route that nobody serves yet is unknown, not open.
      expect([401, 404], `${url} ${bearer}`).toContain(answer.status);
    }
  });

  test("an enrollment secret enrolls and does nothing else", async () => {
    const answer = await worker.wire.call("POST", "/api/worker/claim", {
      body: {},
      headers: { authorization: `Bearer ${api.plane.enrollmentSecret}` },
    });
    expect(answer.status).toBe(401);
    expect((await worker.wire.call("POST", "/api/worker/enroll", { body: {} })).status).toBe(401);
  });

  test("a worker's credential is no API key", async () => {
    expect((await worker.wire.call("GET", "/api/runs")).status).toBe(401);
  });
});

describe("bad input", () => {
  test.each([
    ["/claim", {}],
    ["/claim", { epoch: -1 }],
    ["/renew", { epoch: 1, leases: [{ lease_id: "x", fence: 1 }] }],
    ["/grants", { ...fenced, gets: "x", puts: [] }],
    [`/runs/${nowhere}/report`, { ...attempt, first: 0, items: [] }],
    [`/runs/${nowhere}/report`, { ...attempt, first: 1, items: [{ kind: "log", stream: "stdin", offset: 0, data: "", age_ms: 0 }] }],
    [
      `/runs/${nowhere}/complete`,
      { ...attempt, end: { status: "won" }, active_ms: 0, report_through: 0, workspace: { status: "unchanged" } },
    ],
    [
      "/runs/x/complete",
      { ...attempt, end: { status: "succeeded", exit_code: 0 }, active_ms: 0, report_through: 0, workspace: { status: "unchanged" } },
    ],
    [`/builds/${nowhere}/complete`, { ...fenced, report_through: 0, result: { status: "built", index: { tasks: [] } } }],
    ["/claim", "{"],
    ["/claim", ""],
  ])("400 for %s %j", async (path, body) => {
    const answer = await worker.wire.call("POST", `/api/worker${path}`, { body });
    expect([answer.status, typeof answer.json.error], answer.text).toEqual([400, "string"]);
  });

  test("405 for another method, 404 for an unknown path", async () => {
    expect((await worker.wire.call("GET", "/api/worker/claim")).status).toBe(405);
    expect((await worker.wire.call("POST", "/api/worker/nothing", { body: {} })).status).toBe(404);
  });
});

describe("fences", () => {
  test.each([
    [`/runs/${nowhere}/attempt-started`, attempt],
    [`/runs/${nowhere}/report`, { ...attempt, first: 1, items: [{ kind: "log", stream: "stdout", offset: 0, data: "eA==", age_ms: 0 }] }],
    [
      `/runs/${nowhere}/complete`,
      { ...attempt, end: { status: "succeeded", exit_code: 0 }, active_ms: 0, report_through: 0, workspace: { status: "unchanged" } },
    ],
    [
      `/builds/${nowhere}/report`,
      { ...fenced, first: 1, events: [{ kind: "deployment.build.log", severity: "info", message: "", attributes: {}, age_ms: 0 }] },
    ],
    ["/grants", { ...fenced, gets: [], puts: [] }],
  ])("409 stale_lease for %s without a lease", async (path, body) => {
    expect(await worker.wire.call("POST", `/api/worker${path}`, { body })).toMatchObject({ status: 409, json: { code: "stale_lease" } });
  });

  test("a gap in a report is 409 with the number that is expected", async () => {
    const { run } = await api.start();
    const held = await api.take(worker, run.id);
    await held.started();
    const item = { kind: "log" as const, stream: "stdout" as const, offset: 0, data: "eAo=", age_ms: 0 };
    const body = { lease_id: held.lease.lease_id, fence: held.lease.fence, attempt_id: held.lease.run.attempt_id, first: 3, items: [item] };
    expect(await worker.wire.call("POST", `/api/worker/runs/${run.id}/report`, { body })).toMatchObject({
      status: 409,
      json: { code: "report_gap", expected: 1 },
    });
    const wrong = await worker.wire.call("POST", `/api/worker/runs/${run.id}/report`, {
      body: { ...body, first: 1, items: [{ ...item, offset: 5 }] },
    });
    expect([wrong.status, wrong.json.error]).toEqual([400, expect.stringContaining("does not continue the stream at 0")]);
    await held.complete({ status: "succeeded", exit_code: 0 });
  });

  test("an epoch that is over cannot claim or renew", async () => {
    const other = await api.worker();
    await expect(other.claim({ epoch: 0, wait_ms: 0 })).rejects.toThrow(WireRefusal);
    (other as { epoch: number }).epoch = 0;
    await expect(other.renew()).rejects.toMatchObject({ status: 409, code: "stale_lease" });
  });
});

test("a claim that its worker gave up takes nothing; an answer that was lost is given again", async () => {
  const quitter = await api.worker();
  const hangUp = new AbortController();
  const waiting = quitter.wire.call("POST", "/api/worker/claim", {
    body: {
      epoch: quitter.epoch,
      free: { milli_cpu: 9_000, memory_mib: 90_000, disk_mib: 90_000, slots: 9 },
      warm: { images: [], workspaces: [], checkpoints: [] },
      kinds: ["run"],
      wait_ms: 60_000,
    },
    signal: hangUp.signal,
  });
  await until("the claim waits", async () => (await api.get("/healthz")).status === 200);
  hangUp.abort();
  await expect(waiting).rejects.toThrow();
  const { run } = await api.start();
  const heir = await fakeWorker({ url: api.plane.url, enrollmentSecret: api.plane.enrollmentSecret, run: succeed });
  // Whoever got it: it is not lost. The quitter's next claim names no lease and is given what it holds.
  for (const lease of await quitter.claim({ wait_ms: 500 })) if (lease.kind === "run") await succeed(quitter.take(lease));
  await api.reaches(run.id, "succeeded");
  await heir.stop();
});

test("the channel is a WebSocket with the worker's credential", async () => {
  expect((await worker.wire.call("GET", "/api/worker/channel")).status).toBe(426);
  const { status } = await worker.wire.call("GET", "/api/worker/channel", { headers: { authorization: "Bearer x" } });
  expect(status).toBe(401);
  const listener = await api.worker();
  await listener.openChannel();
  const { run } = await api.start();
  const held = await api.take(listener, run.id);
  await held.started();
  await api.post(`/api/runs/${run.id}/cancel`, { reason: "push" });
  await until("the directive came", () => listener.directives.length > 0);
  const reconnected = await listener.openChannel().then(() => listener.directives.length);
  await until("it comes again on a new connection", () => listener.directives.length >= Math.max(2, reconnected));
  await held.complete({ status: "cancelled", forced: false });
});

test("twenty workers and a hundred runs: each runs once", async () => {
  const ran = new Map<string, number>();
  const workers = await Promise.all(
    Array.from({ length: 20 }, () =>
      fakeWorker({
        url: api.plane.url,
        enrollmentSecret: api.plane.enrollmentSecret,
        capacity: { slots: 3 },
        kinds: ["run"],
        async run(run) {
          ran.set(run.lease.run.id, (ran.get(run.lease.run.id) ?? 0) + 1);
          await succeed(run);
        },
      }),
    ),
  );
  const runs = await Promise.all(Array.from({ length: 100 }, async () => (await api.start()).run.id as string));
  await Promise.all(runs.map((id) => api.reaches(id, "succeeded")));
  await Promise.all(workers.map((item) => item.stop()));
  expect(runs.map((id) => ran.get(id))).toEqual(runs.map(() => 1));
});
