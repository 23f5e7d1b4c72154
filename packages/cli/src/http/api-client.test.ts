/** What goes over the wire and how refusals read (cli §1, §2). */
import net from "node:net";
import { describe, expect, test } from "vitest";
import { FakeServer } from "../testing/fake-server.ts";
import { testEnvironment, testKey } from "../testing/environment.ts";
import { ApiClient } from "./api-client.ts";

const env = testEnvironment();
const fails = (line: string) => ({ code: 1, stdout: "", stderr: `${line}\n` });

describe("a refused request", () => {
  test("reads as status line and error, without the code", async () => {
    env.server.on("GET /api/tasks/hello", { status: 404, body: { error: "task not found", code: "task_not_found" } });
    expect(await env.withKey(["task", "get", "hello"])).toEqual(fails("404 Not Found: task not found"));
  });

  test.each(["<html>no</html>", "", '{"message":"x"}', "null", '{"error":5}', '{"error":""}'])(
    "reads as the status line only when the body is %j",
    async (body) => {
      env.server.on("GET /api/tasks/hello", { status: 502, body });
      expect(await env.withKey(["task", "get", "hello"])).toEqual(fails("502 Bad Gateway"));
    },
  );

  test("has the phrase that the server sent, on one line", async () => {
    env.server.on("GET /api/tasks/hello", { status: 418, phrase: "Short And Stout", body: { error: "one\n  two\r\nthree" } });
    expect(await env.withKey(["task", "get", "hello"])).toEqual(fails("418 Short And Stout: one two three"));
  });

  test("with 202 is one as well", async () => {
    env.server.on("POST /api/workspaces/w/stop", {
      status: 202,
      body: { error: "workspace_operation_pending", code: "idempotency_pending" },
    });
    expect(await env.withKey(["workspace", "stop", "w"])).toEqual(fails("202 Accepted: workspace_operation_pending"));
  });
});

describe("a connection", () => {
  test("that cannot be made names the server", async () => {
    const server = await FakeServer.start();
    await server.close();
    const { code, stderr } = await env.withKey(["task", "list", "-a", server.url]);
    expect(code).toBe(1);
    expect(stderr).toBe(`cannot reach ${server.url}: connect ECONNREFUSED ${server.url.slice("http://".length)}\n`);
  });

  test("that breaks off in an answer is an error", async () => {
    const server = net.createServer((socket) => {
      socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"));
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const url = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
    const { code, stderr } = await env.withKey(["task", "list", "-a", url]);
    server.close();
    expect(code).toBe(1);
    expect(stderr).toBe("the answer of the server broke off\n");
  });

  test("to something else than Helmr is said", async () => {
    env.server.on("GET /api/tasks", { body: "<html></html>" });
    expect(await env.withKey(["task", "list"])).toEqual(
      fails("tasks.list answered with something that is not JSON; does the URL belong to Helmr?"),
    );
  });
});

describe("a redirect", () => {
  const to = (location: string, status = 302) => ({ status, headers: { location } });

  test("is followed, ten times and no more", async () => {
    for (let at = 0; at < 11; at += 1) env.server.on(`GET /r${at}/api/tasks`, to(`/r${at + 1}/api/tasks`));
    env.server.on("GET /r11/api/tasks", { body: { tasks: [] } });
    expect(await env.withKey(["task", "list", "-a", `${env.server.url}/r1`])).toMatchObject({ code: 0 });
    expect(env.server.last.headers.authorization).toBe(`Bearer ${testKey}`);
    expect(await env.withKey(["task", "list", "-a", `${env.server.url}/r0`])).toEqual(
      fails(`stopped after 10 redirects, at ${env.server.url}/r10/api/tasks`),
    );
  });

  test("to a plaintext host that is not loopback is refused", async () => {
    env.server.on("GET /api/tasks", to("http://helmr.example.com/api/tasks"));
    expect(await env.withKey(["task", "list"])).toEqual(
      fails("refused a redirect to http://helmr.example.com/api/tasks: http is allowed only for localhost or a loopback IP"),
    );
    env.server.on("GET /api/tasks", to("ftp://127.0.0.1/"));
    expect(await env.withKey(["task", "list"])).toEqual(fails("refused a redirect to ftp://127.0.0.1/: only http and https are followed"));
  });

  test("does not carry the credential to another origin", async () => {
    const other = await FakeServer.start();
    other.on("GET /api/tasks", { body: { tasks: [] } });
    env.server.on("GET /api/tasks", to(`${other.url}/api/tasks`));
    expect(await env.withKey(["task", "list"])).toMatchObject({ code: 0 });
    expect(other.last.headers.authorization).toBeUndefined();
    await other.close();
  });

  test.each([
    [307, "POST", '{"reason":"x"}'],
    [308, "POST", '{"reason":"x"}'],
    [303, "GET", ""],
    [302, "GET", ""],
  ])("with %i of a POST is sent again as %s", async (status, method, body) => {
    env.server.on("POST /api/sessions/s/close", to("/elsewhere", status));
    env.server.on(`${method} /elsewhere`, { body: { id: "s", status: "closed", activity: "idle" } });
    expect(await env.withKey(["session", "close", "s", "--reason", "x"])).toMatchObject({ code: 0 });
    expect(env.server.last).toMatchObject({ method, path: "/elsewhere" });
    expect(env.server.last.body.toString()).toBe(body);
  });

  test("without a location is an answer like others", async () => {
    env.server.on("GET /api/tasks", { status: 304 });
    expect(await env.withKey(["task", "list"])).toEqual(fails("304 Not Modified"));
  });
});

describe("a path", () => {
  test("has its values encoded", async () => {
    env.server.on("GET /api/sandboxes/a%2Fb%20c", {
      body: { sandbox_id: "a/b c", fingerprint: "f", runtime_abi: "r", workspace_mount_path: "/w" },
    });
    expect(await env.withKey(["sandbox", "get", "a/b c"])).toMatchObject({ code: 0 });
  });

  test.each(["", " ", ".", ".."])("never loses a segment: %j", async (value) => {
    expect(await env.withKey(["run", "get", value])).toEqual(fails(`invalid id ${JSON.stringify(value)}`));
    expect(env.server.requests).toEqual([]);
  });
});

describe("JSON that was typed", () => {
  test("is sent as typed", async () => {
    const typed = '{ "n": 12345678901234567890, "n": 1.0, "t": "\\u00e9" }';
    env.server.on("POST /api/tokens/t/complete", {
      body: { status: "completed", token: { id: "t", status: "completed", timeout_at: null } },
    });
    await env.withKey(["token", "complete", "t", "--data-json", ` ${typed}\n`]);
    expect(env.server.last.body.toString()).toBe(`{"data":${typed}}`);
  });

  test("is checked", async () => {
    const { code, stderr } = await env.withKey(["token", "complete", "t", "--data-json", "{"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^--data-json is not valid JSON: .+\n$/);
    expect(env.server.requests).toEqual([]);
  });
});

describe("ApiClient", () => {
  test("gives up when it is told to, with the reason", async () => {
    env.server.on("GET /api/tasks", { stream: () => {}, headers: { "content-type": "application/json" } });
    const controller = new AbortController();
    const api = new ApiClient({ baseUrl: env.server.url, credential: { kind: "none" }, signal: controller.signal });
    const call = api.call("tasks.list");
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), 20);
    await expect(call).rejects.toThrow(/enough/);
  });

  test("refuses a page where events were asked for", async () => {
    env.server.on("GET /api/runs/r/events", { body: { events: [] } });
    const api = new ApiClient({ baseUrl: env.server.url, credential: { kind: "none" }, signal: new AbortController().signal });
    await expect(api.events("runs.events", { params: { id: "r" } })).rejects.toThrow(
      "runs.events answered application/json where an event stream was expected",
    );
    expect(env.server.last.headers.accept).toBe("text/event-stream");
  });
});
