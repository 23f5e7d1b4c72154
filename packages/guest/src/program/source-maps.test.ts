import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { transform } from "esbuild";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodeMappings, originalPlace } from "./source-maps.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "maps-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const source = `interface A { a: number }\n\n  export function long(one: A, two: string): string {\n    const sum = one.a + two.length;\n    return [sum, "ü", two].map((x) => String(x)).join();\n  }\n`;

describe("source maps", () => {
  test("agree with Node's own reading of them, segment by segment", async () => {
    const { map } = await transform(source, { loader: "ts", sourcemap: "external", sourcefile: "a.ts", minifySyntax: true });
    const payload = JSON.parse(map) as ConstructorParameters<typeof SourceMap>[0];
    const reference = new SourceMap(payload);
    const lines = decodeMappings(payload.mappings);
    expect(lines.flat().length).toBeGreaterThan(20);
    for (const [line, segments] of lines.entries()) {
      for (const { column, line: originalLine, sourceColumn } of segments) {
        expect(reference.findEntry(line, column)).toMatchObject({
          generatedLine: line,
          generatedColumn: column,
          originalLine,
          originalColumn: sourceColumn,
        });
      }
    }
  });

  test("give the place in the source, and nothing for files without a map or with a broken one", async () => {
    const { code, map } = await transform(source, { loader: "ts", sourcemap: "external", sourcefile: "tasks/a.ts" });
    const file = join(directory, "a.mjs");
    writeFileSync(file, code);
    writeFileSync(`${file}.map`, map);
    const line = code.split("\n").findIndex((text) => text.includes("const sum")) + 1;
    const column = (code.split("\n")[line - 1] ?? "").indexOf("sum") + 1;
    expect(originalPlace(file, line, column)).toBe(`${join(directory, "tasks/a.ts")}:4:11`);
    writeFileSync(join(directory, "b.mjs.map"), "{ no json");
    expect(originalPlace(join(directory, "b.mjs"), 1, 1)).toBeUndefined();
    expect(originalPlace(join(directory, "c.mjs"), 1, 1)).toBeUndefined();
  });
});
