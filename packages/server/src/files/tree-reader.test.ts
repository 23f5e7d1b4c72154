/** The file thread over a real blob store: contents through verified chunks, damage, deadlines, a thread that hangs or dies. */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NewArtifact } from "@helmr/protocol/worker";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openFileStore } from "../blobs/fs.ts";
import type { BlobStore } from "../blobs/port.ts";
import { signedGrants } from "../blobs/signed-grants.ts";
import { DeviceStore } from "../chunks/sealed-store.fixture.ts";
import { changedImage, makeImage } from "../ext4/images.fixture.ts";
import { generateKeyRing } from "../key-ring.ts";
import { openKeys } from "../secrets.ts";
import type { StoredTree } from "./file-requests.ts";
import { isTreeProblem, openTreeReader, type TreeReader, type TreeReaderOptions } from "./tree-reader.ts";

const orgId = "01980a00-0000-7000-8000-000000000011";
const keys = openKeys(generateKeyRing());
const big = randomBytes(5 * 1024 * 1024 + 3);
let place: string;
let source: string;
let blobs: BlobStore;
let devices: DeviceStore;
const open: TreeReader[] = [];

beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), "helmr-test-reader-"));
  source = join(place, "source");
  mkdirSync(join(source, "src/deep"), { recursive: true });
  writeFileSync(join(source, "README.md"), "# one\ntwo\nthree\n");
  writeFileSync(join(source, "src/same.txt"), "same");
  writeFileSync(join(source, "src/deep/big.bin"), big);
  writeFileSync(join(source, "src/gone.txt"), "gone");
  for (let index = 0; index < 300; index += 1) writeFileSync(join(source, "src/deep", `n${index}`), `${index}`);
  blobs = await openFileStore(join(place, "blobs"), signedGrants(keys, "http://localhost"));
  devices = new DeviceStore({ blobs, keys, orgId });
});
afterEach(async () => {
  for (const reader of open.splice(0)) await reader.close();
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

function reader(options: Partial<TreeReaderOptions> = {}): TreeReader {
  const opened = openTreeReader({ blobs, ...options });
  open.push(opened);
  return opened;
}

function stored(artifact: NewArtifact, over: Partial<StoredTree> = {}): StoredTree {
  const { idKey, contentKeys } = keys.storageKeys(orgId);
  const { artifact_id: artifactId, manifest_key: manifestKey, digest } = artifact;
  return { artifactId, manifestKey, digest, mountPath: "/workspace", keys: { orgId, idKey, content: contentKeys }, ...over };
}

async function whole(from: TreeReader, tree: StoredTree, path: string): Promise<Buffer> {
  const file = await from.ask("open", { tree, path });
  if (isTreeProblem(file)) throw new Error(file.message);
  const parts: Uint8Array[] = [];
  for (let start = 0; start < file.entry.sizeBytes; start += 1_000_000) {
    const part = await from.ask("read", { tree, inode: file.inode, start, length: 1_000_000 });
    if (isTreeProblem(part)) throw new Error(part.message);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

describe("a stored tree", () => {
  test.each([4_096, 65_536, 1_048_576])("is read through chunks of %i bytes, many requests at once", async (chunkBytes) => {
    const tree = stored(await devices.store(makeImage(source, { sizeBytes: 32 * 1024 * 1024 }), { chunkBytes, packBytesMax: 300_000 }));
    const from = reader();
    const all = await Promise.all(
      Array.from({ length: 40 }, (_, at) => whole(from, tree, at % 2 === 0 ? "src/deep/big.bin" : "README.md")),
    );
    for (const [at, bytes] of all.entries()) expect(bytes.equals(at % 2 === 0 ? big : Buffer.from("# one\ntwo\nthree\n"))).toBe(true);
    expect(await from.ask("list", { tree, path: "src", after: undefined, limit: 10 })).toMatchObject({
      entries: [{ path: "src/deep" }, { path: "src/gone.txt" }, { path: "src/same.txt" }],
      more: false,
    });
    expect(await from.ask("stat", { tree, path: "nowhere" })).toMatchObject({ problem: "not_found" });
  });

  test("of another digest, another tenant, or under a lost key is not opened", async () => {
    const artifact = await devices.store(makeImage(source, { sizeBytes: 16 * 1024 * 1024 }));
    const from = reader();
    const others: Partial<StoredTree>[] = [
      { digest: `sha256:${"0".repeat(64)}` },
      { keys: { ...stored(artifact).keys, orgId: "01980a00-0000-7000-8000-000000000012" } },
      { keys: { ...stored(artifact).keys, content: new Map() } },
      { manifestKey: `orgs/${orgId}/manifests/none` },
    ];
    for (const over of others)
      expect(await from.ask("stat", { tree: stored(artifact, over), path: "." })).toMatchObject({ problem: "damaged" });
  });

  test("with a flipped, shortened or missing pack gives no wrong byte", async () => {
    const own = new DeviceStore({ blobs, keys, orgId });
    const artifact = await own.store(makeImage(source, { sizeBytes: 16 * 1024 * 1024 }), { packBytesMax: 1_000_000 });
    const directory = join(place, "blobs", "orgs", orgId, "packs");
    const ours = new Set(artifact.packs.map(({ pack_id }) => pack_id));
    const files = (await readdir(directory)).filter((name) => ours.has(name));
    expect(files.length).toBeGreaterThan(4);
    for (const [at, name] of files.entries()) {
      const bytes = await readFile(join(directory, name));
      if (at % 3 === 0) for (let byte = 100; byte < bytes.length; byte += 10_000) bytes[byte] = (bytes[byte] as number) ^ 1;
      if (at % 3 === 2) await rm(join(directory, name));
      else await writeFile(join(directory, name), at % 3 === 0 ? bytes : bytes.subarray(0, bytes.length / 2));
    }
    await expect(whole(reader(), stored(artifact), "src/deep/big.bin")).rejects.toThrow();
    for (const name of files) await rm(join(directory, name), { force: true });
    expect(await reader().ask("stat", { tree: stored(artifact), path: "src/deep/n7" })).toMatchObject({ problem: "damaged" });
  });
});

describe("two versions", () => {
  test.each([
    [65_536, 65_536],
    [4_096, 4_096],
    [1_048_576, 1_048_576],
    [4_096, 65_536],
  ])("in chunks of %i and %i bytes differ by what debugfs changed, and by nothing else", async (oldChunks, newChunks) => {
    const fresh = join(place, "fresh.txt");
    writeFileSync(fresh, "# one\n2\nthree\n");
    const before = makeImage(source, { sizeBytes: 32 * 1024 * 1024 });
    const after = changedImage(before, [
      "rm README.md",
      `write ${fresh} README.md`,
      "rm src/gone.txt",
      "mkdir src/new",
      `write ${fresh} src/new/file`,
      "symlink src/link README.md",
      "set_inode_field src/deep/n5 mode 0100755",
      "set_inode_field src/deep/n6 mtime 20200101000000",
    ]);
    const own = new DeviceStore({ blobs, keys, orgId });
    const from = stored(await own.store(before, { chunkBytes: oldChunks }));
    const to = stored(await own.store(after, { chunkBytes: newChunks }));
    const ask = reader();
    const diff = await ask.ask("diff", { from, to, path: ".", after: undefined, limit: 100 });
    if (isTreeProblem(diff)) throw new Error(diff.message);
    expect(diff.changes.map(({ path, change }) => [path, change])).toEqual([
      ["README.md", "changed"],
      ["src/deep/n5", "changed"],
      ["src/gone.txt", "removed"],
      ["src/link", "added"],
      ["src/new", "added"],
      ["src/new/file", "added"],
    ]);
    expect(await ask.ask("diff", { from, to: from, path: ".", after: undefined, limit: 10 })).toEqual({ changes: [], more: false });
    // Page by page it is the same.
    const paged: string[] = [];
    for (let next: string | undefined; ;) {
      const page = await ask.ask("diff", { from, to, path: ".", after: next, limit: 1 });
      if (isTreeProblem(page)) throw new Error(page.message);
      paged.push(...page.changes.map(({ path }) => path));
      next = page.changes.at(-1)?.path;
      if (!page.more) break;
    }
    expect(paged).toEqual(diff.changes.map(({ path }) => path));
    expect(await ask.ask("diff", { from, to, path: "src/new", after: undefined, limit: 10 })).toMatchObject({
      changes: [{ path: "src/new" }, { path: "src/new/file" }],
    });
    expect(await ask.ask("textDiff", { from, to, path: "README.md" })).toEqual({
      change: "changed",
      format: "text",
      unified: "--- a/README.md\n+++ b/README.md\n@@ -1,3 +1,3 @@\n # one\n-two\n+2\n three\n",
    });
    expect(await ask.ask("textDiff", { from, to, path: "src/same.txt" })).toMatchObject({ change: "unchanged" });
    expect(await ask.ask("textDiff", { from: undefined, to, path: "src/same.txt" })).toMatchObject({ change: "added", format: "text" });
    expect(await ask.ask("textDiff", { from, to, path: "src/deep/big.bin" })).toMatchObject({ format: "too_large" });
    expect(await ask.ask("textDiff", { from, to, path: "src" })).toMatchObject({ problem: "not_regular" });
    expect(await ask.ask("textDiff", { from, to, path: "none" })).toMatchObject({ problem: "not_found" });
  });

  test("cost what differs: of chunks that both share, those of directories alone are read", async () => {
    const wide = join(place, "wide");
    for (let folder = 0; folder < 20; folder += 1) {
      mkdirSync(join(wide, `d${folder}`), { recursive: true });
      for (let file = 0; file < 100; file += 1) writeFileSync(join(wide, `d${folder}/f${file}`), `${folder} ${file}`.repeat(500));
    }
    const fresh = join(place, "other.txt");
    writeFileSync(fresh, "other");
    const before = makeImage(wide, { sizeBytes: 32 * 1024 * 1024, options: ["-b", "4096", "-i", "8192"] });
    const after = changedImage(before, ["rm d7/f7", `write ${fresh} d7/f7`]);
    const own = new DeviceStore({ blobs, keys, orgId });
    const [from, to] = [stored(await own.store(before, { chunkBytes: 4_096 })), stored(await own.store(after, { chunkBytes: 4_096 }))];
    let fetched = 0;
    const counted: TreeReaderOptions["blobs"] = {
      get: (key, range) => {
        if (range?.endExclusive !== undefined) fetched += range.endExclusive - range.start;
        return blobs.get(key, range);
      },
    };
    const diff = await reader({ blobs: counted }).ask("diff", { from, to, path: ".", after: undefined, limit: 100 });
    expect(diff).toMatchObject({ changes: [{ path: "d7/f7", change: "changed" }], more: false });
    // The directories and the one chunk of inodes that differs; all inodes would be 75 KB, the files themselves 4 MB.
    expect(fetched).toBeLessThan(30_000);
  });

  test("everything is added to the empty tree", async () => {
    const to = stored(await devices.store(makeImage(source, { sizeBytes: 32 * 1024 * 1024 })));
    const added = await reader().ask("diff", { from: undefined, to, path: ".", after: undefined, limit: 500 });
    if (isTreeProblem(added)) throw new Error(added.message);
    expect(added.changes).toHaveLength(300 + 6 + 1);
    expect(new Set(added.changes.map(({ change }) => change))).toEqual(new Set(["added"]));
  });
});

describe("the thread", () => {
  test("that hangs is ended; its requests fail, the next ones are served by another", async () => {
    const tree = stored(await devices.store(makeImage(source, { sizeBytes: 16 * 1024 * 1024 })));
    const hangs = new URL(
      `data:text/javascript,${encodeURIComponent('import { parentPort } from "node:worker_threads"; parentPort.on("message", () => { for (;;); });')}`,
    );
    const lost: Error[] = [];
    const stuck = reader({ threadUrl: hangs, limits: { pingEveryMs: 20, pingMs: 200 }, onThreadLost: (error) => lost.push(error) });
    expect(await stuck.ask("stat", { tree, path: "." })).toMatchObject({ problem: "unavailable" });
    expect(lost).toHaveLength(1);
    expect(await stuck.ask("stat", { tree, path: "." })).toMatchObject({ problem: "unavailable" });
    expect(lost).toHaveLength(2);
  });

  test("waits no longer for a store than a request may take, and no more requests than it may", async () => {
    const tree = stored(await devices.store(makeImage(source, { sizeBytes: 16 * 1024 * 1024 })));
    const slow = reader({ blobs: { get: () => new Promise(() => undefined) }, limits: { requestMs: 100, requestsMax: 2, waitingMax: 1 } });
    const asked = Array.from({ length: 4 }, () => slow.ask("stat", { tree, path: "." }));
    expect(await asked[3]).toMatchObject({ message: expect.stringContaining("too many") });
    for (const answer of await Promise.all(asked)) expect(answer).toMatchObject({ problem: "unavailable" });
  });

  test("a store that fails is said to fail, and is asked again by the next request", async () => {
    const tree = stored(await devices.store(makeImage(source, { sizeBytes: 16 * 1024 * 1024 })));
    let fails = true;
    const flaky = reader({ blobs: { get: (...args) => (fails ? Promise.reject(new Error("no store")) : blobs.get(...args)) } });
    expect(await flaky.ask("stat", { tree, path: "src" })).toMatchObject({ problem: "unavailable" });
    fails = false;
    expect(await flaky.ask("stat", { tree, path: "src" })).toMatchObject({ kind: "directory" });
  });
});
