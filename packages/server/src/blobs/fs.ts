/**
 * Objects as files below one directory. A put writes a temporary file, syncs it, and links it to its name, which fails when the name is taken: two
 * writers of one key cannot both win, and a crash leaves either nothing or the whole object. Temporary files of a crash are swept at the next start.
 * Grants are URLs of the control plane with an HMAC over method, key, size and time (http/blobs.ts serves them).
 */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { link, mkdir, open, opendir, readdir, rm, stat, unlink } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { assert } from "../assert.ts";
import { isSafeKey } from "./keys.ts";
import { type BlobInfo, type BlobStore, BlobStoreError, type ListedBlob, type PutOptions, type PutResult } from "./port.ts";
import type { SignedGrants } from "./signed-grants.ts";

const temporaryDirectory = ".incoming";

export async function openFileStore(directory: string, grants: SignedGrants): Promise<BlobStore> {
  const incoming = join(directory, temporaryDirectory);
  await rm(incoming, { recursive: true, force: true });
  await mkdir(incoming, { recursive: true, mode: 0o700 });

  const pathOf = (key: string): string => {
    assert(isSafeKey(key), `Blob key ${JSON.stringify(key)} is not one of ours`);
    return join(directory, ...key.split("/"));
  };

  async function info(key: string): Promise<BlobInfo | undefined> {
    const found = await stat(pathOf(key)).catch(onlyMissing);
    return found?.isFile() ? { key, sizeBytes: found.size } : undefined;
  }

  async function put(key: string, bytes: Readable | Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    const path = pathOf(key);
    const temporary = join(incoming, randomUUID());
    try {
      const written = await writeWhole(temporary, bytes, options);
      if ("reason" in written) return { outcome: "refused", reason: written.reason };
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      try {
        await link(temporary, path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        const same = (await hashOf(path)) === written.sha256;
        return same ? { outcome: "exists", sizeBytes: written.sizeBytes } : { outcome: "conflict" };
      }
      await syncDirectory(dirname(path));
      return { outcome: "stored", sizeBytes: written.sizeBytes };
    } finally {
      await unlink(temporary).catch(onlyMissing);
    }
  }

  return {
    put,
    async get(key, range) {
      const found = await info(key);
      if (!found) return undefined;
      const end = Math.min(range?.endExclusive ?? found.sizeBytes, found.sizeBytes);
      const start = Math.min(range?.start ?? 0, end);
      return {
        info: found,
        bytes: start === end ? Readable.from([]) : createReadStream(pathOf(key), { start, end: end - 1, highWaterMark: 256 * 1024 }),
      };
    },
    head: info,
    async delete(key) {
      const path = pathOf(key);
      const existed = await unlink(path).then(() => true, onlyMissing);
      if (existed) await syncDirectory(dirname(path));
      return existed === true;
    },
    list: (prefix) => listFiles(directory, prefix),
    grant: (method, key, options) => {
      assert(isSafeKey(key), `Blob key ${JSON.stringify(key)} is not one of ours`);
      return Promise.resolve(grants.issue(method, key, options));
    },
  };
}

type Written = { sizeBytes: number; sha256: string } | { reason: "too_large" | "size_mismatch" | "hash_mismatch" };

async function writeWhole(path: string, bytes: Readable | Uint8Array, options: PutOptions): Promise<Written> {
  const max = options.sizeBytes ?? options.sizeBytesMax ?? Number.POSITIVE_INFINITY;
  const hash = createHash("sha256");
  let size = 0;
  const file = await open(path, "wx", 0o600);
  try {
    const source = bytes instanceof Uint8Array ? Readable.from([bytes]) : bytes;
    await pipeline(source, async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) {
        size += chunk.length;
        if (size > max) throw new TooLarge();
        hash.update(chunk);
        await writeAll(file, chunk);
      }
    });
    if (options.sizeBytes !== undefined && size !== options.sizeBytes) return { reason: "size_mismatch" };
    const sha256 = hash.digest("hex");
    if (options.sha256 !== undefined && sha256 !== options.sha256) return { reason: "hash_mismatch" };
    await file.sync();
    return { sizeBytes: size, sha256 };
  } catch (error) {
    if (error instanceof TooLarge) return { reason: options.sizeBytes === undefined ? "too_large" : "size_mismatch" };
    throw error;
  } finally {
    await file.close();
  }
}

class TooLarge extends Error {
  override name = "TooLarge";
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten;
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function* listFiles(directory: string, prefix: string): AsyncIterable<ListedBlob> {
  const start = join(directory, ...prefix.split("/").slice(0, -1));
  const entries = await readdir(start, { withFileTypes: true }).catch(onlyMissing);
  if (!entries) return;
  for await (const entry of await opendir(start, { recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const key = relative(directory, path).split(sep).join("/");
    if (!key.startsWith(prefix) || key.startsWith(`${temporaryDirectory}/`)) continue;
    const found = await stat(path).catch(onlyMissing);
    if (found) yield { key, sizeBytes: found.size, storedAtMs: found.mtimeMs };
  }
}

function onlyMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
  throw new BlobStoreError(`The blob directory cannot be used: ${error.message}`, { cause: error });
}
