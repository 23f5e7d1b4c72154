/**
 * A disk of a machine that can be written: an overlay over something that never changes while it is used, either a local base of an artifact or a
 * pre-made empty file system. After the machine has stopped it can be stored as a new artifact, and then moved on to.
 */
import { rm } from "node:fs/promises";
import type { ChunkManifest } from "@helmr/protocol/worker";
import { type ArtifactStore, type StoredArtifact } from "../chunks/artifact-store.ts";
import type { MachineDisk } from "../vm/driver.ts";
import type { Access, Base, BaseStore } from "../workspace/base-store.ts";
import { type BlockSourceSpec, openBlockSource } from "./block-source.ts";
import type { EmptyDisk } from "./empty-disks.ts";
import { readTreeSize, type TreeSize } from "./ext4-facts.ts";
import { createOverlay } from "./overlay-writer.ts";

export type DiskGround = { kind: "base"; base: Base } | { kind: "empty"; empty: EmptyDisk };

export interface StoredDisk extends StoredArtifact {
  tree: TreeSize;
}

export class LayeredDisk {
  readonly path: string;
  readonly sizeBytes: number;
  private readonly ground: DiskGround;

  private constructor(parts: { path: string; sizeBytes: number; ground: DiskGround }) {
    this.path = parts.path;
    this.sizeBytes = parts.sizeBytes;
    this.ground = parts.ground;
  }

  /** Takes over the ground: `release` gives it back. */
  static async create(parts: { path: string; sizeBytes: number; ground: DiskGround }): Promise<LayeredDisk> {
    const disk = new LayeredDisk(parts);
    await createOverlay({ path: parts.path, backing: disk.backing, sizeBytes: parts.sizeBytes });
    return disk;
  }

  /** An overlay that an earlier process of this worker made. */
  static reopen(parts: { path: string; sizeBytes: number; ground: DiskGround }): LayeredDisk {
    return new LayeredDisk(parts);
  }

  get machineDisk(): MachineDisk {
    return { path: this.path, format: "overlay", backing: this.backing, readOnly: false, sizeBytes: this.sizeBytes };
  }

  get backing(): string {
    return this.ground.kind === "base" ? this.ground.base.path : this.ground.empty.path;
  }

  /** Stores what the machine saw. The machine must have stopped, or stand still with everything flushed. */
  async store(artifacts: ArtifactStore, access: Access, compression: "fast" | "small" = "fast"): Promise<StoredDisk> {
    const { ground } = this;
    const parent = ground.kind === "base" ? await ground.base.manifest() : undefined;
    const source = this.source(ground.kind === "empty" ? ground.empty.extents : undefined);
    const tree = treeSize(source);
    return { ...(await artifacts.store({ source, parent, compression, ...access })), tree };
  }

  /** For a copy of what was written to this disk: a file of its kind with nothing in it. */
  async emptyCopy(path: string): Promise<CopiedDisk> {
    await createOverlay({ path, backing: this.backing, sizeBytes: this.sizeBytes });
    return new CopiedDisk(path, this, this.ground);
  }

  /** The stored artifact becomes a local base of its own. Releases the ground; the overlay is not needed afterwards. */
  async advance(bases: BaseStore, orgId: string, stored: StoredDisk): Promise<void> {
    const from = this.ground.kind === "base" ? this.ground.base : { path: this.ground.empty.path, release: () => {} };
    await bases.advance({ orgId, digest: stored.artifact.digest, manifest: stored.manifest, from, source: this.source(), keepOld: false });
  }

  /** Gives the ground back and removes the overlay. */
  async release(): Promise<void> {
    if (this.ground.kind === "base") this.ground.base.release();
    await rm(this.path, { force: true });
  }

  private source(backingExtents?: EmptyDisk["extents"]): BlockSourceSpec {
    return { kind: "overlay", path: this.path, backing: this.backing, lengthBytes: this.sizeBytes, backingExtents };
  }
}

/** What was written to a disk, as of one instant. */
export class CopiedDisk {
  private readonly path: string;
  private readonly disk: LayeredDisk;
  private readonly ground: DiskGround;

  constructor(path: string, disk: LayeredDisk, ground: DiskGround) {
    this.path = path;
    this.disk = disk;
    this.ground = ground;
  }

  /** `last`: of the version that the copy was made since, or of one in between; absent when it holds everything that was written to the disk. */
  async store(artifacts: ArtifactStore, access: Access, last: ChunkManifest | undefined): Promise<StoredDisk> {
    const { path, disk, ground } = this;
    const parent = last ?? (ground.kind === "base" ? await ground.base.manifest() : undefined);
    const backingExtents = parent === undefined && ground.kind === "empty" ? ground.empty.extents : undefined;
    const source: BlockSourceSpec = { kind: "overlay", path, backing: disk.backing, lengthBytes: disk.sizeBytes, backingExtents };
    const tree = treeSize(source);
    return { ...(await artifacts.store({ source, parent, ...access })), tree };
  }
}

function treeSize(spec: BlockSourceSpec): TreeSize {
  const source = openBlockSource(spec);
  try {
    return readTreeSize(source);
  } finally {
    source.close();
  }
}
