/** The figures in docs/specification.md, from test/bench/results: nobody copies a number by hand. With `--check` a difference fails. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Machine, Summary } from "../test/bench/measure.ts";
import { repository } from "./run-step.ts";

interface Result {
  name: string;
  measures: string;
  machine: Machine;
  accelerator: string;
  series: Summary[];
}

const begin = "<!-- figures: made by scripts/generate-figures.ts from test/bench/results (npm run generate) -->";
const end = "<!-- end of figures -->";
const directory = join(repository, "test", "bench", "results");
const file = join(repository, "docs", "specification.md");

const results: Result[] = [];
for (const name of (await readdir(directory)).filter((one) => one.endsWith(".json")).sort()) {
  results.push(JSON.parse(await readFile(join(directory, name), "utf8")) as Result);
}
const present = await readFile(file, "utf8");
const [before, after] = [present.split(begin)[0], present.split(end)[1]];
if (before === undefined || after === undefined) throw new TypeError(`${file} has no place for figures: ${begin} … ${end}`);
const text = `${before}${begin}\n\n${results.map(section).join("\n")}\n${end}${after}`;
if (!process.argv.includes("--check")) await writeFile(file, text);
else if (text !== present) {
  process.stderr.write("docs/specification.md differs from test/bench/results: run npm run generate\n");
  process.exitCode = 1;
}

function section({ name, measures, machine, accelerator, series }: Result): string {
  const on = `${machine.cores} cores ${machine.cpu}, ${machine.memory_gib} GiB, Node ${machine.node}${accelerator === "none" ? "" : `, ${accelerator}`}`;
  const rows = series.map(
    (one) => `| ${[one.name, one.unit, one.count, one.min, one.p50, one.p95, one.max, targetText(one)].join(" | ")} |`,
  );
  const head = ["| Series | Unit | n | min | p50 | p95 | max | Target |", "|---|---|---|---|---|---|---|---|"];
  return [`### ${name}`, "", `${measures}. ${on}.`, "", ...head, ...rows, ""].join("\n");
}

function targetText({ target, met }: Summary): string {
  if (target === undefined) return "";
  return met === undefined ? target : `${target}: ${met ? "met" : "**missed**"}`;
}
