/**
 * Stores file systems as a worker does, with its own chunk store, straight into the blob store of a control plane in this process: versions with real
 * content, without machines. Images are made and changed by mke2fs and debugfs.
 */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, open, rm, stat, writeFile } from "node:fs/promises";
import { createReadStream } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChunkManifest, NewArtifact } from "@helmr/protocol/worker";
import { ArtifactStore, ChunkWorker, dataExtents, PackCache, tenantKeys } from "@helmr/worker/chunks";
import type { ControlPlane } from "./control-plane.ts";

export interface StoredDevice {
  artifact: NewArtifact;
  manifest: ChunkManifest;
  newBytes: number;
}

export interface TreeStore {
  directory: string;
  /** With a parent only what differs from it is stored. */
  store(image: string, parent?: ChunkManifest): Promise<StoredDevice>;
  close(): Promise<void>;
}

export async function treeStore({ parts, install }: Pick<ControlPlane, "parts" | "install">): Promise<TreeStore> {
  const directory = await mkdtemp(join(tmpdir(), "helmr-test-trees-"));
  const staging = join(directory, "staging");
  await mkdir(staging);
  const chunks = new ChunkWorker();
  const store = new ArtifactStore({ chunks, packs: await PackCache.open(join(directory, "packs"), 1 << 30), staging });
  const { blobs, keys } = parts.engine;
  const { idKey, current, contentKeys } = keys.storageKeys(install.orgId);
  const tenant = tenantKeys({
    org_id: install.orgId,
    id_key: idKey.toString("base64"),
    current,
    content_keys: Object.fromEntries([...contentKeys].map(([id, key]) => [id, key.toString("base64")])),
  });
  const port = {
    get: async (): Promise<Uint8Array> => Promise.reject(new Error("nothing is read here")),
    put: async (key: string, body: Uint8Array | { path: string }) => {
      await blobs.put(key, body instanceof Uint8Array ? body : createReadStream(body.path));
    },
  };
  return {
    directory,
    async store(image, parent) {
      const { size: lengthBytes } = await stat(image);
      // Against a parent a chunk that is not reported counts as kept: the whole device is reported.
      const extents = parent === undefined ? await dataExtents(image) : [{ start: 0, end: lengthBytes }];
      const source = { kind: "raw" as const, path: image, lengthBytes, extents };
      const stored = await store.store({
        source,
        keys: tenant,
        blobs: port,
        signal: AbortSignal.timeout(300_000),
        ...(parent === undefined ? {} : { parent }),
      });
      return stored;
    },
    async close() {
      await chunks.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A sparse file with an ext4 file system like that of a workspace, filled from a directory. */
export async function imageOf(
  path: string,
  { from, sizeMib = 64, debugfs = [] }: { from?: string; sizeMib?: number; debugfs?: readonly string[] } = {},
): Promise<string> {
  const file = await open(path, "w");
  await file.truncate(sizeMib * 1024 * 1024);
  await file.close();
  const format = ["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "8192", "-m", "0"];
  execFileSync("mke2fs", [...format, ...(from === undefined ? [] : ["-d", from]), path], { stdio: ["ignore", "ignore", "pipe"] });
  const commands = `${path}.debugfs`;
  await writeFile(commands, `${["rmdir lost+found", ...debugfs].join("\n")}\n`);
  execFileSync("debugfs", ["-w", "-f", commands, path], { stdio: ["ignore", "ignore", "pipe"] });
  await rm(commands);
  return path;
}
