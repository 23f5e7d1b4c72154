import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type WireServer, json, raw, wireServer } from "../node/testing/wire-server.ts";
import { scheduleExpected, time, tokenExpected, wireSchedule, wireToken } from "../node/testing/wire-examples.ts";
import { streams } from "../running/streams.ts";
import { HelmrClient } from "./helmr-client.ts";

vi.spyOn(console, "warn").mockImplementation(() => undefined);

let server: WireServer;
let client: HelmrClient;
beforeEach(async () => {
  server = await wireServer();
  client = new HelmrClient({ url: server.url, apiKey: "hlmr_sk_x" });
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const scope = { projectId: "p", environmentId: "e" };

test("tokens.create sends a number as milliseconds, and everything else as it was typed", async () => {
  const created = json(wireToken, 201);
  server.expect(created, created, created, created);
  expect(await client.tokens.create({ timeout: 90_000, tags: "x", metadata: { a: 1 }, idempotencyKey: "as typed" })).toEqual(tokenExpected);
  expect(server.lastBody()).toEqual({ timeout: 90_000, tags: ["x"], metadata: { a: 1 }, idempotency_key: "as typed" });
  await client.tokens.create({ timeout: "1h30m", tags: ["x", "y"], ...scope });
  expect(server.lastBody()).toEqual({ timeout: "1h30m", tags: ["x", "y"] });
  await client.tokens.create({ timeout: { minutes: 1, seconds: 30 } });
  expect(server.lastBody()).toEqual({ timeout: { minutes: 1, seconds: 30 } });
  await client.tokens.create();
  expect(server.lastBody()).toEqual({});
  expect(server.lines()).toEqual([
    "POST /api/tokens",
    "POST /api/projects/p/environments/e/tokens",
    "POST /api/tokens",
    "POST /api/tokens",
  ]);
});

test.each([0, -5, Number.NaN, "0s", "soon", {}, { seconds: 0 }, { duration: "x" }, { minutes: "5" }])(
  "tokens.create refuses the timeout %j",
  async (timeout) => {
    await expect(client.tokens.create({ timeout: timeout as number })).rejects.toThrow("timeout of a token must be greater than zero");
    expect(server.requests).toEqual([]);
  },
);

test("tokens: retrieve, listPage, list and cancel", async () => {
  server.expect(
    json({ id: "t", status: "pending", timeout_at: null }),
    json({ tokens: [wireToken], next_cursor: "token-1" }),
    json({ tokens: [wireToken] }),
    json(wireToken),
  );
  expect(await client.tokens.retrieve("t")).toEqual({ id: "t", status: "pending", timeoutAt: null });
  expect(await client.tokens.listPage({ status: "pending", cursor: "c", limit: 2 })).toEqual({
    tokens: [tokenExpected],
    nextCursor: "token-1",
  });
  expect(await client.tokens.list()).toEqual([tokenExpected]);
  expect(await client.tokens.cancel({ id: "t/1" })).toEqual(tokenExpected);
  expect(server.lastBody()).toEqual({});
  expect(server.lines()).toEqual([
    "GET /api/tokens/t",
    "GET /api/tokens?status=pending&cursor=c&limit=2",
    "GET /api/tokens",
    "POST /api/tokens/t%2F1/cancel",
  ]);
});

test("tokens.complete uses the token's own public token when it has one", async () => {
  const answer = json({ status: "already_completed", token: wireToken });
  server.expect(answer, answer, answer, answer);
  expect(await client.tokens.complete("t", { a: 1 })).toEqual({ status: "already_completed", token: tokenExpected });
  expect(server.lastBody()).toEqual({ data: { a: 1 } });
  await client.tokens.complete({ id: "t", publicAccessToken: "hlmr_public_access_own", timeoutAt: null }, null);
  expect(server.lastBody()).toEqual({ data: null });
  await client.tokens.complete("t", undefined, { publicAccessToken: "hlmr_public_access_given" });
  expect(server.lastBody()).toEqual({});
  await client.tokens.complete({ id: "t" }, 1, scope);
  expect(server.lines()).toEqual([
    "POST /api/tokens/t/complete",
    "POST /api/v1/tokens/t/complete",
    "POST /api/v1/tokens/t/complete",
    "POST /api/projects/p/environments/e/tokens/t/complete",
  ]);
  expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([
    "Bearer hlmr_sk_x",
    "Bearer hlmr_public_access_own",
    "Bearer hlmr_public_access_given",
    "Bearer hlmr_sk_x",
  ]);
  await expect(client.tokens.complete("t", 1, { publicAccessToken: "x", ...scope })).rejects.toThrow(
    "publicAccessToken cannot be combined",
  );
});

test("outside a task tokens.create of the namespace uses HTTP, and its wait belongs to tasks", async () => {
  vi.resetModules();
  vi.stubEnv("HELMR_API_URL", server.url);
  vi.stubEnv("HELMR_API_KEY", "hlmr_sk_env");
  const { tokens } = await import("../namespaces.ts");
  server.expect(
    json(wireToken, 201),
    json(wireToken),
    json({ tokens: [wireToken] }),
    json({ tokens: [] }),
    json({ status: "completed", token: wireToken }),
    json(wireToken),
  );
  const token = await tokens.create({ timeout: 1000 });
  expect(token).toEqual(tokenExpected);
  expect(server.lastBody()).toEqual({ timeout: 1000 });
  expect(() => token.wait()).toThrow("Helmr run APIs can only be used while a task is running");
  expect(() => tokens.wait(token)).toThrow("Helmr run APIs can only be used while a task is running");
  expect(typeof (await tokens.retrieve("t")).wait).toBe("function");
  expect((await tokens.listPage()).tokens.map((one) => typeof one.wait)).toEqual(["function"]);
  expect(await tokens.list()).toEqual([]);
  expect((await tokens.complete(token, 5)).status).toBe("completed");
  expect(server.requests.at(-1)?.headers.authorization).toBe("Bearer hlmr_public_access_x");
  expect(await tokens.cancel(token)).toEqual(tokenExpected);
});

test("schedules: every call, body and path", async () => {
  const answer = json(wireSchedule);
  const { schedules } = client;
  server.expect(json(wireSchedule, 201), answer, json({ schedules: [wireSchedule] }), answer, answer, answer, raw("", 204));
  const options = { queue: "slow", concurrencyKey: "k", priority: -5, ttl: "10m", maxDurationSeconds: 60 };
  expect(
    await schedules.create({
      deduplicationKey: "nightly",
      externalId: "mine",
      task: "hello",
      cron: "0 3 * * *",
      timezone: "UTC",
      active: false,
      options,
    }),
  ).toEqual(scheduleExpected);
  expect(server.lastBody()).toEqual({
    deduplication_key: "nightly",
    external_id: "mine",
    task: "hello",
    cron: "0 3 * * *",
    timezone: "UTC",
    active: false,
    options: { queue: { name: "slow" }, concurrency_key: "k", priority: -5, ttl: "10m", max_duration_seconds: 60 },
  });
  await schedules.update({ id: "s/1" }, { task: "hello", cron: "* * * * *", options: {}, ...scope });
  expect(server.lastBody()).toEqual({ task: "hello", cron: "* * * * *", options: {} });
  expect(await schedules.list()).toEqual([scheduleExpected]);
  expect(await schedules.retrieve("s1")).toEqual(scheduleExpected);
  await schedules.activate("s1");
  expect(server.requests.at(-1)).toMatchObject({ body: "", headers: expect.not.objectContaining({ "content-type": expect.anything() }) });
  await schedules.deactivate("s1");
  expect(await schedules.delete("s1", scope)).toBeUndefined();
  expect(server.lines()).toEqual([
    "POST /api/schedules",
    "PUT /api/projects/p/environments/e/schedules/s%2F1",
    "GET /api/schedules",
    "GET /api/schedules/s1",
    "POST /api/schedules/s1/activate",
    "POST /api/schedules/s1/deactivate",
    "DELETE /api/projects/p/environments/e/schedules/s1",
  ]);
});

test("a schedule without optional members", async () => {
  const bare = {
    id: "s",
    type: "declarative",
    project_id: "p",
    environment_id: "e",
    task: "t",
    cron: "* * * * *",
    timezone: "UTC",
    active: true,
    status: "active",
    created_at: time,
    updated_at: time,
  };
  server.expect(json(bare));
  expect(await client.schedules.retrieve("s")).toEqual({
    id: "s",
    type: "declarative",
    projectId: "p",
    environmentId: "e",
    task: "t",
    cron: "* * * * *",
    timezone: "UTC",
    active: true,
    status: "active",
    createdAt: time,
    updatedAt: time,
  });
});

const wirePat = {
  id: "pat-1",
  public_access_token: "hlmr_pat_x",
  scope: { type: "session.input.send", session: { type: "id", id: "s" }, stream: "in", correlation_id: "c" },
  expires_at: time,
  max_uses: 3,
  created_at: time,
};

test("auth.createPublicToken", async () => {
  server.expect(
    json(wirePat, 201),
    json({ ...wirePat, max_uses: undefined, scope: { ...wirePat.scope, correlation_id: undefined } }, 201),
    json(wirePat, 201),
  );
  const { auth } = client;
  const made = await auth.createPublicToken({
    scope: { type: "session.input.send", session: { id: "s" }, stream: streams.input("in"), correlationId: "c" },
    expiresAt: new Date("2027-01-01T00:00:00Z"),
    maxUses: 3,
  });
  expect(made).toEqual({
    id: "pat-1",
    publicAccessToken: "hlmr_pat_x",
    scope: { type: "session.input.send", session: { type: "id", id: "s" }, stream: "in", correlationId: "c" },
    expiresAt: time,
    maxUses: 3,
    createdAt: time,
  });
  expect(server.lastBody()).toEqual({
    scope: { type: "session.input.send", session: { type: "id", id: "s" }, stream: "in", correlation_id: "c" },
    expires_at: "2027-01-01T00:00:00.000Z",
    max_uses: 3,
  });
  const plain = await auth.createPublicToken({
    scope: { type: "session.output.read", session: { externalId: "o" }, stream: "out" },
    ...scope,
  });
  expect(plain).not.toHaveProperty("maxUses");
  expect(plain.scope).not.toHaveProperty("correlationId");
  expect(server.lastBody()).toEqual({
    project_id: "p",
    environment_id: "e",
    scope: { type: "session.output.read", session: { type: "external_id", external_id: "o" }, stream: "out" },
  });
  const both = { id: "s", externalId: "o" };
  await auth.createPublicToken({ scope: { type: "session.output.read", session: both, stream: "out" } });
  expect(server.lastBody()).toMatchObject({ scope: { session: { type: "id", id: "s" } } });
  expect(new Set(server.lines())).toEqual(new Set(["POST /api/public-access-tokens"]));
  await expect(
    auth.createPublicToken({ scope: { type: "session.output.read", session: "s", stream: streams.input("in") } }),
  ).rejects.toThrow('Stream "in" is an input stream and is used as an output stream');
  await expect(
    auth.createPublicToken({ scope: { type: "session.output.read", session: "s", stream: "o" }, projectId: "p" }),
  ).rejects.toThrow("must be provided together");
  expect(server.requests.length).toBe(3);
});
