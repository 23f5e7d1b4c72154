/** Counts files and lines by language. */
import { createReadStream } from "node:fs";
import { lstat } from "node:fs/promises";
import { extname, join } from "node:path";

const languages: Readonly<Record<string, string>> = {
  ".cjs": "JavaScript",
  ".css": "CSS",
  ".html": "HTML",
  ".js": "JavaScript",
  ".json": "JSON",
  ".jsx": "JavaScript",
  ".map": "Source map",
  ".md": "Markdown",
  ".mjs": "JavaScript",
  ".cts": "TypeScript",
  ".mts": "TypeScript",
  ".ts": "TypeScript",
  ".tsx": "TypeScript",
  ".sh": "Shell",
  ".wasm": "WebAssembly",
  ".yaml": "YAML",
  ".yml": "YAML",
};

export interface LanguageCount {
  files: number;
  lines: number;
  bytes: number;
}

export function languageOf(path: string): string {
  return languages[extname(path).toLowerCase()] ?? "Other";
}

/** `paths` are relative to `root`. A line is what ends with a line feed, and an unfinished last one. */
export async function countByLanguage(root: string, paths: readonly string[]): Promise<Record<string, LanguageCount>> {
  const counts: Record<string, LanguageCount> = {};
  for (const path of paths) {
    const full = join(root, path);
    const stats = await lstat(full);
    if (!stats.isFile()) continue;
    const count = (counts[languageOf(path)] ??= { files: 0, lines: 0, bytes: 0 });
    count.files += 1;
    count.bytes += stats.size;
    count.lines += await countLines(full);
  }
  return Object.fromEntries(Object.entries(counts).sort(([left], [right]) => (left < right ? -1 : 1)));
}

async function countLines(path: string): Promise<number> {
  let lines = 0;
  let last = 10;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    for (const byte of chunk) if (byte === 10) lines += 1;
    last = chunk.at(-1) ?? last;
  }
  return last === 10 ? lines : lines + 1;
}
