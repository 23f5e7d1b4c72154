import { expect, test } from "vitest";
import { parseSearch, stringifySearch } from "./search-params.ts";

test("codes that look like numbers stay texts", () => {
  expect(parseSearch("?code=12345678&state=1e5&x=true")).toEqual({ code: "12345678", state: "1e5", x: "true" });
});

test("stringifySearch() leaves out what is empty", () => {
  expect(stringifySearch({ status: "open", q: "", task: undefined })).toBe("?status=open");
  expect(stringifySearch({})).toBe("");
});
