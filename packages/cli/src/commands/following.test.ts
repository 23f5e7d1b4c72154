/** Waiting for runs and following them (cli §5.3, §5.4). */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { apiEndpoints } from "@helmr/protocol/api";
import { describe, expect, test } from "vitest";
import { eventStream, frame } from "../testing/fake-server.ts";
import { testEnvironment } from "../testing/environment.ts";

const env = testEnvironment();
const fails = (line: string) => ({ code: 1, stdout: "", stderr: `${line}\n` });

const run = apiEndpoints.runs.get.example!.response as { id: string; session_id: string; status: string };
const session = apiEndpoints.sessions.get.example!.response as { id: string; workspace_id: string };
const live = { ...run, status: "running", exit_code: null };
const runPath = `/api/runs/${run.id}`;
const event = (id: number, kind: string) => frame(id, "run_event", { id: String(id), kind, message: kind, attributes: {} });
const chunk = (id: number, stream: string, text: string) =>
  frame(id, "run_log", {
    id: String(id),
    run_id: run.id,
    stream,
    content_base64: Buffer.from(text).toString("base64"),
    bytes: text.length,
  });

describe("helmr run wait", () => {
  test("answers at once for a run that has ended", async () => {
    env.server.on(`GET ${runPath}`, { body: run });
    expect(await env.withKey(["run", "wait", run.id])).toEqual({
      code: 0,
      stdout: `run_id: ${run.id}\nrun_status: succeeded\nsession_id: ${run.session_id}\n`,
      stderr: "",
    });
    expect(env.server.lines).toEqual([`GET ${runPath}`]);
  });

  test("follows the events until the terminal one, then reads the run", async () => {
    env.server.on(`GET ${runPath}`, { body: live }, { body: live }, { body: run });
    env.server.on(
      `GET ${runPath}/events`,
      eventStream([": hello\n\n", event(1, "run.created"), event(2, "run.retry_scheduled"), event(3, "run.completed")]),
    );
    const { code, stdout } = await env.withKey(["run", "wait", run.id, "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(run);
    expect(env.server.lines).toEqual([`GET ${runPath}`, `GET ${runPath}/events?follow=1&cursor=0`, `GET ${runPath}`, `GET ${runPath}`]);
    expect(env.server.requests[1]!.headers.accept).toBe("text/event-stream");
  });

  test("connects again behind the last event after a broken stream and after 5xx", async () => {
    env.server.on(`GET ${runPath}`, { body: live }, { body: run });
    env.server.on(
      `GET ${runPath}/events`,
      eventStream([event(1, "run.created"), event(2, "log")], { end: "broken" }),
      { status: 503 },
      eventStream([event(3, "run.failed")]),
    );
    expect(await env.withKey(["run", "wait", run.id])).toMatchObject({ code: 0 });
    expect(env.server.lines.filter((line) => line.includes("events"))).toEqual(
      [0, 2, 2].map((cursor) => `GET ${runPath}/events?follow=1&cursor=${cursor}`),
    );
  });

  test.each([
    ["a 4xx answer", { status: 403, body: { error: "permission is required" } }, "403 Forbidden: permission is required"],
    [
      "malformed JSON",
      eventStream(["id: 1\nevent: run_event\ndata: {\n\n"]),
      "the event stream sent an event run_event that is not valid JSON",
    ],
    [
      "an oversized event",
      eventStream([`id: 1\nevent: run_event\ndata: "${"x".repeat(1024 * 1024)}"\n\n`]),
      "the event stream sent an event run_event that is too large",
    ],
  ])("ends with %s", async (_what, answer, text) => {
    env.server.on(`GET ${runPath}`, { body: live });
    env.server.on(`GET ${runPath}/events`, answer);
    expect(await env.withKey(["run", "wait", run.id])).toEqual(fails(text));
  });

  test("says so when the run does not become terminal after its last event", async () => {
    env.server.on(`GET ${runPath}`, { body: live });
    env.server.on(`GET ${runPath}/events`, eventStream([event(1, "run.completed")]));
    expect(await env.withKey(["run", "wait", run.id])).toEqual(
      fails("reached a terminal event but the terminal snapshot did not converge"),
    );
    // Every 100 ms for 5 s, and once before.
    expect(env.server.lines.filter((line) => line === `GET ${runPath}`).length).toBeGreaterThan(20);
  }, 15_000);

  test("gives up after --timeout", async () => {
    env.server.on(`GET ${runPath}`, { body: live });
    env.server.on(`GET ${runPath}/events`, eventStream([event(1, "run.created")], { end: "open" }));
    expect(await env.withKey(["run", "wait", run.id, "--timeout", "200ms"])).toEqual(
      fails(`wait for run ${run.id}: context deadline exceeded`),
    );
  });

  test.each(["failed", "cancelled", "expired"])("exits with 0 for a run that is %s, and with 2 with --exit-status", async (status) => {
    env.server.on(`GET ${runPath}`, { body: { ...run, status } });
    expect(await env.withKey(["run", "wait", run.id])).toMatchObject({ code: 0 });
    const stdout = `run_id: ${run.id}\nrun_status: ${status}\nsession_id: ${run.session_id}\n`;
    expect(await env.withKey(["run", "wait", run.id, "--exit-status"])).toEqual({ code: 2, stdout, stderr: "" });
  });
});

describe("helmr run events", () => {
  const item = (id: number, kind = "log") => ({ id: String(id), kind, message: kind });

  test("prints one event per line, every page of them", async () => {
    env.server.on(
      `GET ${runPath}/events`,
      { body: { events: [item(1), item(2)], cursor: 0, next_cursor: 2 } },
      { body: { events: [item(3)], cursor: 2 } },
    );
    const { stdout } = await env.withKey(["run", "events", run.id]);
    expect(stdout).toBe([1, 2, 3].map((id) => `${JSON.stringify(item(id))}\n`).join(""));
    expect(env.server.lines).toEqual([`GET ${runPath}/events`, `GET ${runPath}/events?cursor=2`]);
  });

  test("prints one page with --limit", async () => {
    env.server.on(`GET ${runPath}/events`, { body: { events: [item(8)], cursor: 7, next_cursor: 8 } });
    await env.withKey(["run", "events", run.id, "--cursor", "7", "--limit", "1"]);
    expect(env.server.lines).toEqual([`GET ${runPath}/events?cursor=7&limit=1`]);
  });

  test("follows until the terminal event", async () => {
    env.server.on(`GET ${runPath}/events`, eventStream([event(5, "log"), event(6, "run.cancelled"), event(7, "never")]));
    const { code, stdout } = await env.withKey(["run", "events", run.id, "--follow", "--cursor", "4"]);
    expect(code).toBe(0);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as { kind: string }).kind),
    ).toEqual(["log", "run.cancelled"]);
    expect(env.server.lines).toEqual([`GET ${runPath}/events?follow=1&cursor=4`]);
  });

  test.each([
    ["--cursor", "-1"],
    ["--cursor", "x"],
    ["--limit", "0"],
  ])("refuses %s %s", async (flag, value) => {
    expect(await env.withKey(["run", "events", run.id, flag, value])).toMatchObject({ code: 1, stdout: "" });
    expect(env.server.requests).toEqual([]);
  });
});

describe("helmr run logs", () => {
  const snapshot = {
    stdout_base64: Buffer.from([104, 105, 255, 10]).toString("base64"),
    stderr_base64: Buffer.from("oh\n").toString("base64"),
    cursor: "7",
    stdout_bytes: 4,
    stderr_bytes: 3,
    truncated: false,
  };

  test("prints the bytes of both streams", async () => {
    env.server.on(`GET ${runPath}/logs`, { body: snapshot });
    const { code, stdout, stderr } = await env.withKey(["run", "logs", run.id]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "oh\n" });
    expect(Buffer.from(stdout).toString("hex")).toBe(Buffer.from("hi\uFFFD\n").toString("hex"));
    expect(env.server.lines).toEqual([`GET ${runPath}/logs`]);
  });

  test("follows from the snapshot, drains once more, and prints nothing twice", async () => {
    env.server.on(
      `GET ${runPath}/logs`,
      { body: snapshot },
      eventStream([chunk(7, "stdout", "again\n"), chunk(8, "stdout", "a\n"), chunk(9, "stderr", "b\n")], { end: "broken" }),
      eventStream([chunk(10, "stdout", "c\n")]),
      eventStream([chunk(11, "stdout", "late\n")]),
    );
    env.server.on(`GET ${runPath}`, { body: live }, { body: { ...run, status: "failed" } });
    const { code, stdout, stderr } = await env.withKey(["run", "logs", run.id, "--follow"]);
    expect(code).toBe(0);
    expect(stdout.slice(stdout.indexOf("\n") + 1)).toBe("a\nc\nlate\n");
    expect(stderr).toBe("oh\nb\n");
    expect(env.server.lines.filter((line) => line.includes("/logs?"))).toEqual(
      [7, 9, 10].map((cursor) => `GET ${runPath}/logs?follow=1&cursor=${cursor}`),
    );
  });

  const record = (id: number, more: object) => ({
    id: String(id),
    at: "2026-06-06T09:30:00.125Z",
    stream: "stdout",
    message: "hello",
    ...more,
  });
  const records = [record(1, {}), record(2, { stream: "logger", level: "warn", message: "two\nlines\tand a tab", fields: { a: 1 } })];

  test("prints records as text and as JSON lines, every page", async () => {
    env.server.on(
      `GET ${runPath}/logs`,
      { body: { records, cursor: 0, next_cursor: 2 } },
      { body: { records: [record(3, { stream: "stderr" })], cursor: 2 } },
    );
    const text = await env.withKey(["run", "logs", run.id, "--records"]);
    expect(text.stdout).toBe(
      '2026-06-06T09:30:00Z\tstdout\thello\n2026-06-06T09:30:00Z\twarn\ttwo lines and a tab\t{"a":1}\n2026-06-06T09:30:00Z\tstderr\thello\n',
    );
    expect(env.server.lines).toEqual([`GET ${runPath}/logs?format=records&cursor=0`, `GET ${runPath}/logs?format=records&cursor=2`]);
    env.server.on(`GET ${runPath}/logs`, { body: { records, cursor: 0 } });
    const json = await env.withKey(["run", "logs", run.id, "--records", "--json"]);
    expect(json.stdout).toBe(records.map((one) => `${JSON.stringify(one)}\n`).join(""));
  });

  test("follows records", async () => {
    env.server.on(
      `GET ${runPath}/logs`,
      { body: { records: [record(4, {})], cursor: 0 } },
      eventStream([frame(5, "run_log_record", record(5, { message: "live" })), chunk(6, "stdout", "no record")]),
      eventStream([]),
    );
    env.server.on(`GET ${runPath}`, { body: run });
    const { code, stdout } = await env.withKey(["run", "logs", run.id, "--records", "--follow", "--json"]);
    expect(code).toBe(0);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as { id: string }).id),
    ).toEqual(["4", "5"]);
    expect(env.server.lines[1]).toBe(`GET ${runPath}/logs?format=records&follow=1&cursor=4`);
  });

  test("has JSON for records only", async () => {
    expect(await env.withKey(["run", "logs", run.id, "--json"])).toEqual(fails("--json needs --records"));
  });
});

describe("helmr session start", () => {
  const started = { session, run: live };
  const start = (...argv: string[]) => env.withKey(["session", "start", "hello", ...argv]);
  const sent = () => env.server.requests[0]!.json;

  test("prints the ids and sends an empty payload by default", async () => {
    env.server.on("POST /api/sessions", { status: 201, body: started });
    expect(await start()).toEqual({
      code: 0,
      stdout: `session_id: ${session.id}\nrun_id: ${run.id}\nworkspace_id: ${session.workspace_id}\n`,
      stderr: "",
    });
    expect(sent()).toEqual({ task_id: "hello", payload: {} });
    expect(env.server.requests).toHaveLength(1);
  });

  test("sends every option", async () => {
    env.server.on("POST /api/sessions", { body: { ...started, is_cached: true } });
    await writeFile(path.join(env.directory, "retry.json"), '{"maxAttempts": 3}');
    const { stdout } = await env.withKey(
      [
        "session",
        "start",
        "hello",
        "--payload-json",
        '{"b": 12345678901234567890}',
        "--queue",
        "q",
        "--concurrency-key",
        "c",
        "--priority",
        "-5",
        "--ttl",
        "10m",
        "--max-duration-seconds",
        "60",
        "--metadata-json",
        '{"m":1}',
        "--tag",
        "x",
        "--tag",
        "y",
        "--retry-file",
        "retry.json",
        "--idempotency-key",
        "  Key ",
        "--idempotency-key-ttl",
        "7d",
        "--workspace",
        "w",
        "--json",
      ],
      { cwd: env.directory },
    );
    expect(sent()).toEqual({
      task_id: "hello",
      payload: expect.anything() as unknown,
      queue: { name: "q" },
      concurrency_key: "c",
      priority: -5,
      ttl: "10m",
      max_duration_seconds: 60,
      metadata: { m: 1 },
      tags: ["x", "y"],
      retry: { maxAttempts: 3 },
      idempotency_key: "Key",
      idempotency_key_ttl: "7d",
      workspace_id: "w",
    });
    expect(env.server.last.body.toString()).toContain('"payload":{"b": 12345678901234567890}');
    expect(JSON.parse(stdout)).toEqual({ ...started, is_cached: true });
  });

  test("makes a payload of pairs", async () => {
    env.server.on("POST /api/sessions", { status: 201, body: started });
    await start("--payload", "name= Ada ", "--payload", "n=1", "--payload", "e=a=b");
    expect(sent()).toMatchObject({ payload: { name: "Ada", n: "1", e: "a=b" } });
  });

  test("reads the payload from a file", async () => {
    env.server.on("POST /api/sessions", { status: 201, body: started });
    await writeFile(path.join(env.directory, "p.json"), "[1, 2]\n");
    await env.withKey(["session", "start", "hello", "--payload-file", "p.json"], { cwd: env.directory });
    expect(sent()).toMatchObject({ payload: [1, 2] });
  });

  test.each([
    [["--payload-file", "f", "--payload-json", "{}"], "--payload-file and --payload-json cannot be used together"],
    [["--payload-file", "f", "--payload", "a=b"], "--payload-file and --payload cannot be used together"],
    [["--payload-json", "{}", "--payload", "a=b"], "--payload-json and --payload cannot be used together"],
    [["--metadata-file", "f", "--metadata-json", "{}"], "--metadata-file and --metadata-json cannot be used together"],
    [["--retry-file", "f", "--retry-json", "{}"], "--retry-file and --retry-json cannot be used together"],
    [["--payload", "a"], '--payload must be KEY=VALUE with both parts filled, not "a"'],
    [["--payload", " =b"], '--payload must be KEY=VALUE with both parts filled, not " =b"'],
    [["--payload", "a= "], '--payload must be KEY=VALUE with both parts filled, not "a= "'],
    [["--project", "a=b"], '--project "a=b" looks like a member of the payload; use --payload a=b'],
    [["--json", "--follow"], "--json cannot be used with --follow"],
    [["--timeout", "5s"], "--timeout needs --wait or --follow"],
    [["--exit-status"], "--exit-status needs --wait or --follow"],
    [["--priority", "2147483648"], '--priority must be an integer between -2147483648 and 2147483647, not "2147483648"'],
    [["--external-id", "x"], "unknown option '--external-id'"],
    [["--wait", "--timeout", "0s"], '--timeout must be a duration greater than zero, such as 90s, 1h30m or 2d, not "0s"'],
  ])("refuses %j before any request", async (flags, text) => {
    expect(await start(...flags)).toEqual(fails(text));
    expect(env.server.requests).toEqual([]);
  });

  test("repeats a pending start after Retry-After", async () => {
    const pending = { status: 202, headers: { "retry-after": "0" }, body: { error: "session_start_pending", code: "idempotency_pending" } };
    env.server.on("POST /api/sessions", pending, pending, { body: started });
    expect(await start("--idempotency-key", "k")).toMatchObject({ code: 0 });
    expect(env.server.requests).toHaveLength(3);
  });

  test("gives a pending start up when the next try would be too late", async () => {
    env.server.on("POST /api/sessions", {
      status: 202,
      headers: { "retry-after": "60" },
      body: { error: "session_start_pending", code: "idempotency_pending" },
    });
    expect(await start()).toEqual(fails("202 Accepted: session_start_pending"));
    env.server.on("POST /api/sessions", { status: 202, body: { error: "other" } });
    expect(await start()).toEqual(fails("202 Accepted: other"));
  });

  test("prints the console's address with a login, where the server tells it", async () => {
    const prefix = "/api/projects/p/environments/e";
    env.server.on(`POST ${prefix}/sessions`, { status: 201, body: started });
    env.server.on("GET /api/me", { body: { public_url: "https://h/" } }, { status: 500 });
    const withLogin = () => env.withLogin(["session", "start", "hello", "-p", "p", "-e", "e"]);
    expect((await withLogin()).stdout).toContain(`\nconsole_url: https://h/sessions/${session.id}\n`);
    const without = await withLogin();
    expect(without).toMatchObject({ code: 0, stderr: "" });
    expect(without.stdout).not.toContain("console_url");
    await env.withLogin(["session", "start", "hello", "-p", "p", "-e", "e", "--json"]);
    expect(env.server.lines.filter((line) => line === "GET /api/me")).toHaveLength(2);
  });

  test("waits, and tells the outcome without failing", async () => {
    env.server.on("POST /api/sessions", { status: 201, body: started });
    env.server.on(`GET ${runPath}/events`, eventStream([event(1, "run.failed")]));
    env.server.on(`GET ${runPath}`, { body: { ...run, status: "failed" } });
    const text = await start("--wait");
    expect(text).toMatchObject({ code: 0, stderr: "" });
    expect(text.stdout).toBe(`session_id: ${session.id}\nrun_id: ${run.id}\nworkspace_id: ${session.workspace_id}\nrun_status: failed\n`);
    const json = await start("--wait", "--json", "--exit-status");
    expect(json.code).toBe(2);
    expect(JSON.parse(json.stdout)).toEqual({ session, run: { ...run, status: "failed" } });
    expect(env.server.lines).not.toContain("POST /api/sessions/start-and-wait");
  });

  test("that is cached and has ended needs no waiting", async () => {
    env.server.on("POST /api/sessions", { body: { session, run, is_cached: true } });
    expect((await start("--wait")).stdout).toContain("run_status: succeeded\n");
    expect(env.server.requests).toHaveLength(1);
  });

  test("gives up waiting after --timeout and still tells the ids", async () => {
    env.server.on("POST /api/sessions", { status: 201, body: started });
    env.server.on(`GET ${runPath}/events`, eventStream([], { end: "open" }));
    const json = await start("--wait", "--json", "--timeout", "1ms");
    expect(json).toMatchObject({ code: 1, stderr: `wait for run ${run.id}: context deadline exceeded\n` });
    expect(JSON.parse(json.stdout)).toEqual(started);
  });

  test("follows what the run prints", async () => {
    env.server.on("POST /api/sessions", { status: 201, body: started });
    env.server.on(`GET ${runPath}/events`, eventStream([event(1, "run.completed")]));
    env.server.on(`GET ${runPath}`, { body: run });
    env.server.on(
      `GET ${runPath}/logs`,
      eventStream([chunk(1, "stdout", "one\n"), chunk(2, "stderr", "two\n"), chunk(3, "stdout", "no line break")]),
      eventStream([]),
    );
    const result = await start("--follow");
    expect(result).toEqual({
      code: 0,
      stdout: `session_id: ${session.id}\nrun_id: ${run.id}\nworkspace_id: ${session.workspace_id}\none\nno line break\nrun_status: succeeded\n`,
      stderr: "two\n",
    });
  });

  test("that times out while following prints the session's status", async () => {
    env.server.on("POST /api/sessions", { status: 201, body: started });
    env.server.on(`GET ${runPath}/events`, eventStream([], { end: "open" }));
    env.server.on(`GET ${runPath}/logs`, eventStream([chunk(1, "stdout", "one\n")], { end: "open" }));
    env.server.on(`GET /api/sessions/${session.id}`, { body: { ...session, status: "cancelled" } });
    const result = await start("--follow", "--timeout", "300ms");
    expect(result).toMatchObject({ code: 1, stderr: "context deadline exceeded\n" });
    expect(result.stdout).toBe(
      `session_id: ${session.id}\nrun_id: ${run.id}\nworkspace_id: ${session.workspace_id}\none\nsession_status: cancelled\n`,
    );
  });

  test("is cancelled by an interrupt", async () => {
    env.server.on("POST /api/sessions", { status: 201, body: started });
    env.server.on(`GET ${runPath}/events`, eventStream([], { end: "open" }));
    const controller = new AbortController();
    const { Failure } = await import("../failure.ts");
    const result = env.withKey(["session", "start", "hello", "--wait"], {
      signal: controller.signal,
      onOutput: () => setTimeout(() => controller.abort(new Failure("cancelled")), 50),
    });
    expect(await result).toMatchObject({ code: 1, stderr: "cancelled\n" });
  });
});

describe("helmr session get --external-id", () => {
  const get = (...argv: string[]) => env.withKey(["session", "get", ...argv]);

  test("finds the only match", async () => {
    env.server.on("GET /api/sessions", { body: { sessions: [session] } });
    expect((await get("--external-id", "o 1", "--json")).stdout).toBe(`${JSON.stringify(session)}\n`);
    expect(env.server.lines).toEqual(["GET /api/sessions?external_id=o+1&limit=2"]);
  });

  test("fails for none and for several", async () => {
    env.server.on("GET /api/sessions", { body: { sessions: [] } }, { body: { sessions: [session, session] } });
    expect(await get("--external-id", "o")).toEqual(fails('no session has the external id "o"'));
    expect(await get("--external-id", "o")).toEqual(fails('more than one session has the external id "o"'));
  });

  test("and SESSION exclude each other", async () => {
    expect(await get()).toEqual(fails("session get needs SESSION or --external-id"));
    expect(await get("s", "--external-id", "o")).toEqual(fails("session get takes SESSION or --external-id, not both"));
  });
});
