import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { extract } from "tar-stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Archive, archiveEntries, writeArchive } from "./archive.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "helmr-archive-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function put(files: Record<string, string | Buffer>, below = "project"): Promise<string> {
  const directory = path.join(root, below);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(directory, name)), { recursive: true });
    await writeFile(path.join(directory, name), content);
  }
  return directory;
}

async function archive(directory: string, ignorePatterns?: string[]): Promise<Archive> {
  return writeArchive(directory, await archiveEntries(directory, ignorePatterns), path.join(root, "a.tar"));
}

const names = async (directory: string, ignorePatterns?: string[]) =>
  (await archiveEntries(directory, ignorePatterns)).map((entry) => entry.path);

async function unpacked(file: string): Promise<{ header: Record<string, unknown>; content: string }[]> {
  const entries: { header: Record<string, unknown>; content: string }[] = [];
  const tar = extract();
  tar.on("entry", (header, stream, next) => {
    const pieces: Buffer[] = [];
    stream.on("data", (piece) => pieces.push(piece as Buffer));
    stream.on("end", () => {
      entries.push({ header: header as unknown as Record<string, unknown>, content: Buffer.concat(pieces).toString() });
      next();
    });
  });
  await pipeline(createReadStream(file), tar);
  return entries;
}

describe("archiveEntries()", () => {
  const files = {
    "helmr.config.ts": "",
    "package.json": "",
    ".npmrc": "",
    "tasks/a.ts": "",
    "tasks/a.test.ts": "",
    "tasks/deep/b.spec.js": "",
    "_root.ts": "",
    "tasks/_private.ts": "",
    "tasks/_noextension": "",
    "node_modules/x/index.js": "",
    "tasks/node_modules/y.js": "",
    ".git/HEAD": "",
    ".helmr/state": "",
    "web/.next/out.js": "",
    ".env": "",
    ".env.local": "",
    "tasks/.env": "",
    "tasks/.env.production": "",
    ".environment": "",
    "fixtures/data.bin": "",
  };
  const kept = [".environment", ".npmrc", "fixtures/data.bin", "helmr.config.ts", "package.json", "tasks/_noextension", "tasks/a.ts"];

  test("leaves out tests, private files and what never belongs in", async () => {
    expect(await names(await put(files))).toEqual(kept);
  });

  test("with patterns leaves out those instead of the default ones", async () => {
    const all = [...kept, "_root.ts", "tasks/_private.ts", "tasks/a.test.ts", "tasks/deep/b.spec.js"].sort();
    const directory = await put(files);
    expect(await names(directory, [])).toEqual(all);
    expect(await names(directory, ["fixtures/**", "./tasks/*.ts"])).toEqual(
      all.filter((name) => !name.startsWith("fixtures/") && !/^tasks\/[^/]+\.ts$/.test(name)),
    );
    expect(await names(directory, ["!tasks/a.ts"])).toEqual(all);
  });

  test("is sorted by bytes, not by language", async () => {
    expect(await names(await put({ b: "", B: "", "a/z": "", "a-b": "", "a.b": "", ä: "", "\u{1F600}": "", "\uFB00": "" }))).toEqual([
      "B",
      "a-b",
      "a.b",
      "a/z",
      "b",
      "ä",
      "\uFB00",
      "\u{1F600}",
    ]);
  });

  test("refuses a link that leads out of the project", async () => {
    const directory = await put({ "in/file": "" });
    await symlink("../in/file", path.join(directory, "in", "link"));
    expect(await names(directory)).toEqual(["in/file", "in/link"]);
    await symlink("../../elsewhere", path.join(directory, "in", "out"));
    await expect(archiveEntries(directory, undefined)).rejects.toThrow(
      "in/out is a symbolic link to ../../elsewhere, outside of the project",
    );
    expect(await names(directory, ["in/out"])).toEqual(["in/file", "in/link"]);
    await rm(path.join(directory, "in", "out"));
    await symlink(path.join(directory, "in"), path.join(directory, "absolute"));
    await expect(archiveEntries(directory, undefined)).rejects.toThrow("absolute is a symbolic link");
  });
});

describe("writeArchive()", () => {
  test("is a plain tar that says nothing of times and owners", async () => {
    const directory = await put({ "run.sh": "#!/bin/sh\n", "a.txt": "hello", empty: "", [`${"long/".repeat(40)}name`]: "x" });
    await chmod(path.join(directory, "run.sh"), 0o700);
    await chmod(path.join(directory, "a.txt"), 0o600);
    await symlink("a.txt", path.join(directory, "link"));
    const { file, bytes, contentHash } = await archive(directory);
    const content = await readFile(file);
    expect(contentHash).toBe(`sha256:${createHash("sha256").update(content).digest("hex")}`);
    expect(bytes).toBe(content.length);
    const entries = await unpacked(file);
    expect(
      entries.map(({ header, content: text }) => [header["name"], header["type"], (header["mode"] as number).toString(8), text]),
    ).toEqual([
      ["a.txt", "file", "644", "hello"],
      ["empty", "file", "644", ""],
      ["link", "symlink", "777", ""],
      [`${"long/".repeat(40)}name`, "file", "644", "x"],
      ["run.sh", "file", "755", "#!/bin/sh\n"],
    ]);
    for (const { header } of entries) expect(header).toMatchObject({ uid: 0, gid: 0, uname: "", gname: "", mtime: new Date(0) });
    expect(entries[2]!.header["linkname"]).toBe("a.txt");
  });

  test("is the same for the same files, wherever and whenever they were made", async () => {
    const files = { "tasks/a.ts": "a", "package.json": "{}", "b/c/d": Buffer.alloc(100_000, 7) };
    const first = await archive(await put(files));
    const other = await put(Object.fromEntries(Object.entries(files).reverse()), "elsewhere");
    await utimes(path.join(other, "package.json"), 1, 1);
    await chmod(path.join(other, "package.json"), 0o660);
    expect((await archive(other)).contentHash).toBe(first.contentHash);
    await rename(path.join(other, "tasks", "a.ts"), path.join(other, "tasks", "b.ts"));
    expect((await archive(other)).contentHash).not.toBe(first.contentHash);
  });

  test("notices a file that shrinks meanwhile", async () => {
    const directory = await put({ "a.txt": "0123456789" });
    const entries = await archiveEntries(directory, undefined);
    await writeFile(path.join(directory, "a.txt"), "0");
    await expect(writeArchive(directory, entries, path.join(root, "a.tar"))).rejects.toThrow("a.txt could not be archived");
  });

  test("takes the size it has seen of a file that grows meanwhile", async () => {
    const directory = await put({ "a.txt": "01234" });
    const entries = await archiveEntries(directory, undefined);
    await writeFile(path.join(directory, "a.txt"), "0123456789");
    await writeArchive(directory, entries, path.join(root, "a.tar"));
    expect((await unpacked(path.join(root, "a.tar"))).map(({ content }) => content)).toEqual(["01234"]);
  });
});
