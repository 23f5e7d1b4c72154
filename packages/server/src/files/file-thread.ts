/**
 * The thread that reads file systems of stored versions: what it parses was written by guests, so a mistake in it must cost a request, not the server.
 * It opens and verifies chunks, keeps bounded caches, and has no credentials of the store: bytes of objects come from the main thread.
 *
 * Held here: plain chunks, manifests, open file systems, sorted directories; each least recently used first out. Artifacts never change, so
 * nothing is ever stale.
 */
import { parentPort } from "node:worker_threads";
import { required } from "../assert.ts";
import { BoundedCache } from "../bounded-cache.ts";
import { ChunkDevice } from "../chunks/chunk-device.ts";
import { openManifest, StoredBytesError } from "../chunks/open-chunks.ts";
import { Ext4Error } from "../ext4/block-device.ts";
import type { DirectoryEntry } from "../ext4/directory.ts";
import { Ext4Tree } from "../ext4/tree.ts";
import { fileLimits } from "./file-limits.ts";
import type {
  AnyTree,
  FileRequest,
  FileRequests,
  FromFileThread,
  StoredTree,
  ToFileThread,
  TreeProblem,
  TreeProblemCode,
} from "./file-requests.ts";
import type { DiffSide } from "./same-inodes.ts";
import { diffTexts } from "./text-diff.ts";
import { diffTrees } from "./tree-diff.ts";

const port = required(parentPort, "file-thread.ts runs as a worker thread only");
const chunks = new BoundedCache<Buffer>(fileLimits.chunkCacheBytes);
const directories = new BoundedCache<DirectoryEntry[]>(fileLimits.directoryCacheEntries);
const trees = new BoundedCache<OpenTree>(fileLimits.manifestCacheBytes);
const opening = new Map<string, Promise<OpenTree>>();
const fetches = new Map<number, (result: Extract<ToFileThread, { kind: "fetched" }>["result"]) => void>();
let fetchCount = 0;

type OpenTree = DiffSide;

class StoreUnavailable extends Error {
  override name = "StoreUnavailable";
}

function send(message: FromFileThread, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

async function fetchBytes(objectKey: string, range?: { start: number; end: number }): Promise<Uint8Array> {
  fetchCount += 1;
  const id = fetchCount;
  const result = await new Promise<Extract<ToFileThread, { kind: "fetched" }>["result"]>((resolve) => {
    fetches.set(id, resolve);
    send({ kind: "fetch", id, objectKey, range });
  });
  if (!("failed" in result)) {
    if (range !== undefined && result.bytes.length !== range.end - range.start)
      throw new StoredBytesError("corrupt", `Object ${objectKey} gave ${result.bytes.length} of ${range.end - range.start} bytes`);
    return result.bytes;
  }
  if (result.failed === "missing") throw new StoredBytesError("missing", `Object ${objectKey} is missing`);
  throw new StoreUnavailable(result.message);
}

async function openTree(stored: StoredTree): Promise<OpenTree> {
  const key = `${stored.keys.orgId} ${stored.digest} ${stored.artifactId} ${stored.mountPath}`;
  const known = trees.get(key);
  if (known !== undefined) return known;
  const running = opening.get(key);
  if (running !== undefined) return running;
  const work = openStored(stored, key);
  opening.set(key, work);
  try {
    return await work;
  } finally {
    opening.delete(key);
  }
}

async function openStored(stored: StoredTree, key: string): Promise<OpenTree> {
  const { keys, artifactId, digest, mountPath } = stored;
  const sealed = await fetchBytes(stored.manifestKey);
  const manifest = openManifest(keys, { id: artifactId, digest }, sealed);
  const device = new ChunkDevice({ manifest, keys, fetch: fetchBytes, cache: chunks });
  const tree = await Ext4Tree.open(device, { mountPath, directories, cacheKey: artifactId });
  const opened = { device, tree };
  trees.set(key, opened, 33 * manifest.indexes.length + 64 * manifest.packs.length + 4_096);
  return opened;
}

const openAny = (stored: AnyTree): Promise<OpenTree | undefined> => (stored === undefined ? Promise.resolve(undefined) : openTree(stored));

type Answers = { [R in FileRequest]: (input: FileRequests[R]["input"]) => Promise<FileRequests[R]["output"]> };

const answers: Answers = {
  list: async ({ tree, path, after, limit }) => (await openTree(tree)).tree.list(path, { after, limit }),
  stat: async ({ tree, path }) => (await openTree(tree)).tree.stat(path),
  open: async ({ tree, path }) => (await openTree(tree)).tree.openFile(path),
  read: async ({ tree, inode, start, length }) =>
    (await openTree(tree)).tree.readFile(inode, { start, length: Math.min(length, fileLimits.readBytesMax) }),
  diff: async ({ from, to, ...page }) => diffTrees(await openAny(from), await openAny(to), page),
  textDiff: async ({ from, to, path }) => diffTexts((await openAny(from))?.tree, (await openAny(to))?.tree, path),
};

const problemOf: Record<Ext4Error["code"], TreeProblemCode> = {
  not_found: "not_found",
  not_directory: "not_directory",
  not_regular: "not_regular",
  unsupported: "not_readable",
  corrupt: "not_readable",
  too_much_work: "not_readable",
};

function expected(error: unknown): TreeProblem | undefined {
  if (error instanceof Ext4Error) return { problem: problemOf[error.code], message: error.message };
  if (error instanceof StoredBytesError) return { problem: "damaged", message: error.message };
  if (error instanceof StoreUnavailable) return { problem: "unavailable", message: error.message };
  return undefined;
}

async function answer(message: Extract<ToFileThread, { kind: "ask" }>): Promise<void> {
  const { id, request } = message;
  try {
    const value = await (answers[request] as (input: unknown) => Promise<unknown>)(message.input);
    // Contents are handed over, not copied: `readFile` made them for this request alone.
    const transfer =
      value instanceof Uint8Array && value.byteOffset === 0 && value.byteLength === value.buffer.byteLength
        ? [value.buffer as ArrayBuffer]
        : [];
    send({ kind: "answer", id, value }, transfer);
  } catch (error) {
    const problem = expected(error);
    if (problem !== undefined) return send({ kind: "problem", id, problem });
    const { message: text, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
    send({ kind: "fault", id, message: text, stack });
  }
}

port.on("message", (message: ToFileThread) => {
  if (message.kind === "ask") void answer(message);
  else if (message.kind === "ping") send({ kind: "pong", id: message.id });
  else {
    fetches.get(message.id)?.(message.result);
    fetches.delete(message.id);
  }
});
