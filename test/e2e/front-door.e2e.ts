/**
 * The front door when things go wrong: what `up` finds is repaired, what ends takes everything with it. An install of its own, below a path with a
 * space; one file, in order, because each test begins with what the one before left.
 */
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "@helmr/test/services";
import { guestCacheDirectory } from "@helmr/test/services/guest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { finished, installDirectory, LocalInstall, type Ready, repository } from "./local-install.ts";
import { SharedInstall } from "./shared-install.ts";

const parts = ["postgres", "server", "worker"] as const;

let local: LocalInstall;
let ready: Ready;
beforeAll(async () => {
  local = await LocalInstall.open(await installDirectory());
  ready = await local.up();
  const { code, stderr } = await local.helmr(["deploy", join(repository, "examples", "hello")]);
  expect({ code }, stderr).toEqual({ code: 0 });
});
afterAll(async () => {
  if (local === undefined) return;
  await local.down();
  await expectNothingLeft();
  await local.remove();
});

/** The same install, still with its deployment, runs a task. */
async function expectRuns(): Promise<void> {
  const install = new SharedInstall(local, ready);
  try {
    const { run } = await install.play("hello", { payload: { name: "Ada" } });
    expect(run).toMatchObject({ status: "succeeded", output: { greeting: "Hello, Ada!" } });
  } finally {
    install.close();
  }
}

async function expectNothingLeft(): Promise<void> {
  await until("nothing of the install runs any more", async () => (await local.processes()).length === 0, 60_000).catch(async () => {
    throw new TypeError(`left: ${JSON.stringify(await local.processes(), null, 2)}`);
  });
}

async function monitors() {
  return (await local.processes()).filter(({ command }) => command.includes("qemu-system"));
}

async function startTime(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}

describe("beside a running install", () => {
  test("a second up changes nothing, and shows it with a fresh login link", async () => {
    const before = await local.supervisor();
    const second = await local.front(["up", "--detach", "--json"]);
    expect(second).toMatchObject({ code: 0 });
    expect(second.stderr).toContain(`Already running (supervisor ${before!.pid})`);
    const { login_url: fresh, ...same } = JSON.parse(second.stdout) as Ready;
    const { login_url: first, ...known } = ready;
    expect(same).toEqual(known);
    expect(fresh).not.toBe(first);
    expect((await local.supervisor())!.pid).toBe(before!.pid);
    const login = await fetch(fresh, { redirect: "manual" });
    expect([login.status, login.headers.get("set-cookie")]).toEqual([302, expect.stringContaining("helmr_session_dev=")]);
    expect((await fetch(fresh, { redirect: "manual" })).status).toBe(401);
  });

  test.each(parts)("%s is killed: the supervisor starts it again, and work goes on", async (part) => {
    const before = await local.componentPid(part);
    process.kill(before, "SIGKILL");
    await until(
      `another ${part} runs`,
      async () => {
        const now = (await local.supervisor())?.components[part]?.pid;
        return now !== undefined && now !== before && (await startTime(now)) !== undefined;
      },
      60_000,
    );
    await until("the server is ready", async () => (await fetch(`${ready.api_url}/readyz`).catch(() => undefined))?.status === 200, 60_000);
    await expectRuns();
  });
});

describe("the supervisor is killed", () => {
  test("everything it started ends with it, machines included", async () => {
    await until("a machine stands ready", async () => (await monitors()).length > 0, 120_000);
    const { pid } = (await local.supervisor())!;
    const before = await local.processes();
    for (const part of parts) expect(before.map((one) => one.pid)).toContain(await local.componentPid(part));
    process.kill(pid, "SIGKILL");
    await until("its processes are gone", async () => (await local.processes()).length === 0, 60_000);
  });

  test("the next up repairs it, with everything that was stored", async () => {
    const again = await local.up();
    expect(again).toMatchObject({ api_url: ready.api_url, api_key: ready.api_key, state_dir: local.state });
    await expectRuns();
  });

  test("all of it is killed at once: what is left then, down ends", async () => {
    // Machines that were made in advance have nobody any more.
    await until("a machine stands ready", async () => (await monitors()).length > 0, 120_000);
    const { pid } = (await local.supervisor())!;
    const pids = [pid, ...(await Promise.all(parts.map((part) => local.componentPid(part))))];
    for (const one of pids) process.kill(one, "SIGKILL");
    expect(await local.down()).toMatchObject({ code: 0, stderr: "Stopped.\n" });
    expect(await local.processes()).toEqual([]);
    expect(await local.supervisor()).toBeUndefined();
    expect(await local.down()).toMatchObject({ code: 0, stderr: "Nothing was running.\n" });
  });
});

describe("in the foreground", () => {
  test.each(["SIGINT", "SIGHUP"] as const)("%s ends everything in order", async (signal) => {
    const child = local.spawnFront(["up", "--json"]);
    let said = "";
    const result = finished(child, {
      timeoutMs: 280_000,
      onStdout: (text) => {
        said = text;
      },
    });
    await until("it is ready", () => said.endsWith("\n"), 240_000);
    expect(JSON.parse(said)).toMatchObject({ api_url: ready.api_url, api_key: ready.api_key });
    if (signal === "SIGINT") await expectRuns();
    child.kill(signal);
    expect(await result).toMatchObject({ code: 0, signal: null });
    expect(await local.processes()).toEqual([]);
    expect(await local.supervisor()).toBeUndefined();
  });
});

describe("down --purge", () => {
  test("removes the state, and nothing else", async () => {
    expect(await local.down("--purge")).toMatchObject({ code: 0 });
    await expect(access(local.state)).rejects.toThrow(/ENOENT/);
    // The guest's parts were lent to it.
    await access(join(guestCacheDirectory(), "ingredients.json"));
  });
});
