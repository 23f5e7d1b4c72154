import { describe, expect, test } from "vitest";
import { parseEnvFile } from "./env-file.ts";

describe("parseEnvFile()", () => {
  test("takes pairs, comments, quotes and export", () => {
    const content = [
      "# a comment",
      "   # another",
      "",
      "PLAIN=a b",
      "  TRIMMED =  value  ",
      "export EXPORTED=1",
      "EMPTY=",
      "HASH=a#b",
      "COMMENTED=a # b",
      "TABBED=a\t# b",
      "ONLY_COMMENT= # b",
      "SINGLE='a # b \\n $X'",
      'DOUBLE="a # b" # c',
      'ESCAPES="1\\n2\\r3\\t4\\"5\\\\6\\x"',
      "EQUALS=a=b=c",
      "lower_case=1\r",
      "AGAIN=1",
      "AGAIN=2",
    ].join("\n");
    expect(parseEnvFile(content, ".env")).toEqual({
      PLAIN: "a b",
      TRIMMED: "value",
      EXPORTED: "1",
      EMPTY: "",
      HASH: "a#b",
      COMMENTED: "a",
      TABBED: "a",
      ONLY_COMMENT: "",
      SINGLE: "a # b \\n $X",
      DOUBLE: "a # b",
      ESCAPES: '1\n2\r3\t4"5\\6\\x',
      EQUALS: "a=b=c",
      lower_case: "1",
      AGAIN: "2",
    });
  });

  test.each([
    ["A=1\nHELMR_API_KEY=x", "f/.env:2: HELMR_API_KEY cannot be set here"],
    ["\n\nexport HELMR_X=1", "f/.env:3: HELMR_X cannot be set here"],
    ["A", "f/.env:1: expected KEY=VALUE"],
    ["1A=2", 'f/.env:1: "1A" is not a name of a variable'],
    ["=2", 'f/.env:1: "" is not a name of a variable'],
    ['A="b', "f/.env:1: A has a quote without an end"],
    ["A='b", "f/.env:1: A has a quote without an end"],
    ['A="b\\"', "f/.env:1: A has a quote without an end"],
    ["A='b' c", "f/.env:1: A has text behind its closing quote"],
  ])("refuses %j with its place", (content, text) => {
    expect(() => parseEnvFile(content, "f/.env")).toThrow(text);
  });
});
