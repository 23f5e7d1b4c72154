/** A repository that this host serves is cloned into a workspace, edited, committed and pushed; versions of it are compared, and it is forked. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { WorkspaceHandle } from "@helmr/sdk";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, expect, test } from "vitest";
import { repository, serviceName } from "./local-install.ts";
import { type SharedInstall, sharedInstall } from "./shared-install.ts";

const run = promisify(execFile);
let install: SharedInstall;
let directory: string;
let daemon: ChildProcess;
const waitMs = 120_000;

const git = (...args: string[]) => run("git", ["-c", "user.name=host", "-c", "user.email=host@example.com", ...args], { cwd: directory });

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "helmr-e2e-git-"));
  await git("init", "-q", "--bare", "-b", "main", "origin.git");
  await git("init", "-q", "-b", "main", "seed");
  await run("sh", ["-c", "mkdir lib && echo one > lib/first.txt && seq 1 500 > numbers.txt"], { cwd: join(directory, "seed") });
  await git("-C", "seed", "add", ".");
  await git("-C", "seed", "commit", "-q", "-m", "first");
  await git("-C", "seed", "push", "-q", join(directory, "origin.git"), "main");
  install = await sharedInstall();
  const { servicePort } = install.local;
  const args = ["daemon", "--export-all", "--enable=receive-pack", "--reuseaddr", "--listen=127.0.0.1", `--port=${servicePort}`];
  daemon = spawn("git", [...args, `--base-path=${directory}`, directory], { stdio: "ignore" });
  await until("the repository is served", () => listens(servicePort), waitMs);
  await install.deploy(join(repository, "examples", "hello"));
});
afterAll(async () => {
  if (daemon !== undefined && daemon.exitCode === null) {
    const ended = new Promise((resolve) => daemon.once("close", resolve));
    daemon.kill();
    await ended;
  }
  install?.close();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

async function shell(workspace: WorkspaceHandle, script: string): Promise<string> {
  const exec = await workspace.exec(["sh", "-ec", script]);
  const read = async (stream: "stdout" | "stderr") => {
    let all = "";
    for await (const { data } of exec[stream].stream()) all += Buffer.from(data).toString();
    return all;
  };
  const [stdout, stderr] = await Promise.all([read("stdout"), read("stderr")]);
  expect({ code: (await exec.wait()).exitCode, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

const identity = "git config user.email a@example.com && git config user.name a";

test("clone, edit, commit and push; the versions before and after are compared, and a fork goes its own way", async () => {
  const { id } = await install.client.workspaces.create({ sandboxId: "default" });
  const workspace = install.client.workspaces.open(id);
  await shell(workspace, `git clone -q git://${serviceName}/origin.git repo && cd repo && ${identity}`);
  const cloned = await workspace.versions.capture({ message: "cloned" });
  await shell(
    workspace,
    "cd repo && sed -i s/^250$/changed/ numbers.txt && git mv lib/first.txt lib/second.txt && echo new > new.txt && git add . && git commit -q -m second && git push -q",
  );
  const { stdout } = await git("-C", "origin.git", "log", "--format=%an %s", "main");
  expect(stdout).toBe("a second\nhost first\n");
  const committed = await workspace.versions.capture({ message: "committed" });

  const sides = { from: cloned.version.id, to: committed.version.id };
  const { changes } = await workspace.versions.diff({ ...sides, path: "repo" });
  const ofTree = changes.filter((change) => !change.path.startsWith("repo/.git/")).map(({ path, change }) => `${change} ${path}`);
  expect(ofTree.sort()).toEqual([
    "added repo/lib/second.txt",
    "added repo/new.txt",
    "changed repo/numbers.txt",
    "removed repo/lib/first.txt",
  ]);
  const diff = await workspace.versions.diffFile("repo/numbers.txt", sides);
  expect(diff).toMatchObject({ change: "changed", format: "text", unified: expect.stringContaining("-250\n+changed\n") });

  const forked = await workspace.fork({ versionId: cloned.version.id });
  const fork = install.client.workspaces.open(forked.id);
  expect(
    await shell(
      fork,
      "cd repo && git status --porcelain && echo other > lib/first.txt && git commit -q -a -m other && git log --format=%s",
    ),
  ).toBe("other\nfirst\n");
  const other = await fork.versions.capture();
  const apart = await fork.versions.diff({ from: committed.version.id, fromWorkspaceId: id, to: other.version.id, path: "repo/lib" });
  expect(apart.changes.map(({ path, change }) => `${change} ${path}`)).toEqual(["added repo/lib/first.txt", "removed repo/lib/second.txt"]);
  expect(await install.file(id, "repo/lib/second.txt")).toBe("one\n");
  expect(await install.file(fork.id, "repo/lib/first.txt")).toBe("other\n");
  // Nothing but the service is open to guests.
  const closed = await workspace.exec(["sh", "-c", "timeout 20 git ls-remote git://127.0.0.1:9418/origin.git"]);
  expect((await closed.wait()).exitCode).not.toBe(0);
  for (const one of [workspace, fork]) {
    await one.stop();
    await until("it is unmounted", async () => (await one.stop()).state === "no_active_mount", waitMs);
  }
  await install.expectSound();
});
