/** Some random histories of workspaces with faults; as many more as somebody wants to see are in test/chaos/workspaces.chaos.ts. */
import { expect, test } from "vitest";
import { WorkspaceHistory } from "./workspace-histories.fixture.ts";

test.each([2, 14, 17])("history %i keeps every chain and every byte, whatever fails on its way", { timeout: 120_000 }, async (seed) => {
  const history = await WorkspaceHistory.open(seed);
  try {
    await history.play(30);
    expect(history.done.size).toBeGreaterThan(8);
  } finally {
    await history.close();
  }
});
