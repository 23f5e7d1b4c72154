/** Bytes of a file, wherever they lie: inline, in extents, or nowhere (holes are zeros). */
import type { WorkBudget } from "./block-device.ts";
import { type Run, runAt } from "./block-map.ts";
import { type Inode, inlineData } from "./inode.ts";
import type { Volume } from "./superblock.ts";

/** Fewer than `length` only at the end of the file. */
export async function readBytes(
  volume: Volume,
  inode: Inode,
  range: { start: number; length: number },
  budget: WorkBudget,
): Promise<Buffer> {
  const end = Math.min(range.start + range.length, inode.sizeBytes);
  if (end <= range.start) return Buffer.alloc(0);
  if (inode.isInline) return Buffer.from(inlineData(inode).subarray(range.start, end));
  const out = Buffer.alloc(end - range.start);
  for await (const { start, run, length } of runs(volume, inode, { start: range.start, end }, budget)) {
    if (run.physical === undefined) continue;
    const at = run.physical * volume.fs.blockBytes + (start % volume.fs.blockBytes);
    (await volume.device.read(at, length)).copy(out, start - range.start);
  }
  return out;
}

export interface FileRun {
  /** In the file, in bytes. */
  start: number;
  length: number;
  run: Run;
}

/** The runs that cover a range of a file that is not inline. */
export async function* runs(
  volume: Volume,
  inode: Inode,
  range: { start: number; end: number },
  budget: WorkBudget,
): AsyncGenerator<FileRun> {
  const { blockBytes } = volume.fs;
  for (let start = range.start; start < range.end;) {
    budget.spend();
    const logical = Math.floor(start / blockBytes);
    const run = await runAt(volume, inode, logical, budget);
    const end = Math.min((logical + run.blocks) * blockBytes, range.end);
    yield { start, length: end - start, run };
    start = end;
  }
}
