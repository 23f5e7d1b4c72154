/** What the driver keeps and finds on the host: overlays' backing files, digests, templates, sockets, processes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, stat, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "@helmr/test/services";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FileDigests } from "./file-digests.ts";
import { MachineDirectory } from "./machine-directory.ts";
import { findMonitor, readStartTime, startMonitor } from "./monitor-process.ts";
import { backingFile } from "./overlay-backing.ts";
import { readTemplate, requireUntouched, sealTemplate, writeKernelHead } from "./template.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vm-host-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe("backingFile()", () => {
  async function overlay(name: string | undefined, magic = 0x514649fb): Promise<string> {
    const header = Buffer.alloc(4096);
    header.writeUInt32BE(magic, 0);
    if (name !== undefined) {
      header.writeBigUInt64BE(200n, 8);
      header.writeUInt32BE(Buffer.byteLength(name), 16);
      header.write(name, 200);
    }
    const path = join(directory, "overlay");
    await writeFile(path, header);
    return path;
  }

  test("finds absolute and relative names", async () => {
    expect(await backingFile(await overlay("/base/disk.raw"))).toBe("/base/disk.raw");
    expect(await backingFile(await overlay("../base.raw"))).toBe(join(directory, "../base.raw"));
  });

  test("refuses what is no overlay or has none", async () => {
    await expect(backingFile(await overlay("/x", 0))).rejects.toMatchObject({ code: "disk_missing" });
    await expect(backingFile(await overlay(undefined))).rejects.toMatchObject({ code: "disk_missing" });
    await expect(backingFile(join(directory, "nothing"))).rejects.toMatchObject({ code: "disk_missing" });
    await writeFile(join(directory, "short"), "QFI");
    await expect(backingFile(join(directory, "short"))).rejects.toMatchObject({ code: "disk_missing" });
  });
});

describe("FileDigests", () => {
  test("computes once per content and remembers across processes", async () => {
    const path = join(directory, "file");
    await writeFile(path, "one");
    const store = join(directory, "digests.json");
    const first = await new FileDigests(store).digest(path);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    const kept = (await readFile(store, "utf8")).replace(first, "f".repeat(64));
    await writeFile(store, kept);
    expect(await new FileDigests(store).digest(path)).toBe("f".repeat(64));
  });

  test("notices a change even when size and time of modification are set back", async () => {
    const path = join(directory, "file");
    await writeFile(path, "one");
    await utimes(path, 1000, 1000);
    const digests = new FileDigests(join(directory, "digests.json"));
    const first = await digests.digest(path);
    await writeFile(path, "two");
    await utimes(path, 1000, 1000);
    expect(await digests.digest(path)).not.toBe(first);
  });

  test("a broken store and a missing file are no bugs", async () => {
    await writeFile(join(directory, "digests.json"), "{half");
    const digests = new FileDigests(join(directory, "digests.json"));
    await writeFile(join(directory, "file"), "one");
    await digests.digest(join(directory, "file"));
    await expect(digests.digest(join(directory, "nothing"))).rejects.toMatchObject({ code: "disk_missing" });
  });
});

describe("templates on disk", () => {
  const spec = { kernel: "/k", initramfs: "/i", substrate: "/s", image: "/m", shape: { vcpus: 1, memoryMib: 1 } };

  async function seal(): Promise<void> {
    await writeFile(join(directory, "memory"), Buffer.alloc(65_536, 1));
    await truncate(join(directory, "memory"), 1024 * 1024);
    await writeFile(join(directory, "device"), "state");
    await writeFile(join(directory, "big-kernel"), Buffer.alloc(200_000, 7));
    await writeKernelHead(join(directory, "big-kernel"), join(directory, "kernel"));
    await sealTemplate(directory, "key", spec);
  }

  test("are found again, sparse and read-only", async () => {
    await seal();
    const template = await readTemplate(directory);
    expect(template).toMatchObject({ key: "key", directory, spec });
    expect(template?.sizeBytes).toBeLessThan(300_000);
    expect((await stat(join(directory, "memory"))).mode & 0o222).toBe(0);
    expect((await stat(join(directory, "kernel"))).size).toBe(65_536);
    if (template) await requireUntouched(template);
  });

  test("survive a move of their directory, but no touch of their memory", async () => {
    await seal();
    const moved = `${directory}-moved`;
    await rename(directory, moved);
    expect(await readTemplate(moved)).toBeDefined();
    await rename(moved, directory);
    await chmod(join(directory, "memory"), 0o644);
    expect(await readTemplate(directory)).toBeUndefined();
  });

  test("that are half written do not exist", async () => {
    await seal();
    await copyFile(join(directory, "template.json"), join(directory, "whole"));
    await writeFile(join(directory, "template.json"), (await readFile(join(directory, "whole"), "utf8")).slice(0, 50));
    expect(await readTemplate(directory)).toBeUndefined();
  });
});

describe("MachineDirectory", () => {
  test("listens below paths that are too long and too strange for a socket, and goes along when it is moved", async () => {
    const deep = join(directory, "a, b".repeat(20), "c".repeat(100));
    await mkdir(deep, { recursive: true });
    const place = await MachineDirectory.open(deep, null);
    const socket = await place.listen("control.sock");
    await symlink(deep, join(directory, "short"));
    const first = connect(join(directory, "short/control.sock"));
    const accepted = await socket.accept(AbortSignal.timeout(5_000));
    first.write("hello");
    const [said] = (await once(accepted, "data")) as [Buffer];
    expect(String(said)).toBe("hello");
    await place.moveTo(`${deep}-moved`);
    await symlink(`${deep}-moved`, join(directory, "again"));
    const second = connect(join(directory, "again/control.sock"));
    await socket.accept(AbortSignal.timeout(5_000));
    for (const stream of [first, accepted, second]) stream.destroy();
    await socket.close();
    await place.close();
    expect(place.path).toBe(`${deep}-moved`);
  });

  test("a wait for a connection can be given up", async () => {
    const place = await MachineDirectory.open(directory, null);
    const socket = await place.listen("control.sock");
    const giveUp = new AbortController();
    const waiting = socket.accept(giveUp.signal);
    giveUp.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    await socket.close();
    await place.close();
  });
});

describe("processes", () => {
  const sleeper = (log: string) =>
    startMonitor({ command: "sh", args: ["-c", "echo complaint >&2; exec sleep 60"], cwd: directory, env: {}, log, descriptors: [] });

  test("are killed and leave their last words", async () => {
    const log = join(directory, "log");
    const monitor = await sleeper(log);
    const found = await findMonitor(monitor, log);
    expect(found?.pid).toBe(monitor.pid);
    await until("its words", async () => (await monitor.complaints()) !== "");
    await monitor.kill();
    expect(await monitor.exited).toEqual({ code: null, signal: "SIGKILL" });
    expect(await monitor.complaints()).toBe("complaint");
    await found?.exited;
    expect(await findMonitor(monitor, log)).toBeUndefined();
    await monitor.kill();
  });

  test("a pid that belongs to somebody else now is not touched", async () => {
    const other = spawn("sleep", ["60"]);
    const startTime = await readStartTime(other.pid as number);
    expect(await findMonitor({ pid: other.pid as number, startTime: (startTime as number) - 1 }, join(directory, "log"))).toBeUndefined();
    expect(other.exitCode).toBeNull();
    other.kill();
    await once(other, "exit");
  });

  test("a program that is not there is an error of ours", async () => {
    const missing = startMonitor({
      command: "/nonexistent/monitor",
      args: [],
      cwd: directory,
      env: {},
      log: join(directory, "log"),
      descriptors: [],
    });
    await expect(missing).rejects.toMatchObject({ code: "monitor_died" });
  });
});
