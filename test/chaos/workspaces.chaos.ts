/**
 * Random histories of workspaces over the server's operations against a model, with faults between and inside the steps
 * (packages/server/src/operations/workspace-histories.fixture.ts). `HELMR_CHAOS_SEEDS=1-200,333` says which.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";

interface History {
  /** Plays so many steps, looks at everything that is left, and returns how many versions that are. */
  play(steps: number): Promise<number>;
  close(): Promise<void>;
}

const operations = join(import.meta.dirname, "..", "..", "packages", "server", "src", "operations");
const { WorkspaceHistory } = (await import(pathToFileURL(join(operations, "workspace-histories.fixture.ts")).href)) as {
  WorkspaceHistory: { open(seed: number): Promise<History> };
};

const seeds = (process.env["HELMR_CHAOS_SEEDS"] ?? "1-10").split(",").flatMap((part) => {
  const [first = 1, last = first] = part.split("-").map(Number);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
});

test.each(seeds)("seed %i", { timeout: 300_000 }, async (seed) => {
  const history = await WorkspaceHistory.open(seed);
  try {
    expect(await history.play(40)).toBeGreaterThan(0);
  } finally {
    await history.close();
  }
});
