/** Commands and terminals of workspaces (cli §5.6). */
import type { ServerResponse } from "node:http";
import { PassThrough } from "node:stream";
import { apiEndpoints } from "@helmr/protocol/api";
import { describe, expect, test } from "vitest";
import type { InputStream } from "../host.ts";
import { eventStream, frame } from "../testing/fake-server.ts";
import { testEnvironment } from "../testing/environment.ts";

const env = testEnvironment();
const fails = (line: string, code = 1) => ({ code, stdout: "", stderr: `${line}\n` });

const { exec: ended } = apiEndpoints.execs.get.example!.response as { exec: { id: string; workspace_id: string; stdin_cursor: number } };
const { pty } = apiEndpoints.ptys.get.example!.response as { pty: { id: string; workspace_id: string } };
const created = { ...ended, state: "queued", exit_code: undefined, stdin_cursor: 3 };
const workspacePath = `/api/workspaces/${ended.workspace_id}`;
const execPath = `${workspacePath}/execs/${ended.id}`;
const ptyPath = `${workspacePath}/pty/${pty.id}`;

const base64 = (text: string) => Buffer.from(text).toString("base64");
const chunk = (start: number, text: string) => ({
  id: "c",
  stream: "s",
  offset_start: start,
  offset_end: start + Buffer.byteLength(text),
  data: base64(text),
});
const chunkFrame = (start: number, text: string) => frame(start + Buffer.byteLength(text), "workspace_stream_chunk", chunk(start, text));
const terminalFrame = (cursor: number, state = "exited", name = "workspace_stream_terminal") =>
  frame(cursor, name, { resource_kind: "workspace_exec", resource_id: ended.id, stream: "stdout", state, cursor });

function exec(argv: string[], run?: Parameters<typeof env.withKey>[1]) {
  return env.withKey(["workspace", "exec", ended.workspace_id, ...argv], run);
}

describe("helmr workspace exec", () => {
  const usage = "usage: helmr workspace exec WORKSPACE -- COMMAND [ARGS...]";

  test.each([
    [["workspace", "exec"]],
    [["workspace", "exec", "W"]],
    [["workspace", "exec", "W", "ls"]],
    [["workspace", "exec", "W", "--"]],
    [["workspace", "exec", "--", "ls"]],
    [["workspace", "exec", "W", "X", "--", "ls"]],
  ])("needs -- behind exactly one argument: %j", async (argv) => {
    expect(await env.withKey(argv)).toEqual(fails(usage));
  });

  test("has JSON only with --detach", async () => {
    expect(await exec(["--json", "--", "ls"])).toEqual(fails("--json needs --detach"));
  });

  /** Streams in which stdout ends first; what stderr had is found by the last look. */
  function foreground(exit: object) {
    env.server.on(`POST ${workspacePath}/execs`, { status: 201, body: { exec: created } });
    const stdout = eventStream([chunkFrame(0, "one\n"), terminalFrame(4)]);
    env.server.on(`GET ${execPath}/stdout`, ({ query }) => (query["follow"] ? stdout : { body: { chunks: [] } }));
    env.server.on(`GET ${execPath}/stderr`, ({ query }) => {
      if (query["follow"]) return eventStream([chunkFrame(0, "tw")], { end: "open" });
      return { body: { chunks: query["cursor"] === "2" ? [chunk(0, "two\n")] : query["cursor"] === "0" ? [chunk(0, "two\n")] : [] } };
    });
    env.server.on(`POST ${execPath}/stdin`, ({ json }) => ({
      body: { ...chunk((json as { offset: number }).offset, ""), ...(json as object) },
    }));
    env.server.on(`POST ${execPath}/stdin/close`, { body: { exec: created } });
    env.server.on(`GET ${execPath}`, { body: { exec: { ...ended, ...exit } } });
  }

  test("carries stdin, stdout, stderr and the exit code 0", async () => {
    foreground({});
    const result = await exec(["--set-env", "A=b", "--", "cat", "-n"], { stdin: "x".repeat(5_000) });
    expect(result).toEqual({ code: 0, stdout: "one\n", stderr: "two\n" });
    expect(env.server.requests[0]!.json).toEqual({ command: ["cat", "-n"], env: { A: "b" }, detached: false });
    const writes = env.server.requests
      .filter(({ path }) => path === `${execPath}/stdin`)
      .map(({ json }) => json as { offset: number; data: string });
    expect(writes.map(({ offset, data }) => [offset, Buffer.from(data, "base64").length])).toEqual([
      [3, 4096],
      [4099, 904],
    ]);
    expect(env.server.lines.filter((line) => line.endsWith("/stdin/close"))).toHaveLength(1);
  });

  test("exits as the command did", async () => {
    foreground({ exit_code: 3 });
    expect(await exec(["--", "false"])).toEqual({ code: 3, stdout: "one\n", stderr: "two\nremote command exited with status 3\n" });
  });

  test.each([
    [{ state: "running" }, "workspace exec stream ended before terminal state: running"],
    [{ state: "lost", exit_code: undefined }, "workspace exec ended without an exit code: lost"],
  ])("that ends as %j is an error", async (exit, text) => {
    foreground(exit);
    expect(await exec(["--", "ls"])).toMatchObject({ code: 1, stderr: `two\n${text}\n` });
  });

  test("fails with the write that was refused, but only after all output when the exit is the reason", async () => {
    foreground({});
    env.server.on(`POST ${execPath}/stdin`, { status: 409, body: { error: "the exec has ended", code: "workspace_exec_terminal" } });
    expect(await exec(["--", "true"], { stdin: "late" })).toEqual({
      code: 1,
      stdout: "one\n",
      stderr: "two\n409 Conflict: the exec has ended\n",
    });
    env.server.on(`POST ${execPath}/stdin`, {
      status: 409,
      body: { error: "the offset does not continue the stream", code: "workspace_stream_offset_conflict" },
    });
    env.server.on(`GET ${execPath}/stdout`, eventStream([], { end: "open" }));
    expect(await exec(["--", "cat"], { stdin: "x" })).toMatchObject({ code: 1, stdout: "" });
  });

  test("is not failed by an exit that comes before the end of its input", async () => {
    foreground({});
    env.server.on(`POST ${execPath}/stdin/close`, { status: 409, body: { error: "the exec has ended", code: "workspace_exec_terminal" } });
    expect(await exec(["--", "true"])).toMatchObject({ code: 0 });
  });

  test("does not wait for a terminal's input", async () => {
    foreground({});
    const stdin: InputStream = Object.assign(new PassThrough(), { isTTY: true });
    expect(await exec(["--", "ls"], { stdin })).toMatchObject({ code: 0, stdout: "one\n" });
  });

  test("waits for input that is no terminal, even after the command has ended", async () => {
    foreground({});
    const stdin = new PassThrough();
    const result = exec(["--", "ls"], { stdin, onOutput: () => setTimeout(() => stdin.end(), 100) });
    expect(await result).toMatchObject({ code: 0 });
    expect(env.server.lines).toContain(`POST ${execPath}/stdin/close`);
  });

  test("ends with an error frame", async () => {
    foreground({});
    env.server.on(
      `GET ${execPath}/stdout`,
      eventStream([frame(0, "workspace_stream_error", { code: "workspace_stream_follow_failed", message: "broken" })]),
    );
    expect(await exec(["--", "ls"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("workspace_stream_follow_failed: broken\n") as string,
    });
  });

  test("prints the console's address when it is detached with a login", async () => {
    const prefix = "/api/projects/p/environments/e";
    env.server.on(`POST ${prefix}/workspaces/${ended.workspace_id}/execs`, { status: 201, body: { exec: created } });
    env.server.on("GET /api/me", { body: { public_url: "https://h" } });
    const { stdout } = await env.withLogin(["workspace", "exec", ended.workspace_id, "-p", "p", "-e", "e", "--detach", "--", "ls"]);
    expect(stdout).toBe(
      `workspace_id: ${ended.workspace_id}\nexec_id: ${ended.id}\nstate: queued\nconsole_url: https://h/workspaces/${ended.workspace_id}/execs/${ended.id}\n`,
    );
  });
});

describe("helmr workspace exec wait", () => {
  const wait = (...argv: string[]) => env.withKey(["workspace", "exec", "wait", ended.workspace_id, ended.id, ...argv]);

  test("waits for the end and exits as the command did", async () => {
    env.server.on(`GET ${execPath}`, { body: { exec: created } }, { status: 503 }, { body: { exec: { ...ended, exit_code: 256 + 7 } } });
    expect(await wait()).toEqual({ code: 7, stdout: `${ended.id} exited\n`, stderr: "remote command exited with status 263\n" });
  });

  test("exits with 0 with --json", async () => {
    env.server.on(`GET ${execPath}`, { body: { exec: { ...ended, exit_code: 9 } } });
    const result = await wait("--json");
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(result.stdout)).toEqual({ exec: { ...ended, exit_code: 9 } });
  });

  test("fails at once when the exec cannot be read", async () => {
    env.server.on(`GET ${execPath}`, { status: 503 });
    expect(await wait()).toEqual(fails("503 Service Unavailable"));
  });
});

describe("helmr workspace exec logs", () => {
  const logs = (...argv: string[]) => env.withKey(["workspace", "exec", "logs", ended.workspace_id, ended.id, ...argv]);

  test("prints both streams from the cursor, page by page", async () => {
    env.server.on(`GET ${execPath}/stdout`, ({ query }) => ({
      body: { chunks: query["cursor"] === "2" ? [chunk(0, "abc"), chunk(3, "de")] : query["cursor"] === "5" ? [chunk(5, "f")] : [] },
    }));
    env.server.on(`GET ${execPath}/stderr`, ({ query }) => ({ body: { chunks: query["cursor"] === "2" ? [chunk(2, "x")] : [] } }));
    expect(await logs("--cursor", "2")).toEqual({ code: 0, stdout: "cdef", stderr: "x" });
  });

  test("follows both streams to their ends", async () => {
    env.server.on(
      `GET ${execPath}/stdout`,
      eventStream([chunkFrame(0, "a")], { end: "broken" }),
      eventStream([chunkFrame(1, "b"), terminalFrame(2)]),
    );
    env.server.on(`GET ${execPath}/stderr`, eventStream([terminalFrame(0, "lost", "workspace_stream_lost")]));
    expect(await logs("--follow")).toEqual({ code: 0, stdout: "ab", stderr: "" });
    expect(env.server.lines.filter((line) => line.includes("stdout"))).toEqual([
      `GET ${execPath}/stdout?follow=1&cursor=0`,
      `GET ${execPath}/stdout?follow=1&cursor=1`,
    ]);
  });

  test("whose cursor is expired says so", async () => {
    env.server.on(`GET ${execPath}/stdout`, {
      status: 410,
      body: { error: "the earliest cursor is 10", code: "workspace_stream_cursor_expired" },
    });
    env.server.on(`GET ${execPath}/stderr`, { body: { chunks: [] } });
    expect(await logs()).toEqual(fails("410 Gone: the earliest cursor is 10"));
  });
});

describe("helmr workspace shell and pty connect", () => {
  /** A terminal whose keys the test presses. */
  function keyboard() {
    const modes: boolean[] = [];
    const stream: PassThrough & InputStream = Object.assign(new PassThrough(), {
      isTTY: true,
      setRawMode: (on: boolean) => modes.push(on),
    });
    return { stream, modes };
  }

  function terminal(output: Parameters<typeof env.server.on>[1][], exit: object = {}) {
    env.server.on(`POST ${workspacePath}/pty`, {
      status: 201,
      body: { pty: { ...pty, state: "creating", output_cursor: 0, input_cursor: 5 } },
    });
    env.server.on(`GET ${ptyPath}/output`, ...output);
    env.server.on(`POST ${ptyPath}/input`, ({ json }) => {
      const { offset, data } = json as { offset: number; data: string };
      return { body: { ...chunk(offset, Buffer.from(data, "base64").toString()) } };
    });
    env.server.on(`POST ${ptyPath}/resize`, { body: { pty } });
    env.server.on(`POST ${ptyPath}/close`, { body: { pty } });
    env.server.on(`GET ${ptyPath}`, { body: { pty: { ...pty, state: "closed", ...exit } } });
  }

  /** An output that ends when the test says so. */
  function heldOutput(first: string) {
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const answer = {
      stream: async (response: ServerResponse) => {
        response.write(chunkFrame(0, first));
        await ended;
        response.end(terminalFrame(first.length, "closed"));
      },
    };
    return { answer, end };
  }

  async function until(condition: () => boolean): Promise<void> {
    const deadline = Date.now() + 5_000;
    while (!condition()) {
      if (Date.now() > deadline) throw new Error("the condition did not come true");
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  const inputs = () =>
    env.server.requests
      .filter(({ path, method }) => method === "POST" && path === `${ptyPath}/input`)
      .map(({ json }) => [(json as { offset: number }).offset, Buffer.from((json as { data: string }).data, "base64").toString()]);

  test("is raw while it lasts, sends keys at their offsets and the size of the terminal", async () => {
    const held = heldOutput("$ ");
    terminal([held.answer]);
    const keys = keyboard();
    const result = env.withKey(["workspace", "shell", pty.workspace_id, "--cwd", "/tmp"], {
      stdin: keys.stream,
      terminal: { columns: 120, rows: 40 },
    });
    await until(() => env.server.lines.some((line) => line.includes("/output")));
    keys.stream.write("ls\r");
    await until(() => inputs().length === 1);
    keys.stream.write("\u0003");
    await until(() => inputs().length === 2);
    held.end();
    expect(await result).toEqual({ code: 0, stdout: "$ ", stderr: "" });
    expect(env.server.requests[0]!.json).toEqual({ cwd: "/tmp", cols: 120, rows: 40 });
    expect(inputs()).toEqual([
      [5, "ls\r"],
      [8, "\u0003"],
    ]);
    expect(keys.modes).toEqual([true, false]);
    expect(env.server.lines).not.toContain(`POST ${ptyPath}/close`);
  });

  test("closes the terminal at the end of local input, and is 80 x 24 without a terminal", async () => {
    const held = heldOutput("");
    terminal([held.answer]);
    env.server.on(`POST ${ptyPath}/close`, () => {
      held.end();
      return { body: { pty } };
    });
    expect(await env.withKey(["workspace", "shell", pty.workspace_id], { stdin: "exit\n" })).toMatchObject({ code: 0 });
    expect(env.server.requests[0]!.json).toEqual({ cols: 80, rows: 24 });
    expect(inputs()).toEqual([[5, "exit\n"]]);
  });

  test("sends a key again when its answer was lost, and goes on behind another writer", async () => {
    const held = heldOutput("");
    terminal([held.answer]);
    const accepted = { body: chunk(9, "a") };
    env.server.on(
      `POST ${ptyPath}/input`,
      { status: 502 },
      { status: 409, body: { error: "x", code: "workspace_stream_offset_conflict" } },
      () => {
        held.end();
        return accepted;
      },
    );
    env.server.on(`GET ${ptyPath}`, { body: { pty: { ...pty, input_cursor: 9 } } }, { body: { pty: { ...pty, state: "closed" } } });
    const keys = keyboard();
    keys.stream.write("a");
    expect(await env.withKey(["workspace", "shell", pty.workspace_id], { stdin: keys.stream })).toMatchObject({ code: 0 });
    expect(inputs()).toEqual([
      [5, "a"],
      [5, "a"],
      [9, "a"],
    ]);
  });

  test("connect replays the last screenful and resumes a broken connection", async () => {
    const size = 80 * 24 * 4;
    terminal([
      eventStream([chunkFrame(size, "old")], { end: "broken" }),
      eventStream([chunkFrame(size, "old, new"), terminalFrame(size + 8, "closed")]),
    ]);
    env.server.on(`GET ${ptyPath}`, { body: { pty: { ...pty, output_cursor: 2 * size } } }, { body: { pty: { ...pty, state: "closed" } } });
    const keys = keyboard();
    expect(await env.withKey(["workspace", "pty", "connect", pty.workspace_id, pty.id], { stdin: keys.stream })).toEqual({
      code: 0,
      stdout: "old, new",
      stderr: "",
    });
    expect(env.server.lines.filter((line) => line.includes("/output"))).toEqual([
      `GET ${ptyPath}/output?follow=1&cursor=${size}`,
      `GET ${ptyPath}/output?follow=1&cursor=${size + 3}`,
    ]);
  });

  test("exits as the shell did, and fails when the terminal was lost", async () => {
    terminal([eventStream([terminalFrame(0, "closed")])], { exit_code: 4 });
    expect(await env.withKey(["workspace", "shell", pty.workspace_id], { stdin: keyboard().stream })).toEqual({
      code: 4,
      stdout: "",
      stderr: "",
    });
    terminal([eventStream([terminalFrame(0, "lost", "workspace_stream_lost")])], { state: "lost" });
    expect(await env.withKey(["workspace", "shell", pty.workspace_id], { stdin: keyboard().stream })).toEqual(
      fails("workspace terminal ended in state lost"),
    );
  });

  test("puts the terminal back when it fails", async () => {
    terminal([{ status: 403, body: { error: "permission is required" } }]);
    const keys = keyboard();
    expect(await env.withKey(["workspace", "shell", pty.workspace_id], { stdin: keys.stream })).toEqual(
      fails("403 Forbidden: permission is required"),
    );
    expect(keys.modes).toEqual([true, false]);
  });
});

describe("helmr workspace open", () => {
  const workspace = (apiEndpoints.workspaces.get.example!.response as { workspace: { id: string } }).workspace;
  const path = `/api/projects/p/environments/e/workspaces/${workspace.id}`;
  const unavailable = "console URL is not available for this authentication context";

  test("prints the console's address with a login only", async () => {
    env.server.on(`GET ${path}`, { body: { workspace } });
    env.server.on("GET /api/me", { body: { public_url: "https://h" } }, { body: { public_url: "https://h" } }, { body: {} });
    const open = (...argv: string[]) => env.withLogin(["workspace", "open", workspace.id, "-p", "p", "-e", "e", ...argv]);
    expect(await open()).toEqual({ code: 0, stdout: `https://h/workspaces/${workspace.id}\n`, stderr: "" });
    expect(JSON.parse((await open("--json")).stdout)).toEqual({ workspace, console_url: `https://h/workspaces/${workspace.id}` });
    expect(await open()).toEqual(fails(unavailable));
    expect(await env.withKey(["workspace", "open", workspace.id])).toEqual(fails(unavailable));
  });
});

describe("what destroys", () => {
  test.each([
    ["workspace delete", ["workspace", "delete", "w"]],
    ["secret delete", ["secret", "delete", "S"]],
  ])("%s needs --yes where nobody can be asked", async (name, argv) => {
    expect(await env.withKey(argv)).toEqual(fails(`${name} needs --yes`));
    expect(await env.withKey(argv, { terminal: { columns: 80, rows: 24 }, env: { CI: "1" } })).toEqual(fails(`${name} needs --yes`));
    expect(env.server.requests).toEqual([]);
  });
});

describe("helmr secret set", () => {
  const secret = apiEndpoints.secrets.get.example!.response;

  test("takes all of stdin verbatim", async () => {
    env.server.on("PUT /api/secrets/K", { body: secret });
    await env.withKey(["secret", "set", "K"], { stdin: "\uFEFF line one\r\nline two \n\n" });
    expect(env.server.last.json).toEqual({ value: "\uFEFF line one\r\nline two \n\n" });
    await env.withKey(["secret", "set", "K", "--value", ""], { stdin: "unused" });
    expect(env.server.last.json).toEqual({ value: "" });
    await env.withKey(["secret", "set", "K", "--", "-dash"]);
    expect(env.server.last.json).toEqual({ value: "-dash" });
  });

  test("refuses a value that is given twice, or is no text", async () => {
    expect(await env.withKey(["secret", "set", "K", "a", "--value", "b"])).toEqual(
      fails("the value was given twice, as VALUE and as --value"),
    );
    expect(await env.withKey(["secret", "set", "K"], { stdin: Buffer.from([0xff, 0xfe]) })).toEqual(
      fails("the value of the secret is not valid UTF-8 text"),
    );
    expect(env.server.requests).toEqual([]);
  });
});
