/** A workspace that is mounted without a run: execs, terminals, live files and ports in one real guest, and what the stop leaves behind. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WorkspaceExecHandle, WorkspaceHandle } from "@helmr/sdk";
import { tarOf } from "@helmr/test/platform";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repository } from "./local-install.ts";
import { type SharedInstall, sharedInstall } from "./shared-install.ts";

let install: SharedInstall;
let workspace: WorkspaceHandle;
const waitMs = 120_000;
const screenMs = 30_000;
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

beforeAll(async () => {
  install = await sharedInstall();
  await install.deploy(join(repository, "examples", "hello"));
  const { id } = await install.client.workspaces.create({ sandboxId: "default" });
  workspace = install.client.workspaces.open(id);
});
afterAll(() => install?.close());

const path = () => `/api/workspaces/${workspace.id}`;

async function output(exec: WorkspaceExecHandle, stream: "stdout" | "stderr" = "stdout"): Promise<string> {
  let all = "";
  for await (const chunk of exec[stream].stream()) all += text(chunk.data);
  return all;
}

const shell = (script: string, options = {}) => workspace.exec(["sh", "-c", script], options);

describe("an exec in a workspace that is not mounted", () => {
  test("mounts it, runs, and has its output, its errors and its exit code", async () => {
    const exec = await shell("echo hello; echo oops >&2; pwd; exit 3");
    expect(exec).toMatchObject({ state: "materializing", cwd: "/workspace" });
    expect(await output(exec)).toBe("hello\n/workspace\n");
    expect(await output(exec, "stderr")).toBe("oops\n");
    expect(await exec.retrieve()).toMatchObject({ state: "exited", exitCode: 3, signal: null, stdoutCursor: 17, stderrCursor: 5 });
  });
});

describe("execs in a mounted workspace", () => {
  test("have a working directory, an environment, and input that is streamed", async () => {
    const exec = await workspace.exec(["sh", "-c", 'echo "$GREETING from $(pwd)"; cat; echo done'], {
      cwd: "/tmp",
      env: { GREETING: "hi" },
    });
    const said = output(exec);
    await exec.stdin.write("one\n", { offset: 0 });
    await exec.stdin.write("two\n", { offset: 4 });
    await exec.stdin.close();
    expect(await said).toBe("hi from /tmp\none\ntwo\ndone\n");
    expect(await exec.wait()).toMatchObject({ exitCode: 0 });
  });

  test("end when the command ends, even if a child keeps the pipe", async () => {
    const exec = await shell("(sleep 600; echo late) & echo early");
    expect(await output(exec)).toBe("early\n");
    expect(await exec.wait()).toMatchObject({ state: "exited", exitCode: 0 });
  });

  test("lose nothing of a large output", async () => {
    const exec = await workspace.exec(["seq", "1", "400000"]);
    const all = await output(exec);
    expect(all.length).toBe((await exec.wait()).stdoutCursor);
    expect(all.split("\n").slice(-3)).toEqual(["399999", "400000", ""]);
  });

  test("say what could not be started, and a signal that ended them", async () => {
    const missing = await workspace.exec(["no-such-program"]);
    expect(await missing.wait()).toMatchObject({ state: "failed", error: { message: expect.any(String) } });
    const sleeping = await shell("echo ready; exec sleep 600");
    await until("it sleeps", async () => (await sleeping.retrieve()).stdoutCursor > 0, waitMs);
    await install.post(`${path()}/execs/${sleeping.id}/signal`, { signal: "INT" });
    expect(await sleeping.wait()).toMatchObject({ state: "exited", signal: "SIGINT", exitCode: 130 });
  });

  test("are killed at their time limit, several beside each other", async () => {
    const body = { command: ["sleep", "600"], timeout_seconds: 1 };
    const [first, second] = await Promise.all([install.post(`${path()}/execs`, body, 201), install.post(`${path()}/execs`, body, 201)]);
    for (const { exec } of [first, second]) {
      const handle = await workspace.execs.retrieve(exec.id);
      expect(await handle.wait()).toMatchObject({ state: "terminated", error: { reason: "timeout" } });
    }
  });

  test("keep the exit code of the command line", async () => {
    const { code, stdout, stderr } = await install.local.helmr(["workspace", "exec", workspace.id, "--", "sh", "-c", "echo out; exit 7"]);
    expect({ code, stdout }).toEqual({ code: 7, stdout: "out\n" });
    expect(stderr).toContain("remote command exited with status 7");
  });
});

/** What a screen shows: everything that was written, without looking at where. */
class Screen {
  seen = "";
  readonly socket: WebSocket;
  readonly ended: Promise<{ state: string; exit_code?: number; cursor: number }>;
  cursor = 0;

  constructor(url: string, key: string) {
    this.socket = new WebSocket(url, { headers: { authorization: `Bearer ${key}` } } as unknown as string[]);
    this.socket.binaryType = "arraybuffer";
    this.ended = new Promise((resolve) => {
      this.socket.addEventListener("message", ({ data }) => {
        if (typeof data === "string") {
          const message = JSON.parse(data);
          if (message.type === "ready") this.cursor = message.output_cursor;
          if (message.type === "end") resolve(message);
        } else {
          this.seen += Buffer.from(data as ArrayBuffer).toString("latin1");
          this.cursor += (data as ArrayBuffer).byteLength;
        }
      });
    });
  }

  static async open(pty: string, cursor?: number): Promise<Screen> {
    const { api_url: url, api_key: key } = install.ready;
    const screen = new Screen(
      `${url.replace("http", "ws")}${path()}/pty/${pty}/attach${cursor === undefined ? "" : `?cursor=${cursor}`}`,
      key,
    );
    await until("the socket is open", () => Promise.resolve(screen.socket.readyState === WebSocket.OPEN), waitMs);
    return screen;
  }

  type(keys: string): void {
    this.socket.send(Buffer.from(keys));
  }

  async shows(what: string | RegExp): Promise<void> {
    const found = () => (typeof what === "string" ? this.seen.includes(what) : what.test(this.seen));
    try {
      await until(`the screen shows ${what}`, found, screenMs);
    } catch (cause) {
      throw new Error(`The screen does not show ${what}, but: ${JSON.stringify(this.seen.slice(-1_000))}`, { cause });
    }
  }
}

describe("a terminal", () => {
  test("runs a full-screen program, takes another size, Ctrl-C, a broken connection, and ends with its shell's exit code", async () => {
    const pty = await workspace.pty.create({ cols: 100, rows: 30 });
    const screen = await Screen.open(pty.id);
    screen.type("stty size; top -d 1; echo top-ended-$((1 + 1))\n");
    await screen.shows("30 100");
    // top takes the whole screen and draws its header.
    await screen.shows(/Tasks:.*total/);
    screen.type("q");
    // At its end top throws away what was typed ahead.
    await screen.shows("top-ended-2");
    await install.client.workspaces
      .open(workspace.id)
      .pty.retrieve(pty.id)
      .then((handle) => handle.resize(120, 40));
    screen.type("\nstty size\n");
    await screen.shows("40 120");
    // Said by the program itself, which then is the one that the terminal interrupts.
    screen.type("sh -c 'echo sleeping-$((1 + 1)); exec sleep 600'\n");
    await screen.shows("sleeping-2");
    screen.type("\u0003");
    screen.type("echo after-$((40 + 2))\n");
    await screen.shows("after-42");
    // The connection breaks while the shell goes on writing.
    screen.type("(sleep 1; echo while-away) &\n");
    await screen.shows("while-away");
    const at = screen.cursor;
    screen.socket.close();
    const again = await Screen.open(pty.id, at);
    again.type("echo back\n");
    await again.shows("back");
    expect(again.seen).not.toContain("after-42");
    again.type("exit 5\n");
    expect(await again.ended).toMatchObject({ state: "closed", exit_code: 5 });
    expect((await install.get(`${path()}/pty/${pty.id}`)).pty).toMatchObject({ state: "closed", exit_code: 5 });
  });

  test("is closed from outside although its shell ignores that", async () => {
    const pty = await workspace.pty.create();
    await until("it is open", async () => (await (await workspace.pty.retrieve(pty.id)).retrieve()).state === "open", waitMs);
    await pty.input("trap '' HUP TERM; echo trapped\n", { offset: 0 });
    await until(
      "it is trapped",
      async () => text(Buffer.concat((await pty.output.list()).map((chunk) => chunk.data))).includes("trapped\r\n"),
      waitMs,
    );
    await pty.close();
    await until("it has closed", async () => (await pty.retrieve()).state === "closed", waitMs);
  });
});

describe("live files", () => {
  test("are written, listed, read, moved and removed through the guest", async () => {
    const put = await install.api.call("PUT", `${path()}/files/content?path=notes.txt&mode=384`, { body: "a note\n" });
    expect(put).toMatchObject({ status: 200, json: { path: "notes.txt", size_bytes: 7 } });
    expect(await install.post(`${path()}/files/directory`, { path: "src/deep" }, 201)).toMatchObject({ entry: { kind: "directory" } });
    const live = `source=live&path=`;
    expect((await install.get(`${path()}/files/stat?${live}notes.txt`)).entry).toMatchObject({ kind: "file", size_bytes: 7, mode: 0o600 });
    const { entries } = await install.get(`${path()}/files?${live}.`);
    expect(entries.map((entry: { name: string }) => entry.name)).toEqual(expect.arrayContaining(["notes.txt", "src"]));
    const read = await install.api.call("GET", `${path()}/files/content?${live}notes.txt`, { headers: { range: "bytes=2-5" } });
    expect(read).toMatchObject({ status: 206, text: "note" });
    expect(await install.post(`${path()}/files/move`, { from: "notes.txt", to: "src/moved.txt" })).toMatchObject({
      entry: { path: "src/moved.txt" },
    });
    expect((await install.api.call("GET", `${path()}/files/content?${live}notes.txt`)).json).toMatchObject({
      code: "workspace_file_not_found",
    });
    expect(await output(await shell("cat src/moved.txt"))).toBe("a note\n");
    expect((await install.api.call("DELETE", `${path()}/files?path=src`)).status).toBe(409);
    expect((await install.api.call("DELETE", `${path()}/files?path=src&recursive=1`)).status).toBe(204);
  });

  test("as trees: a tar goes in and comes out; large files too", async () => {
    const tar = await tarOf({ "tree/a.txt": "a", "tree/b/c.txt": "c" });
    expect((await install.api.call("PUT", `${path()}/files/archive?path=.`, { body: tar })).json).toMatchObject({
      entries: expect.any(Number),
    });
    expect(await output(await shell("cat tree/a.txt tree/b/c.txt"))).toBe("ac");
    const out = await install.api.call("GET", `${path()}/files/archive?path=tree`);
    expect(out.status).toBe(200);
    expect(out.text).toContain("c.txt");
    const large = Buffer.alloc(20 * 1024 * 1024, "0123456789abcdef");
    expect((await install.api.call("PUT", `${path()}/files/content?path=large.bin`, { body: large })).json).toEqual({
      path: "large.bin",
      size_bytes: large.length,
    });
    const back = await install.api.call("GET", `${path()}/files/content?source=live&path=large.bin`);
    expect(back.text.length).toBe(large.length);
  });

  test("a directory of this machine is uploaded by one command", async () => {
    const directory = await mkdtemp(join(tmpdir(), "helmr e2e upload "));
    try {
      await mkdir(join(directory, "deep"));
      await writeFile(join(directory, "deep", "file.txt"), "from here\n");
      await symlink("deep/file.txt", join(directory, "link"));
      const { code, stdout, stderr } = await install.local.helmr(["workspace", "cp", workspace.id, directory, "up/loaded", "--upload"]);
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "up/loaded\n", stderr: "" });
      expect(await output(await shell("cat up/loaded/link; readlink up/loaded/link"))).toBe("from here\ndeep/file.txt\n");
      const one = await install.local.helmr(["workspace", "cp", workspace.id, join(directory, "deep", "file.txt"), "--upload"]);
      expect(one).toMatchObject({ code: 0, stdout: "file.txt\n" });
      expect(await output(await shell("cat file.txt"))).toBe("from here\n");
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  test("git works on them", async () => {
    const script = [
      "git init -q --bare /tmp/origin.git && git clone -q /tmp/origin.git repo 2>/dev/null && cd repo",
      "git config user.email a@b && git config user.name a && echo one > file && git add file && git commit -q -m first && git push -q origin HEAD",
      "git log --format=%s",
    ].join("\n");
    expect(await output(await shell(script))).toBe("first\n");
  });
});

describe("a capture", () => {
  const ofVersion = async (id: string, file: string) =>
    (await install.api.call("GET", `${path()}/files/content?source=version&version_id=${id}&path=${file}`)).text;

  test("is a version of what is there now, again after the next change, while an exec and a terminal go on", async () => {
    const mount = await install.post(`${path()}/connect`, {});
    const writer = await shell("i=0; while true; do i=$((i + 1)); echo $i > counter; echo tick; sleep 0.1; done");
    const pty = await workspace.pty.create();
    await until("it ticks", async () => (await writer.retrieve()).stdoutCursor > 0, waitMs);
    await workspace.files.write("captured.txt", Buffer.from("one\n"));
    const first = await workspace.versions.capture({ message: "first", idempotencyKey: "capture-1" });
    expect(first).toMatchObject({ isUnchanged: false, version: { kind: "user", state: "ready", message: "first" } });
    expect(first.pauseMs).toBeGreaterThan(0);
    expect(await ofVersion(first.version.id, "captured.txt")).toBe("one\n");
    expect(await install.file(workspace.id, "tree/b/c.txt")).toBe("c");

    await workspace.files.write("captured.txt", Buffer.from("two\n"));
    const said = await install.local.helmr(["workspace", "capture", workspace.id, "--expect", first.version.id, "--json"]);
    expect(said).toMatchObject({ code: 0, stderr: "" });
    const second = JSON.parse(said.stdout);
    expect(second.version).toMatchObject({ parent_version_id: first.version.id });
    // What was written before the first one (20 MiB in one file) is not looked at again.
    expect(second.stored_bytes).toBeLessThan(2 * 1024 * 1024);
    expect(await ofVersion(second.version.id, "captured.txt")).toBe("two\n");
    expect(await ofVersion(first.version.id, "captured.txt")).toBe("one\n");
    expect(Number(await ofVersion(second.version.id, "counter"))).toBeGreaterThan(Number(await ofVersion(first.version.id, "counter")));
    const { changes } = await workspace.versions.diff({ from: first.version.id, to: second.version.id });
    expect(changes.map((change) => change.path)).toEqual(["captured.txt", "counter"]);
    const repeated = await workspace.versions.capture({ message: "first", idempotencyKey: "capture-1" });
    expect(repeated.version.id).toBe(first.version.id);

    const at = (await writer.retrieve()).stdoutCursor;
    await until("it goes on", async () => (await writer.retrieve()).stdoutCursor > at, waitMs);
    expect(await install.post(`${path()}/connect`, {})).toMatchObject({ id: mount.id, state: "mounted" });
    await install.post(`${path()}/execs/${writer.id}/signal`, { signal: "KILL" });
    await writer.wait();
    await pty.close();
    await until("it has closed", async () => (await pty.retrieve()).state === "closed", waitMs);
    const third = await workspace.versions.capture();
    expect(third).toMatchObject({ isUnchanged: false });
    expect(await workspace.versions.capture()).toMatchObject({ isUnchanged: true, version: { id: third.version.id } });
  });
});

const devServer = `
const { createServer } = require("node:http");
const { createHash } = require("node:crypto");
const server = createServer((request, response) => {
  response.setHeader("set-cookie", "guest=1");
  response.end("page " + request.url + " cookie:" + (request.headers.cookie ?? "none"));
});
server.on("upgrade", (request, socket) => {
  const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
  socket.write("HTTP/1.1 101 Switching Protocols\\r\\nupgrade: websocket\\r\\nconnection: Upgrade\\r\\nsec-websocket-accept: " + accept + "\\r\\n\\r\\n");
  socket.write(Buffer.concat([Buffer.from([0x81, 5]), Buffer.from("hello")]));
});
server.listen(5173, "127.0.0.1", () => console.log("listening"));
`;

describe("ports", () => {
  test("a dev server is previewed under the server's own host, WebSocket included", async () => {
    const server = await workspace.exec(["node", "-e", devServer], { detached: true });
    await until("it listens", async () => (await server.retrieve()).stdoutCursor > 0, waitMs);
    const preview = await install.post(`${path()}/ports/5173/preview`, {}, 201);
    const page = await fetch(`${preview.url}assets/app.js?v=1`, { headers: { cookie: "helmr_session=secret", authorization: "Bearer x" } });
    expect(await page.text()).toBe("page /assets/app.js?v=1 cookie:none");
    expect(page.headers.get("set-cookie")).toBeNull();
    expect(page.headers.get("content-security-policy")).toMatch(/^sandbox /);
    const socket = new WebSocket(preview.url.replace("http", "ws"));
    const greeting = await new Promise((resolve, reject) => {
      socket.addEventListener("message", ({ data }) => resolve(data));
      socket.addEventListener("error", () => reject(new TypeError("the WebSocket failed")));
    });
    expect(greeting).toBe("hello");
    socket.close();
    expect((await fetch(preview.url.replace(/.(?=\/$)/, "A"))).status).toBe(401);
    expect((await fetch((await install.post(`${path()}/ports/9/preview`, {}, 201)).url)).status).toBe(502);

    const forward = install.local.spawnHelmr(["workspace", "port", workspace.id, "5173", "--local", "0", "--json"]);
    const said = await new Promise<string>((resolve) => {
      forward.stdout.once("data", (data: Buffer) => resolve(data.toString()));
    });
    const { local_port: port } = JSON.parse(said);
    const forwarded = await fetch(`http://127.0.0.1:${port}/through`);
    expect(await forwarded.text()).toBe("page /through cookie:none");
    forward.kill("SIGINT");
    await install.post(`${path()}/execs/${server.id}/signal`, { signal: "KILL" });
  });
});

describe("a worker and a server that are killed", () => {
  test("go on with the machine, the exec and every byte of its output", async () => {
    const exec = await shell("i=0; while [ $i -lt 150 ]; do echo tick $i; i=$((i + 1)); sleep 0.1; done");
    await until("it ticks", async () => (await exec.retrieve()).stdoutCursor > 100, waitMs);
    process.kill(await install.local.componentPid("server"), "SIGKILL");
    await until("the server is back", async () => (await exec.retrieve().catch(() => undefined)) !== undefined, waitMs);
    const afterServer = (await exec.retrieve()).stdoutCursor;
    await until("it goes on", async () => (await exec.retrieve()).stdoutCursor > afterServer, waitMs);
    process.kill(await install.local.componentPid("worker"), "SIGKILL");
    const ended = await exec.wait();
    expect(ended).toMatchObject({ state: "exited", exitCode: 0 });
    const lines = (await output(exec)).split("\n").slice(0, -1);
    expect(lines).toEqual(Array.from({ length: 150 }, (_, at) => `tick ${at}`));
    // The disk is still over what the machine began with, not over the versions that were made since.
    const captured = await workspace.versions.capture();
    expect(captured).toMatchObject({ isUnchanged: false });
    expect(await install.file(workspace.id, "captured.txt")).toBe("two\n");
    expect(await install.file(workspace.id, "tree/b/c.txt")).toBe("c");
  });
});

describe("the stop", () => {
  test("ends what runs, captures what was written, and is idempotent", async () => {
    const running = await shell("trap '' TERM; echo kept > kept.txt; echo ready; sleep 600");
    await until("it runs", async () => (await running.retrieve()).stdoutCursor > 0, waitMs);
    const before = await workspace.versions.list();
    const stopped = await workspace.stop({ idempotencyKey: "stop-1" });
    expect(stopped).toMatchObject({ state: "unmounting" });
    await until("it is unmounted", async () => (await workspace.stop()).state === "no_active_mount", waitMs);
    expect(await workspace.stop({ idempotencyKey: "stop-1" })).toMatchObject({ state: "unmounted" });
    expect(await running.retrieve()).toMatchObject({ state: "terminated" });
    expect(await workspace.versions.list()).toHaveLength(before.length + 1);
    expect(await install.file(workspace.id, "kept.txt")).toBe("kept\n");
    expect(await install.file(workspace.id, "tree/b/c.txt")).toBe("c");
    await install.expectSound();
  });
});
