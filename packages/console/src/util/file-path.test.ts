import { expect, test } from "vitest";
import { crumbsOf, modeText, nameOf, parentOf } from "./file-path.ts";

test("crumbsOf() names every folder on the way", () => {
  expect(crumbsOf("src/api/call.ts").map(({ path }) => path)).toEqual(["src", "src/api", "src/api/call.ts"]);
  expect(crumbsOf(".")).toEqual([]);
});

test("parentOf() and nameOf()", () => {
  expect([parentOf("src/api/call.ts"), parentOf("src"), parentOf(".")]).toEqual(["src/api", ".", "."]);
  expect([nameOf("src/api/call.ts"), nameOf(".")]).toEqual(["call.ts", "workspace"]);
});

test("modeText() reads like ls", () => {
  expect(modeText(0o100_755)).toBe("rwxr-xr-x");
  expect(modeText(0o640)).toBe("rw-r-----");
});
