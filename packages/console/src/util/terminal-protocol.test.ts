import { expect, test } from "vitest";
import { endText, parseTerminalMessage } from "./terminal-protocol.ts";

test.each([
  ['{"type":"ready","output_cursor":7,"input_cursor":0}', { type: "ready", output_cursor: 7, input_cursor: 0 }],
  ['{"type":"later"}', undefined],
  ["not json", undefined],
])("parseTerminalMessage(%s)", (text, expected) => {
  expect(parseTerminalMessage(text)).toEqual(expected);
});

test("endText() tells an end from a loss", () => {
  expect(endText({ state: "closed", exit_code: 0 })).toBe("The shell ended with exit code 0.");
  expect(endText({ state: "lost" })).toMatch(/machine was lost/);
  expect(endText({ state: "closed" })).toBe("The terminal is closed.");
});
