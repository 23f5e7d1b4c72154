import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../testing/temporary.ts";
import type { ImageError } from "../image-error.ts";
import { type CopySource, type Selection, SourceArchive } from "./source-archive.ts";

const root = temporaryDirectory("sources");
const tree = join(root, "tree");
const never = new AbortController().signal;
const long = `${"n".repeat(90)}/${"m".repeat(90)}`;

function write(files: Record<string, string | Buffer>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(tree, path, ".."), { recursive: true });
    writeFileSync(join(tree, path), content);
  }
}

async function open(): Promise<SourceArchive> {
  execFileSync("tar", ["-C", tree, "--sort=name", "-cf", join(root, "source.tar"), "."]);
  return SourceArchive.read(join(root, "source.tar"), never);
}

async function bytesOf(selection: Selection): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of selection.stream()) parts.push(part);
  return Buffer.concat(parts);
}

async function unpacked(source: CopySource): Promise<string> {
  const selection = (await open()).select(source, never);
  const bytes = await bytesOf(selection);
  expect(bytes.length).toBe(selection.bytes);
  const target = join(root, "unpacked");
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target);
  execFileSync("tar", ["-C", target, "-xf", "-"], { input: bytes });
  return target;
}

const listed = (directory: string) =>
  execFileSync("find", [".", "-mindepth", "1"], { cwd: directory }).toString().trim().split("\n").toSorted();

beforeEach(() => {
  rmSync(tree, { recursive: true, force: true });
  write({
    "app/a.txt": "one",
    "app/b.log": "log",
    "app/sub/c.txt": "three",
    [`app/${long}`]: "long",
    "app/big": Buffer.alloc(3_000_001, 7),
    "other/d": "d",
  });
});

describe("what a copy step takes", () => {
  test("a directory, filtered, as a tar that has exactly the bytes that were said", async () => {
    symlinkSync("a.txt", join(tree, "app/link"));
    const target = await unpacked({ kind: "directory", path: "app", ignore: ["*.log"] });
    expect(listed(target)).toEqual(
      ["./a.txt", "./big", "./link", `./${long.split("/")[0]}`, `./${long}`, "./sub", "./sub/c.txt"].toSorted(),
    );
    expect(readFileSync(join(target, "big")).equals(Buffer.alloc(3_000_001, 7))).toBe(true);
    expect(readFileSync(join(target, long), "utf8")).toBe("long");
  });

  test("the whole project", async () => {
    expect(listed(await unpacked({ kind: "directory", path: ".", ignore: ["app"] }))).toEqual(["./other", "./other/d"]);
  });

  test("a file, with its name and mode", async () => {
    execFileSync("chmod", ["700", join(tree, "app/a.txt")]);
    const selection = (await open()).select({ kind: "file", path: "./app//a.txt" }, never);
    expect(selection.file).toEqual({ name: "a.txt", mode: 0o755 });
    expect((await bytesOf(selection)).toString()).toBe("one");
  });

  test("the digest is that of names, modes and contents, and of nothing else", async () => {
    const digest = async (source: CopySource = { kind: "directory", path: "app", ignore: ["*.log"] }) =>
      (await open()).select(source, never).digest;
    const before = await digest();
    write({ "app/b.log": "other", "other/d": "other" });
    execFileSync("touch", ["-d", "2001-01-01", join(tree, "app/a.txt")]);
    expect(await digest()).toBe(before);
    write({ "app/a.txt": "two" });
    const changed = await digest();
    execFileSync("chmod", ["755", join(tree, "app/a.txt")]);
    expect(new Set([before, changed, await digest(), await digest({ kind: "directory", path: "app", ignore: [] })]).size).toBe(4);
  });

  test("what is not there, or behind a link, is refused", async () => {
    symlinkSync("app", join(tree, "linked"));
    const archive = await open();
    const codeOf = (source: CopySource) => {
      try {
        return archive.select(source, never).digest;
      } catch (error) {
        return (error as ImageError).code;
      }
    };
    expect(codeOf({ kind: "file", path: "none" })).toBe("copy_missing");
    expect(codeOf({ kind: "file", path: "app" })).toBe("copy_missing");
    expect(codeOf({ kind: "directory", path: "app/a.txt", ignore: [] })).toBe("copy_missing");
    expect(codeOf({ kind: "directory", path: "linked", ignore: [] })).toBe("step_invalid");
    expect(codeOf({ kind: "file", path: "linked/a.txt" })).toBe("step_invalid");
  });
});
