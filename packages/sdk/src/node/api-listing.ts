/**
 * `api.md`: the public surface as text, so that every change of it shows in a review. `npm run generate` writes it; with `--check` it only
 * compares, and so does a test.
 */
import { readFile, writeFile } from "node:fs/promises";
import { emitDeclarations } from "./declarations.ts";

export const listingUrl = new URL("../../api.md", import.meta.url);

export async function apiListing(): Promise<string> {
  const declarations = await emitDeclarations(["index"]);
  const names = exportedNames(await readFile(new URL("../index.ts", import.meta.url), "utf8"));
  const files = [...declarations].filter(([path]) => path !== "index.d.ts").sort(([left], [right]) => (left < right ? -1 : 1));
  return [
    "# Public surface of @helmr/sdk",
    "Generated from the sources by `npm run generate`; do not edit. The entry exports exactly the names below; what else the declarations mention has no name of its own for users.",
    `## Values (${names.values.length})`,
    names.values.map((name) => `\`${name}\``).join(", "),
    `## Types (${names.types.length})`,
    names.types.map((name) => `\`${name}\``).join(", "),
    "## Declarations",
    ...files.map(([path, text]) => `### ${path}\n\n\`\`\`ts\n${text.trimEnd()}\n\`\`\``),
  ]
    .join("\n\n")
    .concat("\n");
}

export interface ExportedNames {
  values: string[];
  types: string[];
}

/** From the export clauses of `index.ts`, which holds nothing else. */
export function exportedNames(source: string): ExportedNames {
  const names: ExportedNames = { values: [], types: [] };
  for (const [, isType, list = ""] of source.matchAll(/export (type )?\{([^}]*)\}/g)) {
    for (const entry of list.split(",").map((text) => text.trim())) {
      if (entry === "") continue;
      if (isType !== undefined || entry.startsWith("type ")) names.types.push(entry.replace(/^type /, ""));
      else names.values.push(entry);
    }
  }
  names.values.sort();
  names.types.sort();
  return names;
}

if (import.meta.main) {
  const listing = await apiListing();
  if (!process.argv.includes("--check")) await writeFile(listingUrl, listing);
  else if ((await readFile(listingUrl, "utf8")) !== listing) {
    console.error("packages/sdk/api.md does not say what the sources say: run npm run generate");
    process.exitCode = 1;
  }
}
