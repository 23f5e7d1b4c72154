/** What the main thread asks of the chunk thread. Plain data: it crosses a MessagePort. */
import type { ChunkManifest } from "@helmr/protocol/worker";
import type { BlockSourceSpec } from "../disks/block-source.ts";
import type { MemoryDifference, MemoryPatch } from "../checkpoints/memory-difference.ts";
import type { LoadRange } from "./load-blocks.ts";
import type { PatchBase } from "./patch-base.ts";
import type { PackFile } from "./pack-writer.ts";
import type { TenantKeys } from "./sealing.ts";
import type { StoredBlocks } from "./store-blocks.ts";

export interface ChunkJobs {
  store: {
    input: {
      source: BlockSourceSpec;
      chunkBytes: number;
      keys: TenantKeys;
      level: number;
      parent?: ChunkManifest;
      directory: string;
      artifactId: string;
    };
    output: StoredBlocks & { sealedManifest: Uint8Array };
  };
  learn: { input: { orgId: string; manifest: ChunkManifest }; output: void };
  loadOpen: { input: { path: string; manifest: ChunkManifest; keys: TenantKeys }; output: number };
  loadRange: { input: { handle: number; range: LoadRange; bytes: Uint8Array }; output: void };
  loadZero: { input: { handle: number; indexes: number[] }; output: void };
  loadClose: { input: { handle: number }; output: void };
  verify: { input: { path: string; manifest: ChunkManifest; idKey: Uint8Array }; output: boolean };
  patch: { input: PatchBase; output: void };
  differ: { input: MemoryDifference; output: number };
  patchMemory: { input: MemoryPatch; output: void };
}

/** Cells of a job's shared memory: set to 1 to cancel it; packs handed out that are not uploaded yet. */
export const controlCancel = 0;
export const controlUnsent = 1;
/** Back-pressure: staged packs of one job that wait for their upload. */
export const unsentPacksMax = 16;

export type ChunkJob = keyof ChunkJobs;

export type ToChunkThread = {
  [J in ChunkJob]: { kind: "job"; id: number; job: J; input: ChunkJobs[J]["input"]; control: Int32Array };
}[ChunkJob];

export type FromChunkThread =
  | { kind: "done"; id: number; output: unknown }
  | { kind: "failed"; id: number; error: { name: string; code?: string; message: string; stack?: string } }
  /** A full pack of a store job; the job goes on. */
  | { kind: "pack"; id: number; pack: PackFile };
