/**
 * A line is written in a guest → an SSE follower has it. The guest says when it wrote, by a clock that the host set when the machine was attached;
 * how far that clock is off bounds the accuracy, so the least sample of a run is reported too.
 */
import { benchInstall } from "./local-bench.ts";
import { type Benchmark, quantile } from "./measure.ts";

export const benchmark: Benchmark = {
  measures: "line written in a guest (its clock) → received by an SSE follower (host's clock), a line every 100 ms",
  async run(args) {
    const count = Number(args[0] ?? 100);
    const bench = await benchInstall();
    try {
      const samples: number[] = [];
      const { runId } = await bench.start("ticker", { count, everyMs: 100 });
      for await (const text of bench.lines(runId)) {
        const now = performance.timeOrigin + performance.now();
        for (const line of text.split("\n").filter((one) => /^\d{13}$/.test(one))) samples.push(now - Number(line));
      }
      // The first lines come while the program is still being compiled and the follower connects.
      const steady = samples.slice(10);
      return [{ name: "follow-latency", unit: "ms", samples: steady, target: "p50 ≤ 30 ms", met: quantile(steady, 0.5) <= 30 }];
    } finally {
      await bench.close();
    }
  },
};
