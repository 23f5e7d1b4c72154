/**
 * The memory that a machine began with, as an artifact of its tenant: what the differences of its checkpoints are against. It is stored once per organization,
 * content key and template of this host, at the first park; a machine that was restored here from another host's checkpoint goes on with that one.
 *
 *   unknown ──stored──▶ pending (this process only) ──confirmed by a park──▶ known (written beside the template)
 *      ▲                                                                       │
 *      └──────────── its manifest is not in the store any more ────────────────┘
 */
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type ArtifactRef,
  type ChunkManifest,
  manifestObjectKey,
  newArtifact,
  type NewArtifact,
  packObjectKey,
} from "@helmr/protocol/worker";
import type { ArtifactStore } from "../chunks/artifact-store.ts";
import { BlobError } from "../chunks/blob-port.ts";
import { dataExtents } from "../disks/data-extents.ts";
import type { Template } from "../vm/driver.ts";
import type { Access, Base } from "../workspace/base-store.ts";

export interface TemplateMemory {
  path: string;
  /** As the control plane knows it, or stored now. */
  artifact(access: Access): Promise<NewArtifact>;
  /** A park that named it was accepted. */
  confirmed(access: Access): Promise<void>;
  /** A park that named it was refused: it may have been given up meanwhile, and is stored again for the next one. */
  refused(access: Access): Promise<void>;
}

const memoryName = "memory";

export function memoryOfTemplate(artifacts: ArtifactStore, template: Template): TemplateMemory {
  const path = join(template.directory, memoryName);
  let pending: Stored | undefined;
  // By key: when the content key was rotated, the memory is stored again under the new one.
  const record = ({ keys }: Access) => join(template.directory, `stored-${keys.orgId}-${keys.current}.json`);
  return {
    path,
    async artifact(access) {
      const known = pending?.artifact ?? (await readRecord(record(access)));
      if (known !== undefined && (await isThere(known, access))) return known;
      pending = await storeMemory(artifacts, path, access);
      return pending.artifact;
    },
    async confirmed(access) {
      if (pending === undefined) return;
      const { artifact, manifest } = pending;
      pending = undefined;
      await artifacts.learn(access.keys.orgId, manifest);
      await writeFile(`${record(access)}.tmp`, JSON.stringify(artifact), { mode: 0o600 });
      await rename(`${record(access)}.tmp`, record(access));
    },
    async refused(access) {
      pending = undefined;
      await rm(record(access), { force: true });
    },
  };
}

/** The caller holds the base for as long as this is used. */
export function memoryOfBase(artifacts: ArtifactStore, base: Base, ref: ArtifactRef): TemplateMemory {
  let again: NewArtifact | undefined;
  let isGivenUp = false;
  return {
    path: base.path,
    async artifact(access) {
      const manifest = await base.manifest();
      const known = again ?? described(ref, manifest, access.keys.orgId);
      const isCurrent = again !== undefined || manifest.packs.every((pack) => pack.keyId === access.keys.current);
      if (!isGivenUp && isCurrent && (await isThere(known, access))) return known;
      isGivenUp = false;
      again = (await storeMemory(artifacts, base.path, access)).artifact;
      return again;
    },
    confirmed: () => Promise.resolve(),
    async refused() {
      isGivenUp = true;
    },
  };
}

interface Stored {
  artifact: NewArtifact;
  manifest: ChunkManifest;
}

async function readRecord(record: string): Promise<NewArtifact | undefined> {
  const text = await readFile(record, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return newArtifact.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** What nobody refers to is swept away: one byte of the manifest says whether it was. */
async function isThere(artifact: NewArtifact, { blobs, signal }: Access): Promise<boolean> {
  try {
    await blobs.get(artifact.manifest_key, { range: { start: 0, end: 1 }, signal });
    return true;
  } catch (error) {
    if (error instanceof BlobError && error.code === "blob_missing") return false;
    throw error;
  }
}

async function storeMemory(artifacts: ArtifactStore, path: string, access: Access): Promise<Stored> {
  const source = { kind: "raw" as const, path, lengthBytes: (await stat(path)).size, extents: await dataExtents(path) };
  return artifacts.store({ source, ...access });
}

/** A known artifact, said once more in full. */
function described(ref: ArtifactRef, manifest: ChunkManifest, orgId: string): NewArtifact {
  return {
    artifact_id: ref.artifact_id,
    manifest_key: manifestObjectKey(orgId, ref.artifact_id),
    digest: ref.digest,
    length_bytes: ref.length_bytes,
    stored_bytes: manifest.packs.reduce((sum, pack) => sum + pack.sizeBytes, 0),
    packs: manifest.packs.map((pack) => ({
      pack_id: pack.id,
      object_key: packObjectKey(orgId, pack.id),
      size_bytes: pack.sizeBytes,
    })),
  };
}
