import { expect, test } from "vitest";
import { bytesText } from "./bytes.ts";

test.each([
  [0, "0 B"],
  [812, "812 B"],
  [4_300, "4.2 KiB"],
  [2 * 1024 ** 3, "2 GiB"],
  [250.4 * 1024 ** 2, "250 MiB"],
])("bytesText(%i) is %s", (bytes, text) => expect(bytesText(bytes)).toBe(text));
