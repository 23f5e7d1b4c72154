import { expect, test } from "vitest";
import { diffRows } from "./unified-diff.ts";

const unified = `--- a/x.txt
+++ b/x.txt
@@ -3,3 +3,4 @@ function x() {
 same
-old
+new
+-- also new
 end
\\ No newline at end of file
`;

test("diffRows() numbers the lines of both sides", () => {
  expect(diffRows(unified)).toEqual([
    { kind: "hunk", text: "@@ -3,3 +3,4 @@ function x() {" },
    { kind: "same", text: "same", before: 3, after: 3 },
    { kind: "removed", text: "old", before: 4 },
    { kind: "added", text: "new", after: 4 },
    { kind: "added", text: "-- also new", after: 5 },
    { kind: "same", text: "end", before: 5, after: 6 },
    { kind: "note", text: "No newline at end of file" },
  ]);
});

test("diffRows() of nothing is nothing", () => {
  expect(diffRows("")).toEqual([]);
});
