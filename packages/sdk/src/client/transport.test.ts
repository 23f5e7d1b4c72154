import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AuthError, HelmrApiError, UnsupportedTransportError } from "../errors.ts";
import { type WireServer, json, raw, silence, wireServer } from "../node/testing/wire-server.ts";
import { runSnapshotExpected, wireRun } from "../node/testing/wire-examples.ts";
import { HelmrClient } from "./helmr-client.ts";

let warnings: string[];
let server: WireServer;
beforeEach(async () => {
  warnings = [];
  vi.spyOn(console, "warn").mockImplementation((text: string) => {
    warnings.push(text);
  });
  vi.stubEnv("HELMR_API_URL", undefined);
  vi.stubEnv("HELMR_API_KEY", undefined);
  server = await wireServer();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

test.each([
  [undefined, "The Helmr URL is missing; pass { url } to HelmrClient or set HELMR_API_URL"],
  [" ", "The Helmr URL is missing"],
  ["helmr.example.com", "The Helmr URL is invalid"],
  ["ftp://helmr.example.com", "The Helmr URL must use https, and uses ftp"],
  ["http://helmr.example.com", "The Helmr URL must use https for helmr.example.com"],
  ["http://127.evil.com", "must use https for 127.evil.com"],
  ["http://10.0.0.1", "must use https for 10.0.0.1"],
  ["https://h/?a=1", "must have no query and no fragment"],
  ["https://h/#x", "must have no query and no fragment"],
  ["https://h/?", "must have no query and no fragment"],
  ["https://user:secret@h/", "must hold no credentials"],
])("new HelmrClient({ url: %j }) is refused", (url, message) => {
  const create = (): HelmrClient => new HelmrClient(url === undefined ? {} : { url });
  expect(create).toThrow(UnsupportedTransportError);
  expect(create).toThrow(message);
});

test("http on this machine is allowed, with a warning at each construction; https has none", () => {
  const urls = ["http://localhost:3000", "http://127.0.0.1", "http://127.1.2.3/base/", "http://[::1]:80"];
  const create = (url: string): HelmrClient => new HelmrClient({ url });
  for (const url of urls) create(url);
  expect(warnings.length).toBe(urls.length);
  create("http://localhost:3000");
  expect(warnings.length).toBe(urls.length + 1);
  create("https://helmr.example.com");
  expect(warnings.length).toBe(urls.length + 1);
});

test("URL and key come from the environment when they are not given, and a base path is kept", async () => {
  vi.stubEnv("HELMR_API_URL", `${server.url}/base/path/`);
  vi.stubEnv("HELMR_API_KEY", " hlmr_sk_env ");
  server.expect(json(wireRun));
  expect(await new HelmrClient().runs.retrieve("run-1")).toEqual(runSnapshotExpected);
  const [request] = server.requests;
  expect(server.lines()).toEqual(["GET /base/path/api/runs/run-1"]);
  expect(request?.headers).toMatchObject({
    authorization: "Bearer hlmr_sk_env",
    "helmr-api-version": "2026-06-06",
    "helmr-sdk-version": "0.1.0",
    accept: "application/json",
  });
  expect(request?.headers["content-type"]).toBeUndefined();
  expect(request?.body).toBe("");
});

test("without a key no authorization is sent, and the 401 says so", async () => {
  server.expect(json({ error: "authentication is required" }, 401));
  const failure = new HelmrClient({ url: server.url }).runs.retrieve("run-1");
  await expect(failure).rejects.toThrow(AuthError);
  await expect(failure).rejects.toThrow("Helmr authentication failed");
  expect(server.requests[0]?.headers["authorization"]).toBeUndefined();
});

test.each([400, 403, 404, 409, 410, 413, 500, 503])("a %d is HelmrApiError with the raw body", async (status) => {
  const body = '{"error":"no","code":"session_terminal"}\n';
  server.expect(raw(body, status));
  const error: unknown = await new HelmrClient({ url: server.url }).runs.retrieve("x").catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(HelmrApiError);
  expect(error).toMatchObject({ status, message: `Helmr API ${status}: ${body}` });
});

test("project and environment select the prefixed routes: both or neither", async () => {
  const client = new HelmrClient({ url: server.url, apiKey: "session-token" });
  server.expect(json(wireRun));
  await client.runs.retrieve("run/1?x", { projectId: "my project", environmentId: "production" });
  expect(server.lines()).toEqual(["GET /api/projects/my%20project/environments/production/runs/run%2F1%3Fx"]);
  await expect(client.runs.retrieve("x", { projectId: "p" })).rejects.toThrow("projectId and environmentId must be provided together");
  await expect(client.tokens.cancel("x", { environmentId: "e" })).rejects.toThrow("projectId and environmentId must be provided together");
  expect(server.requests.length).toBe(1);
});

test("every call can be aborted", async () => {
  const abort = new AbortController();
  server.expect(silence);
  const waiting = new HelmrClient({ url: server.url }).runs.retrieve("x", { signal: abort.signal });
  await vi.waitFor(() => expect(server.requests.length).toBe(1));
  abort.abort(new RangeError("enough"));
  await expect(waiting).rejects.toThrow("enough");
});

test("an answer that is not JSON is told apart from an error of the API", async () => {
  server.expect(raw("<html>proxy</html>"));
  await expect(new HelmrClient({ url: server.url }).runs.retrieve("x")).rejects.toThrow(/is not JSON: <html>proxy<\/html>$/);
});

test("an id must be one", async () => {
  const client = new HelmrClient({ url: server.url });
  await expect(client.runs.retrieve(" ")).rejects.toThrow("a run must be an id or an object with one");
  await expect(client.tokens.retrieve({} as { id: string })).rejects.toThrow("a token must be an id or an object with one");
  expect(() => client.workspaces.open("")).toThrow("a workspace must be an id or an object with one");
  expect(() => client.sessions.open({} as { id: string })).toThrow(
    "A session must be named by its id, an object with id, or { externalId }",
  );
  expect(() => client.sessions.open({ externalId: " " })).toThrow("must not be blank");
  expect(server.requests).toEqual([]);
});

test("the lazy namespaces share one client that is built on first use", async () => {
  vi.resetModules();
  const fresh = await import("../namespaces.ts");
  // Looking at a namespace, or asking whether it is a promise, builds nothing.
  expect(await Promise.resolve(fresh.sessions)).toBe(fresh.sessions);
  expect(() => Reflect.get(fresh.sessions, "list") as unknown).toThrow("The Helmr URL is missing");
  expect(typeof fresh.schedules.task).toBe("function");
  vi.stubEnv("HELMR_API_URL", server.url);
  server.expect(json({ runs: [] }), json({ sessions: [] }), json({ workspaces: [] }), json({ schedules: [] }), json({ tokens: [] }));
  expect(await fresh.runs.list()).toEqual([]);
  expect(await fresh.sessions.list()).toEqual([]);
  expect(await fresh.workspaces.list()).toEqual([]);
  expect(await fresh.schedules.list()).toEqual([]);
  expect(await fresh.tokens.list()).toEqual([]);
  expect(warnings.length).toBe(1);
  expect(server.lines()).toEqual(["GET /api/runs", "GET /api/sessions", "GET /api/workspaces", "GET /api/schedules", "GET /api/tokens"]);
});
