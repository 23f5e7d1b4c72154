import { describe, expect, test } from "vitest";
import { ignoreFilter } from "./ignore-patterns.ts";

describe("patterns as in a .dockerignore", () => {
  test.each<[string[], string, boolean]>([
    [["*.log"], "a.log", true],
    [["*.log"], "sub/a.log", false],
    [["**/*.log"], "a.log", true],
    [["**/*.log"], "sub/deep/a.log", true],
    [["sub"], "sub/deep/x", true],
    [["sub/"], "sub/x", true],
    [["/sub"], "sub/x", true],
    [["./sub"], "sub/x", true],
    [["sub/**"], "sub/x/y", true],
    [["sub/**"], "sub", false],
    [["a/**/z"], "a/z", true],
    [["a/**/z"], "a/b/c/z", true],
    [["?.txt"], "a.txt", true],
    [["?.txt"], "ab.txt", false],
    [["[a-c].txt"], "b.txt", true],
    [["[^a-c].txt"], "b.txt", false],
    [["a\\*"], "a*", true],
    [["a\\*"], "ab", false],
    [["a+b.(x)"], "a+b.(x)", true],
    [["*", "!keep"], "keep", false],
    [["*", "!keep"], "other", true],
    [["sub", "!sub/keep"], "sub/keep", false],
    [["sub", "!sub/keep"], "sub/other", true],
    [["!keep", "*"], "keep", true],
    [["# comment", "", "  "], "# comment", false],
    [[], ".git/config", true],
    [["!.git"], "sub/.git/x", true],
    [["["], "[", true],
  ])("%j and %s: ignored %s", (patterns, path, ignored) => expect(ignoreFilter(patterns)(path)).toBe(ignored));
});
