import { describe, expect, test } from "vitest";
import { assign, type Candidate, entryGate, fits, type OpenWorker } from "./queue.ts";

const worker = (
  id: string,
  over: Partial<OpenWorker["free"]> = {},
  warm: Partial<Record<"images" | "workspaces" | "checkpoints", string[]>> = {},
): OpenWorker => ({
  id,
  restores: "qemu",
  free: { milliCpu: 4000, memoryMib: 8192, diskMib: 100_000, slots: 4, ...over },
  warm: { images: new Set(warm.images), workspaces: new Set(warm.workspaces), checkpoints: new Set(warm.checkpoints) },
});
const candidate = (runId: string, over: Partial<Candidate> = {}): Candidate => ({
  runId,
  environmentId: "e",
  needs: { milliCpu: 1000, memoryMib: 1024, diskMib: 1000 },
  workspaceId: `w-${runId}`,
  imageRef: "base",
  checkpointId: null,
  requires: null,
  ...over,
});
const placed = (result: Map<string, Candidate[]>) =>
  Object.fromEntries([...result].map(([id, list]) => [id, list.map((item) => item.runId)]));

describe("assign()", () => {
  test("keeps the order and never gives a worker more than it has", () => {
    const candidates = ["a", "b", "c", "d", "e", "f"].map((id) => candidate(id));
    const workers = [worker("w1", { slots: 2 }), worker("w2", { milliCpu: 1500 })];
    const result = assign(candidates, workers);
    expect([...result.values()].flat()).toHaveLength(3);
    for (const { id, free } of workers) {
      const given = result.get(id) ?? [];
      expect(given.length).toBeLessThanOrEqual(free.slots);
      expect(given.reduce((sum, item) => sum + item.needs.milliCpu, 0)).toBeLessThanOrEqual(free.milliCpu);
    }
  });

  test("a checkpoint goes only to a worker that can restore it, and holds nobody up meanwhile", () => {
    const other = { ...worker("other"), restores: "firecracker" };
    const parked = candidate("parked", { checkpointId: "c", requires: "firecracker" });
    expect(placed(assign([parked, candidate("a")], [worker("w")]))).toEqual({ w: ["a"] });
    expect(placed(assign([parked], [worker("w", {}, { checkpoints: ["c"] }), other]))).toEqual({ other: ["parked"] });
  });

  test("what fits nowhere holds nobody up", () => {
    const huge = candidate("huge", { needs: { milliCpu: 1000, memoryMib: 1_000_000, diskMib: 1 } });
    expect(placed(assign([huge, candidate("a")], [worker("w")]))).toEqual({ w: ["a"] });
  });

  test("prefers a local checkpoint, then the workspace, then a warm image, then room", () => {
    const workers = [
      worker("cold", { memoryMib: 64_000 }),
      worker("image", {}, { images: ["base"] }),
      worker("tree", {}, { workspaces: ["w-a"] }),
      worker("saved", {}, { checkpoints: ["c"] }),
    ];
    expect(placed(assign([candidate("a", { checkpointId: "c" })], workers))).toEqual({ saved: ["a"] });
    expect(placed(assign([candidate("a")], workers))).toEqual({ tree: ["a"] });
    expect(placed(assign([candidate("b")], workers))).toEqual({ image: ["b"] });
    expect(placed(assign([candidate("b", { imageRef: "other" })], workers))).toEqual({ cold: ["b"] });
  });
});

describe("fits(), entryGate()", () => {
  test("a worker without a slot takes nothing", () => {
    expect(fits(candidate("a").needs, { milliCpu: 9e9, memoryMib: 9e9, diskMib: 9e9, slots: 0 })).toBe(false);
  });

  test.each([
    [{ delayed: true, newWorkspace: true, limited: false }, "delayed"],
    [{ delayed: false, newWorkspace: false, limited: true }, "workspace"],
    [{ delayed: false, newWorkspace: true, limited: true }, "lane"],
    [{ delayed: false, newWorkspace: true, limited: false }, "open"],
  ] as const)("%j enters at %s", (input, gate) => {
    expect(entryGate(input)).toBe(gate);
  });
});
