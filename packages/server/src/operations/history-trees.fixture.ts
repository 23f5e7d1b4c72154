/**
 * What a worker would upload, without machines: real ext4 images changed by debugfs as a guest would change them, stored as chunks in a blob store that fails
 * when it is told to. For random histories of workspaces (workspace-histories.fixture.ts).
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NewArtifact } from "@helmr/protocol/worker";
import { BlobStoreError, type BlobStore } from "../blobs/port.ts";
import { DeviceStore } from "../chunks/sealed-store.fixture.ts";
import { changedImage, makeImage } from "../ext4/images.fixture.ts";
import type { Keys } from "../secrets.ts";

/** Small, seeded, good enough for choices. */
export interface Choices {
  below(limit: number): number;
  of<T>(items: readonly T[]): T;
  /** True once in so many times. */
  once(inSoMany: number): boolean;
}

export function choices(seed: number): Choices {
  let state = (seed * 2_654_435_761) >>> 0;
  const next = () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const below = (limit: number) => next() % limit;
  return { below, of: (items) => items[below(items.length)]!, once: (inSoMany) => below(inSoMany) === 0 };
}

/** Files by path; what the bytes are is told by the model alone. */
export type Files = ReadonlyMap<string, string>;

/** A tree as a machine has it: immutable, an edit makes another one. */
export interface Tree {
  files: Files;
  /** Undefined: a workspace in which nothing was written yet. */
  image: Buffer | undefined;
}

export const emptyTree: Tree = { files: new Map(), image: undefined };

const folders = ["", "c", "c/e", "g"];
const names = ["a", "b", "x", "y"];

export class TreeEditor {
  private readonly directory = mkdtempSync(join(tmpdir(), "helmr-test-history-"));
  private readonly blank: Buffer;
  private readonly choose: Choices;
  private count = 0;

  constructor(choose: Choices) {
    this.choose = choose;
    const source = join(this.directory, "blank");
    for (const folder of folders) mkdirSync(join(source, folder), { recursive: true });
    // Chunks of several files, and inode tables of several chunks.
    this.blank = makeImage(source, {
      sizeBytes: 2 * 1024 * 1024,
      options: ["-b", "4096", "-I", "256", "-i", "8192", "-O", "^has_journal"],
    });
  }

  /** One to five files written, replaced or removed. */
  edited({ files, image = this.blank }: Tree): Tree {
    const next = new Map(files);
    const commands: string[] = [];
    for (let left = 1 + this.choose.below(5); left > 0; left -= 1) {
      const folder = this.choose.of(folders);
      const path = `${folder === "" ? "" : `${folder}/`}${this.choose.of(names)}`;
      if (next.has(path)) commands.push(`rm ${path}`);
      if (next.has(path) && this.choose.once(4)) next.delete(path);
      else commands.push(...this.write(path, next));
      commands.push(...this.touch(folder === "" ? "/" : folder));
    }
    return { files: next, image: changedImage(image, commands) };
  }

  private write(path: string, files: Map<string, string>): string[] {
    this.count += 1;
    const content = `${this.count} ${path}\n`.repeat(this.choose.once(3) ? 1 + this.choose.below(3_000) : this.choose.below(40));
    files.set(path, content);
    const source = join(this.directory, String(this.count));
    writeFileSync(source, content);
    return [`write ${source} ${path}`, ...this.touch(path)];
  }

  /** A kernel changes the times with every write; debugfs does not, and its clock has seconds only. */
  private touch(path: string): string[] {
    this.count += 1;
    return [`set_inode_field ${path} mtime @${1_700_000_000 + this.count}`];
  }

  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export type BlobOperation = "put" | "get" | "delete" | "list";

export class BlobsFailed extends BlobStoreError {
  override name = "BlobsFailed";
}

export interface FailingBlobs {
  blobs: BlobStore;
  failNext(what: BlobOperation, phase: "before" | "after"): void;
  failNothing(): void;
}

/** Fails the next call of one kind: before it did anything, or after, so that its answer is lost. */
export function failingBlobs(blobs: BlobStore): FailingBlobs {
  let target: { what: BlobOperation; phase: "before" | "after" } | undefined;
  const fail = (what: BlobOperation, phase: "before" | "after") => {
    if (target?.what !== what || target.phase !== phase) return;
    target = undefined;
    throw new BlobsFailed(`injected ${phase} ${what}`);
  };
  const wrapped = async <T>(what: BlobOperation, act: () => Promise<T>): Promise<T> => {
    fail(what, "before");
    const result = await act();
    fail(what, "after");
    return result;
  };
  return {
    blobs: {
      put: (...args) => wrapped("put", () => blobs.put(...args)),
      get: (...args) => wrapped("get", () => blobs.get(...args)),
      head: (key) => blobs.head(key),
      delete: (key) => wrapped("delete", () => blobs.delete(key)),
      async *list(prefix) {
        fail("list", "before");
        yield* blobs.list(prefix);
        fail("list", "after");
      },
      grant: (...args) => blobs.grant(...args),
    },
    failNext: (what, phase) => {
      target = { what, phase };
    },
    failNothing: () => {
      target = undefined;
    },
  };
}

/** A worker's chunk store: it points to chunks it has stored before, and forgets them when the store failed or somebody says they are gone. */
export class WorkerChunks {
  private readonly to: { blobs: BlobStore; keys: Keys; orgId: string };
  private store: DeviceStore;

  constructor(to: { blobs: BlobStore; keys: Keys; orgId: string }) {
    this.to = to;
    this.store = new DeviceStore(to);
  }

  forget(): void {
    this.store = new DeviceStore(this.to);
  }

  async stored(image: Buffer): Promise<NewArtifact> {
    for (;;) {
      try {
        return await this.store.store(image, { chunkBytes: 4_096, packBytesMax: 100_000 });
      } catch (error) {
        if (!(error instanceof BlobsFailed)) throw error;
        this.forget();
      }
    }
  }
}

export const keysOf = ({ manifest_key, packs }: NewArtifact): string[] => [manifest_key, ...packs.map(({ object_key }) => object_key)];
