import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FileOperation } from "@helmr/protocol/guest";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testGuest, type TestGuest } from "./guest.fixture.ts";

let guest: TestGuest;
let nextStream = 100;
beforeEach(async () => {
  guest = await testGuest();
  await guest.attach();
  mkdirSync(join(guest.workspace, "docs/deep"), { recursive: true });
  writeFileSync(join(guest.workspace, "docs/a.txt"), "alpha");
  writeFileSync(join(guest.root, "outside.txt"), "outside");
});
afterEach(() => guest.dispose());

const at = (path: string) => join(guest.workspace, path);
const file = (operation: FileOperation) => guest.host.ok({ type: "file", operation });
const refusal = (operation: FileOperation) => guest.host.refusal({ type: "file", operation });

async function read(path: string, range: { start?: number; end?: number } = {}): Promise<{ text: string; facts: unknown }> {
  const stream = (nextStream += 1);
  const facts = await file({ kind: "read", path, start: range.start ?? 0, ...(range.end === undefined ? {} : { end: range.end }), stream });
  const end = await guest.host.message("stream.end", (message) => message.stream === stream);
  expect(end.error).toBeUndefined();
  expect(guest.host.length(stream)).toBe(end.length);
  return { text: guest.host.text(stream), facts };
}

async function send(operation: { kind: "write" | "upload"; path: string; mode?: number }, data: Uint8Array): Promise<unknown> {
  const stream = (nextStream += 1);
  const answer = guest.host.request({ type: "file", operation: { ...operation, stream } as FileOperation });
  await guest.host.sendStream(stream, data);
  const answered = await answer;
  return answered.type === "ok" ? answered.result : answered.code;
}

describe("live files", () => {
  test("are listed in the order of their names, page by page", async () => {
    for (const name of ["b", "a", "ü", "Z"]) writeFileSync(at(name), name);
    symlinkSync("a", at("link"));
    const first = (await file({ kind: "list", path: ".", limit: 4 })) as { entries: { path: string }[]; next: string };
    expect(first.entries.map((entry) => entry.path)).toEqual(["Z", "a", "b", "docs"]);
    const rest = (await file({ kind: "list", path: ".", limit: 10, after: first.next })) as { entries: unknown[]; next?: string };
    expect(rest.entries).toMatchObject([
      { path: "link", kind: "symlink", linkTarget: "a" },
      { path: "ü", kind: "file", sizeBytes: 2 },
    ]);
    expect(rest.next).toBeUndefined();
    expect(await file({ kind: "list", path: "docs", limit: 10 })).toMatchObject({
      entries: [{ path: "docs/a.txt" }, { path: "docs/deep", kind: "directory" }],
    });
  });

  test("are read whole, in parts, and beyond their end", async () => {
    expect(await read("docs/a.txt")).toMatchObject({ text: "alpha", facts: { start: 0, end: 5, entry: { sizeBytes: 5, kind: "file" } } });
    expect((await read("docs/a.txt", { start: 1, end: 3 })).text).toBe("lp");
    expect((await read("docs/a.txt", { start: 3, end: 100 })).text).toBe("ha");
    expect((await read("docs/a.txt", { start: 100 })).text).toBe("");
  });

  test("are read as fast as the host takes them, and no further than it wants", async () => {
    writeFileSync(at("big"), Buffer.alloc(5_000_000, 7));
    guest.host.acknowledging = false;
    await file({ kind: "read", path: "big", start: 0, stream: 50 });
    await guest.host.until(() => guest.host.length(50) >= 262_144, "a window of bytes");
    await guest.host.ok({ type: "ping" });
    expect(guest.host.length(50)).toBeLessThanOrEqual(262_144 + 65_536);
    guest.host.send({ type: "stream.stop", stream: 50 });
    const end = await guest.host.message("stream.end", (message) => message.stream === 50);
    expect(end.length).toBeLessThan(1_000_000);
  });

  test("are written whole or not at all", async () => {
    expect(await send({ kind: "write", path: "docs/new.txt", mode: 0o640 }, Buffer.from("fresh"))).toEqual({ sizeBytes: 5 });
    expect(readFileSync(at("docs/new.txt"), "utf8")).toBe("fresh");
    expect(lstatSync(at("docs/new.txt")).mode & 0o777).toBe(0o640);
    const large = Buffer.alloc(1_000_000, 3);
    expect(await send({ kind: "write", path: "docs/new.txt" }, large)).toEqual({ sizeBytes: 1_000_000 });
    expect(lstatSync(at("docs/new.txt")).mode & 0o777).toBe(0o640);
    const stream = (nextStream += 1);
    const given = guest.host.request({ type: "file", operation: { kind: "write", path: "docs/new.txt", stream } });
    await guest.host.sendBytes(stream, Buffer.from("half"));
    guest.host.send({ type: "stream.end", stream, length: 4, error: "the client went away" });
    expect(await given).toMatchObject({ type: "error", code: "bad_request" });
    expect(readFileSync(at("docs/new.txt")).equals(large)).toBe(true);
    expect(readdirSync(at("docs")).sort()).toEqual(["a.txt", "deep", "new.txt"]);
  });

  test("are made, moved and removed", async () => {
    await file({ kind: "mkdir", path: "made", mode: 0o700 });
    expect(lstatSync(at("made")).mode & 0o777).toBe(0o700);
    await file({ kind: "move", from: "docs", to: "made/docs" });
    expect(readFileSync(at("made/docs/a.txt"), "utf8")).toBe("alpha");
    expect(await refusal({ kind: "remove", path: "made", recursive: false })).toBe("exists");
    symlinkSync(guest.root, at("made/link"));
    await file({ kind: "remove", path: "made", recursive: true });
    expect([existsSync(at("made")), existsSync(join(guest.root, "outside.txt"))]).toEqual([false, true]);
    await refusal({ kind: "stat", path: "made" });
  });

  test("never lead out of the workspace", async () => {
    symlinkSync("../outside.txt", at("out"));
    symlinkSync("..", at("up"));
    symlinkSync("/workspace/docs", at("inside"));
    expect((await read("inside/a.txt")).text).toBe("alpha");
    const attempts: FileOperation[] = [
      { kind: "read", path: "../outside.txt", start: 0, stream: 60 },
      { kind: "read", path: "out", start: 0, stream: 61 },
      { kind: "read", path: "up/outside.txt", start: 0, stream: 62 },
      { kind: "list", path: "up", limit: 10 },
      { kind: "stat", path: "docs/../../outside.txt" },
      { kind: "mkdir", path: "up/made" },
      { kind: "move", from: "docs/a.txt", to: "../moved" },
      { kind: "remove", path: "up/outside.txt", recursive: true },
      { kind: "download", path: "up", stream: 63 },
      { kind: "stat", path: "a\0b" },
    ];
    for (const operation of attempts) expect([operation, await refusal(operation)]).toEqual([operation, "bad_path"]);
    expect(await send({ kind: "write", path: "out" }, Buffer.from("x"))).toBe("bad_path");
    expect(readFileSync(join(guest.root, "outside.txt"), "utf8")).toBe("outside");
    expect(await refusal({ kind: "remove", path: ".", recursive: true })).toBe("bad_path");
  });

  test("answer with a code for what is not a file, not there, or in the way", async () => {
    execFileSync("mkfifo", [at("pipe")]);
    expect(await refusal({ kind: "read", path: "docs", start: 0, stream: 70 })).toBe("not_regular");
    expect(await refusal({ kind: "read", path: "pipe", start: 0, stream: 71 })).toBe("not_regular");
    expect(await refusal({ kind: "read", path: "missing", start: 0, stream: 72 })).toBe("not_found");
    expect(await refusal({ kind: "list", path: "docs/a.txt", limit: 1 })).toBe("not_directory");
    expect(await refusal({ kind: "list", path: "docs/a.txt/x", limit: 1 })).toBe("not_directory");
    expect(await refusal({ kind: "mkdir", path: "docs" })).toBe("exists");
    expect(await send({ kind: "write", path: "docs" }, Buffer.from("x"))).toBe("not_regular");
    expect(await send({ kind: "write", path: "missing/x" }, Buffer.from("x"))).toBe("not_found");
  });

  test("that are refused take no more of their input", async () => {
    const bare = await testGuest();
    try {
      const refused = bare.host.request({ type: "file", operation: { kind: "write", path: "x", stream: 80 } });
      await bare.host.sendBytes(80, Buffer.alloc(200_000));
      expect(await refused).toMatchObject({ code: "not_attached" });
      expect(bare.supervisor.link.takeIncoming(80)).toBeUndefined();
    } finally {
      bare.dispose();
    }
  });

  test("come and go as trees", async () => {
    const source = join(guest.root, "source");
    mkdirSync(join(source, "sub"), { recursive: true });
    writeFileSync(join(source, "sub/file"), "content");
    symlinkSync("sub/file", join(source, "link"));
    const tar = execFileSync("tar", ["-C", source, "-cf", "-", "."]);
    expect(await send({ kind: "upload", path: "docs/deep" }, tar)).toMatchObject({ entries: 4, bytes: 7 });
    expect([readFileSync(at("docs/deep/sub/file"), "utf8"), readlinkSync(at("docs/deep/link"))]).toEqual(["content", "sub/file"]);
    const stream = (nextStream += 1);
    await file({ kind: "download", path: "docs", stream });
    const end = await guest.host.message("stream.end", (message) => message.stream === stream);
    await guest.host.until(() => guest.host.length(stream) === end.length, "the whole tar");
    const listing = execFileSync("tar", ["-tf", "-"], { input: Buffer.concat(guest.host.streams.get(stream) ?? []), encoding: "utf8" });
    expect(listing.trim().split("\n").sort()).toEqual(["./", "a.txt", "deep/", "deep/link", "deep/sub/", "deep/sub/file"]);
    expect(await send({ kind: "upload", path: "docs" }, Buffer.alloc(2000, 65))).toBe("bad_request");
  });
});
