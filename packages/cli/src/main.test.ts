/** The built command as a process: exit codes, signals, pipes, terminals, and the oldest Node it has to run on. */
import { execFileSync } from "node:child_process";
import { mkdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { apiEndpoints } from "@helmr/protocol/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BuiltCli, type ProcessRun, runToEnd } from "./testing/built-cli.ts";
import { eventStream, frame } from "./testing/fake-server.ts";
import { testEnvironment, testKey } from "./testing/environment.ts";

const env = testEnvironment();
const run = apiEndpoints.runs.get.example!.response as { id: string };
const session = apiEndpoints.sessions.get.example!.response as object;
const { exec } = apiEndpoints.execs.get.example!.response as { exec: { id: string; workspace_id: string } };
const { pty } = apiEndpoints.ptys.get.example!.response as { pty: { id: string; workspace_id: string } };

let cli: BuiltCli;
beforeAll(async () => {
  cli = await BuiltCli.build();
}, 60_000);
afterAll(() => cli.remove());

/** Debian's own Node, when there is one: 20, where the command has to run as well. */
const systemNode = "/usr/bin/node";
const systemVersion = versionOf(systemNode);

function versionOf(node: string): string | undefined {
  try {
    return execFileSync(node, ["--version"], { encoding: "utf8" }).trim();
  } catch {
    return undefined;
  }
}

const variables = () => ({ HELMR_API_URL: env.server.url, HELMR_API_KEY: testKey, HELMR_CONFIG_DIR: path.join(env.directory, "config") });
const helmr = (argv: string[], more: ProcessRun = {}) => cli.run(argv, { ...more, env: { ...variables(), ...more.env } });

describe("the process helmr", () => {
  test("prints its version, help, and failures on one line", async () => {
    expect(await helmr(["--version"])).toEqual({ code: 0, signal: null, stdout: "0.1.0\n", stderr: "" });
    expect((await helmr([])).stdout).toBe(await readFile(fileURLToPath(new URL("../golden/help/helmr.txt", import.meta.url)), "utf8"));
    expect(await helmr(["run", "get", "x"])).toEqual({ code: 1, signal: null, stdout: "", stderr: "404 Not Found: not found\n" });
    expect(await helmr(["nonsense"])).toMatchObject({ code: 1, stdout: "", stderr: "unknown command 'nonsense'\n" });
  });

  test("is small enough to start at once: the schemas of the protocol are not in it", async () => {
    expect((await stat(cli.file)).size).toBeLessThan(700_000);
    expect(await readFile(cli.file, "utf8")).not.toContain("ZodObject");
  });

  test("reads stdin verbatim", async () => {
    env.server.on("PUT /api/secrets/K", { body: apiEndpoints.secrets.get.example!.response });
    expect(await helmr(["secret", "set", "K"], { stdin: "a\r\n\u00e9\n\n" })).toMatchObject({ code: 0 });
    expect(env.server.last.json).toEqual({ value: "a\r\n\u00e9\n\n" });
  });

  test("passes bytes of logs on as they are, megabytes of them", async () => {
    const bytes = Buffer.alloc(1024 * 1024, Buffer.from([0, 255, 10, 13, 128]));
    env.server.on(`GET /api/runs/${run.id}/logs`, {
      body: {
        stdout_base64: bytes.toString("base64"),
        stderr_base64: "",
        cursor: "1",
        stdout_bytes: bytes.length,
        stderr_bytes: 0,
        truncated: false,
      },
    });
    const script = `"${process.execPath}" "${cli.file}" run logs ${run.id} | cksum`;
    const { stdout } = await runToEnd("sh", ["-c", script], { env: variables() });
    const direct = await runToEnd("sh", ["-c", `cat "${path.join(env.directory, "bytes")}" | cksum`], {
      cwd: await written("bytes", bytes),
    });
    expect(stdout).toBe(direct.stdout);
  });

  async function written(name: string, bytes: Buffer): Promise<string> {
    await writeFile(path.join(env.directory, name), bytes);
    return env.directory;
  }

  test("exits as the remote command did, and with 2 for --exit-status", async () => {
    const base = `/api/workspaces/${exec.workspace_id}/execs`;
    env.server.on(`POST ${base}`, { status: 201, body: { exec } });
    for (const name of ["stdout", "stderr"]) {
      env.server.on(`GET ${base}/${exec.id}/${name}`, ({ query }) =>
        query["follow"] ? eventStream([frame(0, "workspace_stream_terminal", { state: "exited" })]) : { body: { chunks: [] } },
      );
    }
    env.server.on(`POST ${base}/${exec.id}/stdin/close`, { body: { exec } });
    env.server.on(`GET ${base}/${exec.id}`, { body: { exec: { ...exec, exit_code: 42 } } });
    expect(await helmr(["workspace", "exec", exec.workspace_id, "--", "false"])).toMatchObject({
      code: 42,
      stderr: "remote command exited with status 42\n",
    });
    env.server.on(`GET /api/runs/${run.id}`, { body: { ...run, status: "failed" } });
    expect(await helmr(["run", "wait", run.id, "--exit-status"])).toMatchObject({ code: 2, stderr: "" });
  });

  test("ends with 1 at an interrupt, and does not leave its followers behind", async () => {
    env.server.on("POST /api/sessions", { status: 201, body: { session, run: { ...run, status: "running" } } });
    env.server.on(`GET /api/runs/${run.id}/events`, eventStream([], { end: "open" }));
    const result = await helmr(["session", "start", "hello", "--wait"], {
      onStdout: (text, child) => text.includes("workspace_id") && child.kill("SIGINT"),
    });
    expect(result).toMatchObject({ code: 1, signal: null, stderr: "cancelled\n" });
  });

  test("ends quietly when nobody reads its output any more", async () => {
    const events = Array.from({ length: 20_000 }, (_, index) =>
      frame(index + 1, "run_event", { id: String(index + 1), kind: "log", message: "log" }),
    );
    env.server.on(`GET /api/runs/${run.id}/events`, eventStream(events, { end: "open" }));
    const script = `"${process.execPath}" "${cli.file}" run events ${run.id} --follow | head -1; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await runToEnd("bash", ["--norc", "-c", script], { env: variables() });
    expect(stdout.trimEnd().split("\n")).toEqual(['{"id":"1","kind":"log","message":"log"}', "1"]);
    expect(stderr).toBe("");
  });

  test("saves a login in files that only the owner can read", async () => {
    env.server.on("POST /api/auth/device/start", {
      status: 201,
      body: { device_code: "d", user_code: "ABCD-EFGH", verification_uri: "https://h/", interval_seconds: 0.01, expires_in_seconds: 9 },
    });
    env.server.on("POST /api/auth/device/token", { body: { access_token: "secret-token" } });
    const result = await helmr(["login", env.server.url, "--no-browser"]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).not.toContain("secret-token");
    const directory = path.join(env.directory, "config");
    for (const [file, mode] of [
      ["", 0o700],
      ["config.toml", 0o600],
      ["credentials.json", 0o600],
    ] as const) {
      expect((await stat(path.join(directory, file))).mode & 0o777, file).toBe(mode);
    }
  });

  test.skipIf(systemVersion === undefined)(
    `runs on Node ${systemVersion ?? "of the system, which is not there"}`,
    async () => {
      expect(await helmr(["--version"], { node: systemNode })).toMatchObject({ code: 0, stdout: "0.1.0\n" });
      const project = path.join(env.directory, "project");
      await mkdir(path.join(project, "node_modules", "@helmr"), { recursive: true });
      await symlink(fileURLToPath(new URL("../../sdk", import.meta.url)), path.join(project, "node_modules", "@helmr", "sdk"));
      expect(await helmr(["init"], { node: systemNode, cwd: project, env: { npm_config_user_agent: "npm/10.0.0" } })).toMatchObject({
        code: 0,
      });
      const deployment = { id: "01980a00-0000-7000-8000-000000000005", version: "20260606.1", status: "queued", tasks: [] };
      env.server.on("POST /api/deployments", { status: 201, body: deployment });
      env.server.on(
        `GET /api/deployments/${deployment.id}/events`,
        eventStream([frame(1, "deployment_event", { id: "1", kind: "deployment.deployed", message: "done" })]),
      );
      env.server.on(`GET /api/deployments/${deployment.id}`, { body: deployment });
      expect(await helmr(["deploy", "--skip-promotion"], { node: systemNode, cwd: project })).toMatchObject({
        code: 0,
        stdout: "20260606.1\n",
      });
    },
    30_000,
  );
});

/** `script` gives a command a real terminal; what the terminal shows is its stdout. */
function inTerminal(argv: string[], options: ProcessRun = {}) {
  const line = [process.execPath, cli.file, ...argv].map((word) => `'${word}'`).join(" ");
  return runToEnd("script", ["--quiet", "--return", "--echo", "never", "--command", `stty cols 100 rows 30; ${line}`, "/dev/null"], {
    ...options,
    env: { ...variables(), TERM: "xterm", SHELL: "/bin/sh", ...options.env },
  });
}

describe("helmr at a terminal", () => {
  const shell = () => {
    const base = `/api/workspaces/${pty.workspace_id}/pty`;
    env.server.on(`POST ${base}`, { status: 201, body: { pty: { ...pty, output_cursor: 0, input_cursor: 0 } } });
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    env.server.on(`GET ${base}/${pty.id}/output`, {
      stream: async (response) => {
        response.write(frame(2, "workspace_stream_chunk", { offset_start: 0, offset_end: 2, data: Buffer.from("$ ").toString("base64") }));
        await finished;
        response.end(frame(2, "workspace_stream_terminal", { state: "closed" }));
      },
    });
    let typed = "";
    env.server.on(`POST ${base}/${pty.id}/input`, ({ json }) => {
      const { offset, data } = json as { offset: number; data: string };
      typed += Buffer.from(data, "base64").toString();
      if (typed.includes("exit\r")) finish();
      return { body: { offset_start: offset, offset_end: offset + Buffer.from(data, "base64").length, data } };
    });
    env.server.on(`GET ${base}/${pty.id}`, { body: { pty: { ...pty, state: "closed", exit_code: 3 } } });
    return () => typed;
  };

  test("hands every key to the shell, Ctrl-C included, at the size of the terminal", async () => {
    const typed = shell();
    let pressed = false;
    const result = await inTerminal(["workspace", "shell", pty.workspace_id], {
      stdin: { open: true },
      // Keys come when the shell has asked for them: before that the terminal is not raw.
      onStdout: (text, child) => {
        if (pressed || !text.includes("$ ")) return;
        pressed = true;
        child.stdin.write("l\u0003s\rexit\r");
      },
    });
    expect(result).toMatchObject({ code: 3, stdout: "$ " });
    expect(typed()).toBe("l\u0003s\rexit\r");
    expect(env.server.requests[0]!.json).toEqual({ cols: 100, rows: 30 });
  });

  test("asks before it destroys, and takes no for an answer", async () => {
    env.server.on("DELETE /api/secrets/K", { status: 204 });
    const yes = await inTerminal(["secret", "delete", "K"], { stdin: "y" });
    expect(yes.code).toBe(0);
    expect(yes.stdout).toContain("Delete the secret K?");
    expect(env.server.lines).toEqual(["DELETE /api/secrets/K"]);
    const no = await inTerminal(["secret", "delete", "K"], { stdin: "n" });
    expect(no.code).toBe(1);
    expect(no.stdout).toContain("cancelled");
    expect(env.server.lines).toHaveLength(1);
  });

  test.each(["CI", "NO_COLOR"])("asks nothing and shows no colours with %s", async (name) => {
    const result = await inTerminal(["secret", "delete", "K"], { env: { [name]: "1" } });
    expect(result).toMatchObject({ code: 1, stdout: "secret delete needs --yes\r\n" });
  });

  test("shows what goes on while it waits, and takes it away", async () => {
    const live = { ...run, status: "running", exit_code: null };
    env.server.on(`GET /api/runs/${run.id}`, { body: live }, { body: run });
    env.server.on(`GET /api/runs/${run.id}/events`, {
      stream: async (response) => {
        await new Promise((resolve) => {
          setTimeout(resolve, 300);
        });
        response.end(frame(1, "run_event", { id: "1", kind: "run.completed" }));
      },
    });
    const { code, stdout } = await inTerminal(["run", "wait", run.id]);
    expect(code).toBe(0);
    const clear = "\r\u001b[2K";
    expect(
      stdout
        .split(clear)
        .slice(1, -1)
        .every((shown) => /^.( Waiting for run )/u.test(shown)),
    ).toBe(true);
    expect(stdout.split(clear).length).toBeGreaterThan(3);
    expect(stdout.split(clear).at(-1)).toMatch(/^run_id: /);
  });

  test("shows errors in colour, and results as they are", async () => {
    expect((await inTerminal(["nonsense"])).stdout).toBe("\u001b[31munknown command 'nonsense'\u001b[39m\r\n");
    env.server.on("GET /api/runs", { body: { runs: [] } });
    expect((await inTerminal(["run", "list"])).stdout).toBe("RUN ID  TASK  STATUS  WAIT\r\n");
  });
});
