/** What benchmarks of stored trees share: a control plane with PostgreSQL, the worker's chunk store in front of its blob store, and changed images. */
import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, open, rm, stat, writeFile } from "node:fs/promises";
import { createReadStream } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCluster } from "@helmr/local/postgres";
import { type ChunkManifest, manifestObjectKey, type NewArtifact, packObjectKey } from "@helmr/protocol/worker";
import { type ControlPlane, controlPlane } from "@helmr/test/platform";
import { ChunkWorker, dataExtents, tenantKeys } from "@helmr/worker/chunks";
import pg from "pg";

export interface Trees {
  plane: ControlPlane;
  directory: string;
  store(image: string, options: StoreTree): Promise<StoredTree>;
  /** What the server has fetched of the blob store since it was asked the last time. */
  fetched(): { requests: number; bytes: number };
  close(): Promise<void>;
}

export interface StoreTree {
  chunkBytes: number;
  /** What it is a change of, and where. */
  parent?: { manifest: ChunkManifest; changes: Range[] };
}

export interface StoredTree {
  artifact: NewArtifact;
  manifest: ChunkManifest;
  newBytes: number;
  packs: number;
  ms: number;
}

export interface Range {
  start: number;
  end: number;
}

export async function openTrees(): Promise<Trees> {
  const directory = await mkdtemp(join(tmpdir(), "helmr-bench-trees-"));
  await chmod(directory, 0o755);
  const cluster = await startCluster({
    directory: join(directory, "postgres"),
    binaries: join(tmpdir(), "helmr-postgres-binaries"),
    settings: {},
  });
  const client = new pg.Client({ connectionString: `${cluster.url}/postgres` });
  await client.connect();
  await client.query("create database helmr");
  await client.end();
  const plane = await controlPlane({ databaseUrl: `${cluster.url}/helmr` });
  const { blobs, keys } = plane.parts.engine;
  const orgId = plane.install.orgId;
  const { idKey, current, contentKeys } = keys.storageKeys(orgId);
  const content_keys = Object.fromEntries([...contentKeys].map(([id, key]) => [id, key.toString("base64")]));
  const tenant = tenantKeys({ org_id: orgId, id_key: idKey.toString("base64"), current, content_keys });
  const counted = countFetches(blobs);
  const chunks = new ChunkWorker();
  let count = 0;

  return {
    plane,
    directory,
    fetched: counted,
    async store(image, { chunkBytes, parent }) {
      const artifactId = crypto.randomUUID();
      const staging = join(directory, `staging-${(count += 1)}`);
      await mkdir(staging);
      const begun = performance.now();
      const { size: lengthBytes } = await stat(image);
      const extents = parent?.changes ?? (await dataExtents(image));
      const source = { kind: "raw" as const, path: image, lengthBytes, extents };
      const input = { source, keys: tenant, chunkBytes, level: 1, directory: staging, artifactId };
      const uploads: Promise<void>[] = [];
      const stored = await chunks.run("store", parent ? { ...input, parent: parent.manifest } : input, {
        onPack: (pack) => {
          const upload = blobs.put(packObjectKey(orgId, pack.id), createReadStream(pack.path)).then(() => rm(pack.path));
          uploads.push(upload);
          return upload;
        },
      });
      await Promise.all(uploads);
      const manifestKey = manifestObjectKey(orgId, artifactId);
      await blobs.put(manifestKey, stored.sealedManifest);
      const ms = performance.now() - begun;
      const packs = stored.manifest.packs.map(({ id, sizeBytes }) => ({
        pack_id: id,
        object_key: packObjectKey(orgId, id),
        size_bytes: sizeBytes,
      }));
      const newBytes = stored.stats.sealedBytes + stored.sealedManifest.length;
      const artifact = {
        artifact_id: artifactId,
        manifest_key: manifestKey,
        digest: stored.digest,
        length_bytes: lengthBytes,
        stored_bytes: newBytes,
        packs,
      };
      return { artifact, manifest: stored.manifest, newBytes, packs: packs.length, ms };
    },
    async close() {
      await chunks.close();
      await plane.close();
      await cluster.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function countFetches(blobs: ControlPlane["parts"]["engine"]["blobs"]): Trees["fetched"] {
  let total = { requests: 0, bytes: 0 };
  const get = blobs.get.bind(blobs);
  blobs.get = async (key, range) => {
    const found = await get(key, range);
    total.requests += 1;
    total.bytes += found === undefined ? 0 : (range?.endExclusive ?? found.info.sizeBytes) - (range?.start ?? 0);
    return found;
  };
  return () => {
    const since = total;
    total = { requests: 0, bytes: 0 };
    return since;
  };
}

const clusterBytes = 65_536;

/** Where two images differ, in the clusters in which a machine's overlay would tell it. */
export async function changedRanges(before: string, after: string): Promise<Range[]> {
  const [left, right] = [await open(before), await open(after)];
  const ranges: Range[] = [];
  try {
    const piece = 256 * clusterBytes;
    const [a, b] = [Buffer.alloc(piece), Buffer.alloc(piece)];
    for (let at = 0; ; at += piece) {
      const { bytesRead } = await left.read(a, 0, piece, at);
      if (bytesRead === 0) return ranges;
      await right.read(b, 0, piece, at);
      for (let start = 0; start < bytesRead; start += clusterBytes) {
        const end = Math.min(start + clusterBytes, bytesRead);
        if (a.compare(b, start, end, start, end) === 0) continue;
        const last = ranges.at(-1);
        if (last?.end === at + start) last.end = at + end;
        else ranges.push({ start: at + start, end: at + end });
      }
    }
  } finally {
    await left.close();
    await right.close();
  }
}

/** Changes files of an image in place of a guest: each gets the content of another file. */
export async function editImage(image: string, edits: readonly { path: string; content: string }[]): Promise<void> {
  const commands = edits.flatMap(({ path, content }) => [`rm "${path}"`, `write "${content}" "${path}"`]).join("\n");
  const script = `${image}.debugfs`;
  await writeFile(script, `${commands}\n`);
  execFileSync("debugfs", ["-w", "-f", script, image], { stdio: ["ignore", "ignore", "ignore"] });
  await rm(script);
}
