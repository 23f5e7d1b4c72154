/**
 * The bytes of a parked machine, between its files on this host and the chunk store: memory as a difference against its template's, device state as it is.
 * Scratch and workspace are disks and take the way of all disks (disks/layered-disk.ts).
 */
import { mkdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ArtifactRef, NewArtifact } from "@helmr/protocol/worker";
import type { ArtifactStore } from "../chunks/artifact-store.ts";
import type { ChunkWorker } from "../chunks/chunk-worker.ts";
import { dataExtents } from "../disks/data-extents.ts";
import { runCommand } from "../host/run-command.ts";
import type { Access } from "../workspace/base-store.ts";
import type { CutFiles } from "./checkpoint-cache.ts";
import type { TemplateMemory } from "./template-memory.ts";

const copyMs = 120_000;

export interface StoredMemory {
  template: NewArtifact;
  memory: NewArtifact;
  device: NewArtifact;
  /** Bytes that went to the store for this cut, the template's left out. */
  newBytes: number;
  /** Memory that differs from the template's. */
  differingBytes: number;
}

export class CutStore {
  private readonly artifacts: ArtifactStore;
  private readonly chunks: ChunkWorker;

  constructor(parts: { artifacts: ArtifactStore; chunks: ChunkWorker }) {
    this.artifacts = parts.artifacts;
    this.chunks = parts.chunks;
  }

  /** `directory` is for what is made on the way, and removed. */
  async store(cut: CutFiles & { template: TemplateMemory; directory: string }, access: Access): Promise<StoredMemory> {
    const target = join(cut.directory, "difference");
    try {
      const extents = { memory: await dataExtents(cut.memory), template: await dataExtents(cut.template.path) };
      const work = { memory: cut.memory, template: cut.template.path, target, extents };
      const [template, differingBytes] = await Promise.all([
        cut.template.artifact(access),
        this.chunks.run("differ", work, { signal: access.signal }),
      ]);
      const memory = await this.storeFile(target, access);
      const device = await this.storeFile(cut.device, access);
      const newBytes = memory.newBytes + device.newBytes;
      return { template, memory: memory.artifact, device: device.artifact, newBytes, differingBytes };
    } finally {
      await rm(target, { force: true });
    }
  }

  /** Makes the files of a cut in `directory`; `template` is the memory that it is a difference against. */
  async load(refs: { memory: ArtifactRef; device: ArtifactRef; template: string }, directory: string, access: Access): Promise<CutFiles> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const files = { memory: join(directory, "memory"), device: join(directory, "device") };
    const difference = join(directory, "difference");
    await Promise.all([
      runCommand("cp", ["--sparse=always", "--reflink=auto", refs.template, files.memory], { timeoutMs: copyMs }),
      this.loadFile(refs.memory, difference, access),
      this.loadFile(refs.device, files.device, access),
    ]);
    await this.chunks.run("patchMemory", { difference, target: files.memory }, { signal: access.signal });
    await rm(difference);
    return files;
  }

  private async storeFile(path: string, access: Access) {
    const source = { kind: "raw" as const, path, lengthBytes: (await stat(path)).size, extents: await dataExtents(path) };
    return this.artifacts.store({ source, ...access });
  }

  private async loadFile(ref: ArtifactRef, path: string, access: Access): Promise<void> {
    const manifest = await this.artifacts.manifest(ref, access);
    await writeFile(path, "", { mode: 0o600 });
    await this.artifacts.load({ manifest, path, ...access });
  }
}
