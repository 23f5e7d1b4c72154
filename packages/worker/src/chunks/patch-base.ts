/**
 * Brings a base file up to what an overlay over it shows: the written clusters are copied into it. The overlay is not changed. Zeros are only
 * written where the base has data: a trimmed overlay says "zero" for most of a device, and the base must stay sparse.
 */
import { closeSync, ftruncateSync, openSync } from "node:fs";
import { type ByteRange, touchedBlocks } from "../disks/byte-ranges.ts";
import { type BlockSourceSpec, openBlockSource } from "../disks/block-source.ts";
import { clusterBytes } from "../disks/overlay-format.ts";
import { writeFully } from "./load-blocks.ts";

export interface PatchBase {
  base: string;
  source: BlockSourceSpec;
  /** Where the base has data. */
  extents: ByteRange[];
}

export async function patchBase(patch: PatchBase, checkpoint: () => Promise<void> | undefined): Promise<void> {
  const source = openBlockSource(patch.source);
  try {
    const fd = openSync(patch.base, "r+");
    try {
      ftruncateSync(fd, source.lengthBytes);
      const dataIn = new Set(touchedBlocks(patch.extents, clusterBytes));
      const buffer = Buffer.alloc(clusterBytes);
      for (const cluster of touchedBlocks(source.changes(), clusterBytes)) {
        const turn = checkpoint();
        if (turn !== undefined) await turn;
        const offset = cluster * clusterBytes;
        const part = buffer.subarray(0, Math.min(clusterBytes, source.lengthBytes - offset));
        if (source.isZero(offset, part.length) && !dataIn.has(cluster)) continue;
        source.read(part, offset);
        writeFully(fd, part, offset);
      }
    } finally {
      closeSync(fd);
    }
  } finally {
    source.close();
  }
}
