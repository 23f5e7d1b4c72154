/**
 * `npm run bench -- NAME [--json] [arguments of the benchmark]`: runs test/bench/NAME.bench.ts, prints machine, accelerator and the figures, and writes
 * test/bench/results/NAME.json. Without a name it lists what there is. Exits 1 when a target was missed.
 */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Benchmark, machine, type Summary, summarize } from "../test/bench/measure.ts";
import { repository } from "./run-step.ts";

const directory = join(repository, "test", "bench");
const json = process.argv.includes("--json");
const [name, ...args] = process.argv.slice(2).filter((argument) => argument !== "--json");
const names = (await readdir(directory)).filter((file) => file.endsWith(".bench.ts")).map((file) => file.replace(/\.bench\.ts$/, ""));

if (name === undefined || !names.includes(name)) {
  process.stderr.write(`npm run bench -- NAME [--json]; NAME is one of: ${names.join(", ")}\n`);
  process.exit(name === undefined ? 0 : 2);
}

const { benchmark } = (await import(pathToFileURL(join(directory, `${name}.bench.ts`)).href)) as { benchmark: Benchmark };
const begun = performance.now();
const series = (await benchmark.run(args)).map(summarize);
// Benchmarks that run guests say which accelerator they had; the others use none.
const accelerator = process.env["HELMR_BENCH_ACCELERATOR"] ?? "none";
const result = {
  name,
  measures: benchmark.measures,
  machine: machine(),
  accelerator,
  seconds: Math.round((performance.now() - begun) / 1_000),
  series,
};
await mkdir(join(directory, "results"), { recursive: true });
await writeFile(join(directory, "results", `${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
process.stdout.write(json ? `${JSON.stringify(result)}\n` : text(series));
process.exitCode = series.some((summary) => summary.met === false) ? 1 : 0;

function text(list: Summary[]): string {
  const { cores, cpu, memory_gib, node } = machine();
  const head = [
    `${name}: ${benchmark.measures}`,
    `machine: ${cores} cores, ${cpu}, ${memory_gib} GiB, Node ${node}; accelerator: ${accelerator}`,
  ];
  const rows = list.map(
    ({ name: series, unit, count, min, p50, p95, max, target, met }) =>
      `  ${series}: count ${count}, min ${min}, p50 ${p50}, p95 ${p95}, max ${max} ${unit}${target === undefined ? "" : ` (target ${target}: ${met ? "met" : "missed"})`}`,
  );
  return `${[...head, ...rows].join("\n")}\n`;
}
