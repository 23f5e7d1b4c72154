/** Brings a base file up to what an overlay over it shows: the written clusters are copied into it. The overlay is not changed. */
import { closeSync, ftruncateSync, openSync } from "node:fs";
import { touchedBlocks } from "../disks/byte-ranges.ts";
import { type BlockSourceSpec, openBlockSource } from "../disks/block-source.ts";
import { clusterBytes } from "../disks/overlay-format.ts";
import { writeFully } from "./load-blocks.ts";

export async function patchBase(base: string, spec: BlockSourceSpec, checkpoint: () => Promise<void> | undefined): Promise<void> {
  const source = openBlockSource(spec);
  try {
    const fd = openSync(base, "r+");
    try {
      ftruncateSync(fd, source.lengthBytes);
      const buffer = Buffer.alloc(clusterBytes);
      for (const cluster of touchedBlocks(source.changes(), clusterBytes)) {
        const turn = checkpoint();
        if (turn !== undefined) await turn;
        const offset = cluster * clusterBytes;
        const part = buffer.subarray(0, Math.min(clusterBytes, source.lengthBytes - offset));
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
