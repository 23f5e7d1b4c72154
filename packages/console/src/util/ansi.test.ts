import { expect, test } from "vitest";
import { ansiParts, stripAnsi } from "./ansi.ts";

test("stripAnsi() leaves the words", () => {
  expect(stripAnsi("\u001b[1;31merror\u001b[0m: \u001b]8;;https://x\u0007link\u001b]8;;\u0007\u0008!")).toBe("error: link!");
});

test("ansiParts() gives runs of one style", () => {
  expect(ansiParts("a \u001b[32mok\u001b[39m \u001b[1;91mbad\u001b[0m end")).toEqual([
    { text: "a " },
    { text: "ok", color: 2 },
    { text: " " },
    { text: "bad", bold: true, color: 9 },
    { text: " end" },
  ]);
});

test("ansiParts() reads 256 colours and skips true colours", () => {
  expect(ansiParts("\u001b[38;5;4mblue\u001b[38;2;1;2;3mrgb\u001b[0;1mbold")).toEqual([
    { text: "blue", color: 4 },
    { text: "rgb", color: 4 },
    { text: "bold", bold: true },
  ]);
});
