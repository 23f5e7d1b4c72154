import { until } from "@helmr/test/services";
import { describe, expect, test } from "vitest";
import { openHints } from "../hints.ts";
import { telemetryTo } from "../telemetry.ts";
import { eachRow, type Leadership, type Reconciler, startLoops, sum } from "./loop.ts";

const everyone: Leadership = { lead: () => Promise.resolve(true), close: () => Promise.resolve() };
const nothing = { scanned: 0, changed: 0, skipped: 0 };

async function running(reconciler: Partial<Reconciler>, leadership: Leadership = everyone) {
  const hints = await openHints(null);
  const events: string[] = [];
  const loops = startLoops([{ name: "test", periodMs: 60_000, run: () => Promise.resolve(nothing), ...reconciler }], {
    hints,
    leadership,
    telemetry: telemetryTo((event) => events.push(event)),
  });
  return { hints, loops, events };
}

describe("a loop", () => {
  test("runs at once, then on a hint", async () => {
    let passes = 0;
    const { hints, loops } = await running({ run: () => Promise.resolve({ ...nothing, changed: (passes += 1) }) });
    await until("the first pass", () => passes === 1);
    hints.send("reconcile:test");
    await until("the second pass", () => passes === 2);
    await loops.stop();
    hints.send("reconcile:test");
    expect(passes).toBe(2);
  });

  test("runs again at once while a pass was full, and when something is due", async () => {
    let passes = 0;
    const full = await running({
      run: () => {
        passes += 1;
        return Promise.resolve({ ...nothing, more: passes < 5 });
      },
    });
    await until("five passes", () => passes === 5);
    await full.loops.stop();
    let due = 0;
    const timed = await running({
      run: () => {
        due += 1;
        return Promise.resolve(nothing);
      },
      nextDueMs: () => Promise.resolve(due < 4 ? 1 : undefined),
    });
    await until("four passes", () => due === 4);
    await timed.loops.stop();
  });

  test("a hint during a pass is not lost", async () => {
    let passes = 0;
    let release = () => {};
    const { hints, loops } = await running({
      async run() {
        passes += 1;
        if (passes === 1) await new Promise<void>((resolve) => (release = resolve));
        return nothing;
      },
    });
    await until("the first pass", () => passes === 1);
    hints.send("reconcile:test");
    release();
    await until("the second pass", () => passes === 2);
    await loops.stop();
  });

  test("goes on after a failure, and says so", async () => {
    let passes = 0;
    const { hints, loops, events } = await running({
      run: () => {
        passes += 1;
        return passes === 1 ? Promise.reject(new TypeError("broken")) : Promise.resolve({ ...nothing, changed: 1 });
      },
    });
    await until("the failure", () => events.includes("reconcile_failed"));
    hints.send("reconcile:test");
    await until("the next pass", () => events.includes("reconciled"));
    await loops.stop();
  });

  test("does nothing while another process leads", async () => {
    let leads = false;
    let passes = 0;
    const leadership = { lead: () => Promise.resolve(leads), close: () => Promise.resolve() };
    const { hints, loops } = await running({ run: () => Promise.resolve({ ...nothing, changed: (passes += 1) }) }, leadership);
    hints.send("reconcile:test");
    await new Promise((resolve) => setImmediate(resolve));
    expect(passes).toBe(0);
    leads = true;
    hints.send("reconcile:test");
    await until("a pass", () => passes > 0);
    await loops.stop();
  });
});

describe("eachRow(), sum()", () => {
  test("one row that fails does not keep the others from their turn", async () => {
    const seen: number[] = [];
    const act = (row: number) => {
      seen.push(row);
      return row === 2 ? Promise.reject(new TypeError("two")) : Promise.resolve(row === 3);
    };
    await expect(eachRow([1, 2, 3], act)).rejects.toThrow("two");
    expect(seen).toEqual([1, 2, 3]);
    expect(await eachRow([1, 3], act)).toEqual({ scanned: 2, changed: 1, skipped: 1 });
    expect(
      sum([
        { ...nothing, changed: 1, more: true },
        { ...nothing, scanned: 2 },
      ]),
    ).toEqual({ scanned: 2, changed: 1, skipped: 0, more: true });
  });
});
