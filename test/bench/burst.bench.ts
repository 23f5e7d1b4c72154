/** Twenty starts at once on one worker: when each has its first line, against one alone in the same run. Argument: how many (20). */
import { benchInstall, firstLine, settle } from "./local-bench.ts";
import { type Benchmark, quantile } from "./measure.ts";

export const benchmark: Benchmark = {
  measures: "N starts at once: POST sessions → first log line, against one alone",
  async run(args) {
    const count = Number(args[0] ?? 20);
    const bench = await benchInstall();
    try {
      await bench.ended((await firstLine(bench)).runId);
      const alone: number[] = [];
      for (let index = 0; index < 7; index += 1) {
        await settle();
        const { ms, runId } = await firstLine(bench);
        alone.push(ms);
        await bench.ended(runId);
      }
      await settle();
      const together = await Promise.all(Array.from({ length: count }, () => firstLine(bench)));
      for (const { runId } of together) await bench.ended(runId);
      const times = together.map(({ ms }) => ms);
      const ratio = quantile(times, 0.5) / quantile(alone, 0.5);
      return [
        { name: "alone", unit: "ms", samples: alone },
        { name: "burst", unit: "ms", samples: times },
        { name: "burst-ratio", unit: "× one alone", samples: [ratio], target: "median ≤ 6 × one alone", met: ratio <= 6 },
      ];
    } finally {
      await bench.close();
    }
  },
};
