/** One random history of versions against a model, byte by byte; many more are in test/chaos/versions.chaos.ts. */
import { expect, test } from "vitest";
import { History } from "../chaos/version-histories.ts";

test("commits, restores, forks, deletions, retention and collection keep every byte of every version", { timeout: 120_000 }, async () => {
  const history = await History.open(20_261_120);
  try {
    const acts = new Set<string>();
    for (let step = 0; step < 30; step += 1) acts.add(await history.step());
    expect(acts.size).toBeGreaterThan(5);
    await history.collect();
    expect(await history.expectAll()).toBeGreaterThan(3);
  } finally {
    await history.close();
  }
});
