/**
 * Random histories of versions against a model (version-histories.ts). `HELMR_CHAOS_SEEDS=1-20,33` says which.
 */
import { expect, test } from "vitest";
import { History } from "./version-histories.ts";

const seeds = (process.env["HELMR_CHAOS_SEEDS"] ?? "1-4").split(",").flatMap((part) => {
  const [first = 1, last = first] = part.split("-").map(Number);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
});

test.each(seeds)("seed %i", { timeout: 300_000 }, async (seed) => {
  const history = await History.open(seed);
  try {
    for (let step = 0; step < 60; step += 1) await history.step();
    await history.collect();
    expect(await history.expectAll()).toBeGreaterThan(0);
  } finally {
    await history.close();
  }
});
