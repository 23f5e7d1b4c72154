/** What a park costs a task with a heap of 20 MB: how long its machine stands still, and what is stored; one run, parked ten times in a row. */
import type { Benchmark } from "./measure.ts";
import { parkGround } from "./park-ground.ts";

const mb = 1_000_000;

export const benchmark: Benchmark = {
  measures: "pause of the machine and bytes stored, for ten parks of one run in a row (20 MB heap, one worker)",
  async run(args) {
    const count = Number(args[0] ?? 10);
    const ground = await parkGround();
    try {
      const { runId } = await ground.install.startRun("holds", { parks: count });
      const pauses: number[] = [];
      const stored: number[] = [];
      for (let park = 1; park <= count; park += 1) {
        const { pauseMs, storedBytes } = await ground.parked(runId, park);
        pauses.push(pauseMs);
        stored.push(storedBytes / mb);
        await ground.resume(runId);
      }
      const growth = (stored.at(-1) ?? 0) / (stored[0] ?? 1);
      process.stderr.write(`${stored.map((size, index) => `park ${index + 1}: ${pauses[index]} ms, ${size.toFixed(1)} MB`).join("\n")}\n`);
      return [
        { name: "park-pause", unit: "ms", samples: pauses, target: "≤ 50 ms", met: Math.max(...pauses) <= 50 },
        { name: "park-stored", unit: "MB", samples: stored, target: "≤ 25 MB", met: Math.max(...stored) <= 25 },
        { name: "park-tenth-to-first", unit: "ratio", samples: [growth], target: "≤ 1.2", met: growth <= 1.2 },
      ];
    } finally {
      await ground.close();
    }
  },
};
