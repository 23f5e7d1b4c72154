/**
 * A workspace of 100,000 files and 2 GiB without a machine: capture after 1 % of the files were written again (without the pause, which needs one), fork, diff,
 * and reading 1,000 random files over HTTP. Arguments: number of files.
 */
import { execFileSync } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { deployProject, type FakeWorker, fakeWorker, imageOf } from "@helmr/test/platform";
import { until } from "@helmr/test/services";
import { changedRanges, editImage, openTrees, type StoredTree, type Trees } from "./stored-trees.ts";
import { type Benchmark, quantile, type Series } from "./measure.ts";

const MiB = 1024 * 1024;
const chunkBytes = 65_536;
const averageBytes = 20 * 1024;
const filesPerDirectory = 250;
const forks = 50;
const reads = 1_000;

export const benchmark: Benchmark = {
  measures: "a workspace of 100,000 files and 2 GiB without a machine: capture after 1 %, fork, diff, reading 1,000 random files",
  async run(args) {
    const count = Number(args[0] ?? 100_000);
    const trees = await openTrees();
    const { plane } = trees;
    try {
      await deployProject(plane);
      const { before, after, files } = await images(trees.directory, count);
      const changes = await changedRanges(before, after);
      const changedBytes = changes.reduce((sum, { start, end }) => sum + end - start, 0);
      const first = await trees.store(before, { chunkBytes });
      const second = await trees.store(after, { chunkBytes, parent: { manifest: first.manifest, changes } });
      // Not before: a worker that was not heard of for so long gets no leases.
      const worker = await fakeWorker({ url: plane.url, enrollmentSecret: plane.enrollmentSecret, claims: false });
      const workspaceId = await commit(trees, worker, [first, second]);
      await worker.stop();
      return [
        { name: "workspace-capture-first", unit: "MiB", samples: [first.newBytes / MiB] },
        { name: "workspace-capture-changed", unit: "MiB", samples: [changedBytes / MiB] },
        {
          name: "workspace-capture-uploaded",
          unit: "MiB",
          samples: [second.newBytes / MiB],
          target: "≤ 2 × changed bytes",
          met: second.newBytes <= 2 * changedBytes,
        },
        { name: "workspace-capture-store", unit: "ms", samples: [second.ms] },
        await forkOften(trees, workspaceId),
        ...(await diffs(trees, workspaceId)),
        ...(await readMany(trees, workspaceId, files)),
      ];
    } finally {
      await trees.close();
    }
  },
};

async function images(directory: string, count: number): Promise<{ before: string; after: string; files: string[] }> {
  const source = join(directory, "source");
  const noise = randomBytes(4 * MiB).toString("base64");
  const files: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const folder = `d${Math.floor(index / filesPerDirectory)}`;
    if (index % filesPerDirectory === 0) await mkdir(join(source, folder), { recursive: true });
    const size = 200 + Math.floor(Math.random() ** 3 * 4 * averageBytes);
    const at = Math.floor(Math.random() * (noise.length - size));
    files.push(`${folder}/f${index}`);
    await writeFile(join(source, files[index]!), noise.slice(at, at + size));
  }
  const sizeMib = Math.ceil((count * averageBytes * 1.6) / MiB) + 256;
  const before = await imageOf(join(directory, "before"), { from: source, sizeMib });
  execFileSync("rm", ["-rf", source]);
  const after = join(directory, "after");
  execFileSync("cp", ["--sparse=always", before, after]);
  const edits = [];
  for (let index = 0; index < count; index += 100) {
    const content = join(directory, "edits", String(index));
    if (index === 0) await mkdir(join(directory, "edits"));
    await writeFile(content, randomBytes(averageBytes / 2).toString("hex"));
    edits.push({ path: files[index]!, content });
  }
  await editImage(after, edits);
  return { before, after, files };
}

async function commit({ plane }: Trees, worker: FakeWorker, stored: StoredTree[]): Promise<string> {
  let workspaceId: string | undefined;
  for (const { artifact } of stored) {
    const started = await plane.api.call("POST", "/api/sessions", {
      body: { task_id: "hello", ...(workspaceId === undefined ? {} : { workspace_id: workspaceId }) },
    });
    workspaceId = started.json.session.workspace_id as string;
    const held = await until("the run is leased", async () => {
      const leases = [...worker.held.values(), ...(await worker.claim({ kinds: ["run"], wait_ms: 2_000 }))];
      const lease = leases.find((item) => item.kind === "run" && item.run.id === started.json.run.id);
      return lease?.kind === "run" ? worker.take(lease) : undefined;
    });
    await held.started();
    const workspace = { status: "captured" as const, version_id: randomUUID(), artifact, size_bytes: 1, entry_count: 1 };
    await held.complete({ status: "succeeded", exit_code: 0 }, { workspace });
  }
  return workspaceId!;
}

async function timed(samples: number[], act: () => Promise<{ status: number; text: string }>): Promise<void> {
  const begun = performance.now();
  const { status, text } = await act();
  samples.push(performance.now() - begun);
  if (status >= 300) throw new Error(`${status} ${text.slice(0, 500)}`);
}

async function forkOften({ plane }: Trees, workspaceId: string): Promise<Series> {
  const samples: number[] = [];
  for (let index = 0; index < forks; index += 1)
    await timed(samples, () => plane.api.call("POST", `/api/workspaces/${workspaceId}/fork`, { body: {} }));
  return { name: "workspace-fork", unit: "ms", samples, target: "p50 ≤ 50 ms", met: quantile(samples, 0.5) <= 50 };
}

async function diffs({ plane }: Trees, workspaceId: string): Promise<Series[]> {
  const [first, again]: [number[], number[]] = [[], []];
  const whole = async () => {
    for (let cursor = ""; ;) {
      const page = await plane.api.call("GET", `/api/workspaces/${workspaceId}/diff?limit=500${cursor}`);
      if (page.status !== 200 || page.json.next_cursor === undefined) return page;
      cursor = `&cursor=${encodeURIComponent(page.json.next_cursor)}`;
    }
  };
  await timed(first, whole);
  for (let index = 0; index < 3; index += 1) await timed(again, whole);
  return [
    { name: "workspace-diff-first", unit: "ms", samples: first },
    { name: "workspace-diff-again", unit: "ms", samples: again },
  ];
}

async function readMany({ plane }: Trees, workspaceId: string, files: string[]): Promise<Series[]> {
  const samples: number[] = [];
  for (let index = 0; index < reads; index += 1) {
    const path = files[Math.floor(Math.random() * files.length)]!;
    await timed(samples, () => plane.api.call("GET", `/api/workspaces/${workspaceId}/files/content?path=${path}`));
  }
  return [{ name: "file-read", unit: "ms", samples, target: "p50 ≤ 30 ms", met: quantile(samples, 0.5) <= 30 }];
}
