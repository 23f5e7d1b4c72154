/** `POST sessions` → first line of the task's log in a client's hands, with a warm template. Argument: how often (20). */
import { benchInstall, firstLine, settle } from "./local-bench.ts";
import { type Benchmark, quantile } from "./measure.ts";

export const benchmark: Benchmark = {
  measures: "POST sessions → first log line at an SSE follower; one after the other, and two at a time",
  async run(args) {
    const count = Number(args[0] ?? 20);
    const bench = await benchInstall();
    try {
      await bench.ended((await firstLine(bench)).runId);
      const alone: number[] = [];
      for (let index = 0; index < count; index += 1) {
        await settle();
        const { ms, runId } = await firstLine(bench);
        alone.push(ms);
        await bench.ended(runId);
      }
      const hurried: number[] = [];
      for (let index = 0; index < Math.ceil(count / 2); index += 1) {
        const { ms, runId } = await firstLine(bench);
        hurried.push(ms);
        await bench.ended(runId);
      }
      const met = quantile(alone, 0.5) <= 900 && quantile(alone, 0.95) <= 1_500;
      return [
        { name: "start-latency", unit: "ms", samples: alone, target: "p50 ≤ 900 ms, p95 ≤ 1.5 s", met },
        { name: "start-latency-without-a-pause-between-runs", unit: "ms", samples: hurried },
      ];
    } finally {
      await bench.close();
    }
  },
};
