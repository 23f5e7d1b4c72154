import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openTree, PathError, type ConfinedTree } from "./confined-tree.ts";

let base: string;
let tree: ConfinedTree;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "confined-"));
  mkdirSync(join(base, "tree/a/b"), { recursive: true });
  writeFileSync(join(base, "secret"), "outside");
  writeFileSync(join(base, "tree/a/b/file"), "inside");
  tree = openTree(join(base, "tree"), "/workspace");
});

afterEach(() => {
  tree.close();
  rmSync(base, { recursive: true, force: true });
});

function read(path: string, followLast = true): string {
  const place = tree.locate(path, { followLast });
  try {
    return readFileSync(place.path, "utf8");
  } finally {
    place.close();
  }
}

function problemOf(path: string): string {
  try {
    tree.locate(path, { followLast: true }).close();
  } catch (error) {
    if (error instanceof PathError) return error.problem;
    throw error;
  }
  return "none";
}

const openDescriptors = () => readdirSync("/proc/self/fd").length;

describe("openTree()", () => {
  test("finds files through plain paths and links that stay inside", () => {
    symlinkSync("a/b", join(base, "tree/relative"));
    symlinkSync("/workspace/a/b/file", join(base, "tree/absolute"));
    symlinkSync("../../a/b/file", join(base, "tree/a/b/up"));
    expect([
      read("a/b/file"),
      read("/a//b/./file"),
      read("relative/file"),
      read("absolute"),
      read("a/b/up"),
      read("a/b/../b/file"),
    ]).toEqual(Array(6).fill("inside"));
  });

  test("refuses paths and links that leave the tree", () => {
    symlinkSync("../secret", join(base, "tree/relative"));
    symlinkSync(join(base, "secret"), join(base, "tree/absolute"));
    symlinkSync("..", join(base, "tree/parent"));
    symlinkSync("/workspaces/a", join(base, "tree/sibling"));
    symlinkSync("/workspace/../secret", join(base, "tree/disguised"));
    const paths = ["../secret", "a/../../secret", "relative", "absolute", "parent/secret", "sibling/b", "disguised"];
    expect(paths.map(problemOf)).toEqual(paths.map(() => "outside"));
  });

  test("names what is wrong with a path", () => {
    symlinkSync("loop", join(base, "tree/loop"));
    expect(problemOf("a/missing/file")).toBe("not_found");
    expect(problemOf("a/b/file/x")).toBe("not_directory");
    expect(problemOf("loop/x")).toBe("too_many_links");
    expect(problemOf("a\0b")).toBe("invalid");
  });

  test("leaves the last component alone unless asked, and need not find it", () => {
    symlinkSync("../secret", join(base, "tree/link"));
    const link = tree.locate("link");
    expect(link.name).toBe("link");
    link.close();
    const fresh = tree.locate("new/deep/file", { makeParents: 0o755 });
    writeFileSync(fresh.path, "made");
    fresh.close();
    expect(read("new/deep/file")).toBe("made");
  });

  test("keeps no descriptor open, whatever happens", () => {
    symlinkSync("a/b", join(base, "tree/relative"));
    const before = openDescriptors();
    for (const path of ["a/b/file", "relative/file", "../x", "a/missing/x", "a/b/file/x", "."]) {
      try {
        tree.locate(path, { followLast: true }).close();
      } catch (error) {
        if (!(error instanceof PathError)) throw error;
      }
    }
    expect(openDescriptors()).toBe(before);
  });
});
