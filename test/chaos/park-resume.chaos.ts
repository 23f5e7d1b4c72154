/**
 * The park/resume property: programs that keep whatever a process can keep, parked many times on two workers, while workers, monitors, the server and the
 * database's connections are killed at named points. Whatever happens, every run ends well with everything it kept, no record is missed or delivered twice
 * within an attempt, and the stored state keeps its invariants.
 *
 * Seeds are printed. `HELMR_CHAOS_SEEDS=1-20,33` says which; `HELMR_CHAOS_AT_ONCE` how many run beside each other.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { parkTasks } from "./park-program.ts";
import { playSeed, seedMs } from "./park-seed.ts";
import { TwoWorkers } from "./two-workers.ts";

const seeds = seedsOf(process.env["HELMR_CHAOS_SEEDS"] ?? "1-4");
const atOnce = Number(process.env["HELMR_CHAOS_AT_ONCE"] ?? 2);
let install: TwoWorkers;
beforeAll(async () => {
  install = await TwoWorkers.open();
  install.workers[0]!.start();
  await install.deploy(parkTasks);
  install.workers[1]!.start();
}, 1_200_000);
afterAll(async () => {
  await install?.close();
}, 120_000);

const groups: number[][] = [];
for (let index = 0; index < seeds.length; index += atOnce) groups.push(seeds.slice(index, index + atOnce));
let survived = 0;

test.each(groups.map((group) => [group.join(", "), group] as const))("seeds %s", { timeout: seedMs + 60_000 }, async (_name, group) => {
  const results = await Promise.allSettled(group.map((seed) => playSeed(install, seed)));
  const failures = results.flatMap((result, index) =>
    result.status === "rejected" ? [`seed ${group[index]}: ${(result.reason as Error).message}`] : [],
  );
  survived += results.length - failures.length;
  process.stdout.write(`park/resume: seeds ${group.join(", ")}: ${failures.length === 0 ? "survived" : "FAILED"} (${survived} so far)\n`);
  for (const failure of failures) process.stdout.write(`park/resume: ${failure.split("\n")[0]?.slice(0, 400)}\n`);
  expect(failures).toEqual([]);
  await install.end();
  expect(await install.invariants()).toEqual([]);
});

/** Otherwise nothing was tested. */
test("the runs were parked, and on both workers", async () => {
  const [cuts] = await install.rows("select count(*)::int as parks, count(distinct worker_id)::int as workers from checkpoints");
  process.stdout.write(`park/resume: ${survived} of ${seeds.length} seeds survived, ${cuts!["parks"]} parks\n`);
  expect(cuts!["parks"]).toBeGreaterThanOrEqual(seeds.length / 2);
  if (seeds.length >= 10) expect(cuts!["workers"]).toBe(2);
});

function seedsOf(text: string): number[] {
  return text.split(",").flatMap((part) => {
    const [from = 0, to = from] = part.split("-").map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}
