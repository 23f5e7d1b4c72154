/** One file of two trees as a unified diff. Bounded in bytes, lines and edits; what is larger is told, not shown. */
import { Ext4Error } from "../ext4/block-device.ts";
import type { Ext4Tree } from "../ext4/tree.ts";
import { fileLimits } from "./file-limits.ts";
import { type Edit, lineEdits } from "./line-edits.ts";

export interface TextDiff {
  change: "added" | "removed" | "changed" | "unchanged";
  /** `text`: `unified` holds the diff. */
  format: "text" | "binary" | "too_large";
  unified?: string;
}

interface Side {
  bytes: Buffer | undefined;
  sizeBytes: number;
}

export async function diffTexts(from: Ext4Tree | undefined, to: Ext4Tree | undefined, path: string): Promise<TextDiff> {
  const [before, after] = [await readSide(from, path), await readSide(to, path)];
  if (before === undefined && after === undefined) throw new Ext4Error("not_found", `Neither version has ${JSON.stringify(path)}`);
  const change = before === undefined ? "added" : after === undefined ? "removed" : "changed";
  if (tooLarge(before) || tooLarge(after)) return { change, format: "too_large" };
  const [left, right] = [before?.bytes ?? Buffer.alloc(0), after?.bytes ?? Buffer.alloc(0)];
  if (change === "changed" && left.equals(right)) return { change: "unchanged", format: "text", unified: "" };
  const [a, b] = [textOf(left), textOf(right)];
  if (a === undefined || b === undefined) return { change, format: "binary" };
  const names = { from: before ? `a/${path}` : "/dev/null", to: after ? `b/${path}` : "/dev/null" };
  const unified = unifiedDiff(a, b, names);
  return unified === undefined ? { change, format: "too_large" } : { change, format: "text", unified };
}

const tooLarge = (side: Side | undefined): boolean => side !== undefined && side.bytes === undefined;

/** Undefined: there is no such file. */
async function readSide(tree: Ext4Tree | undefined, path: string): Promise<Side | undefined> {
  if (tree === undefined) return undefined;
  try {
    const entry = await tree.stat(path);
    if (entry.kind !== "file") throw new Ext4Error("not_regular", `${JSON.stringify(path)} is a ${entry.kind}`);
    if (entry.sizeBytes > fileLimits.textBytesMax) return { bytes: undefined, sizeBytes: entry.sizeBytes };
    const { inode } = await tree.openFile(path);
    return { bytes: await tree.readFile(inode, { start: 0, length: entry.sizeBytes }), sizeBytes: entry.sizeBytes };
  } catch (error) {
    if (error instanceof Ext4Error && (error.code === "not_found" || error.code === "not_directory")) return undefined;
    throw error;
  }
}

function textOf(bytes: Buffer): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // Not UTF-8: shown as binary.
    return undefined;
  }
}

/** Lines with their newlines: the last one may have none. */
const linesOf = (text: string): string[] => text.match(/[^\n]*\n|[^\n]+$/g) ?? [];

export function unifiedDiff(before: string, after: string, names: { from: string; to: string }): string | undefined {
  const [a, b] = [linesOf(before), linesOf(after)];
  if (a.length + b.length > 2 * fileLimits.textLinesMax) return undefined;
  const out = [`--- ${names.from}\n`, `+++ ${names.to}\n`];
  for (const hunk of hunksOf(lineEdits(a, b, fileLimits.textEditsMax), fileLimits.textContextLines)) {
    out.push(hunkHeader(hunk));
    for (const edit of hunk) {
      const sign = edit.kind === "same" ? " " : edit.kind === "removed" ? "-" : "+";
      const line = (edit.kind === "added" ? b[edit.right] : a[edit.left]) as string;
      out.push(line.endsWith("\n") ? `${sign}${line}` : `${sign}${line}\n\\ No newline at end of file\n`);
    }
  }
  return out.join("");
}

function hunkHeader(hunk: readonly Edit[]): string {
  const left = hunk.filter(({ kind }) => kind !== "added").length;
  const right = hunk.filter(({ kind }) => kind !== "removed").length;
  const first = hunk[0] as Edit;
  // An empty side is named by the line before it.
  const range = (start: number, count: number) => `${count === 0 ? start : start + 1}${count === 1 ? "" : `,${count}`}`;
  return `@@ -${range(first.left, left)} +${range(first.right, right)} @@\n`;
}

function hunksOf(edits: readonly Edit[], context: number): Edit[][] {
  const hunks: Edit[][] = [];
  let open: Edit[] | undefined;
  let quiet = 0;
  for (const [at, edit] of edits.entries()) {
    if (edit.kind === "same") {
      quiet += 1;
      open?.push(edit);
      if (open !== undefined && quiet > 2 * context) {
        open.splice(open.length - quiet + context);
        open = undefined;
      }
      continue;
    }
    if (open === undefined) {
      open = edits.slice(Math.max(0, at - Math.min(context, quiet)), at);
      hunks.push(open);
    }
    open.push(edit);
    quiet = 0;
  }
  if (open !== undefined && quiet > context) open.splice(open.length - quiet + context);
  return hunks;
}
