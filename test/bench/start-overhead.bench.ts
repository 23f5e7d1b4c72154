/**
 * What Helmr adds to a start: `POST sessions` → first log line, less a machine that is brought up and runs one `node -e 0` without any of our parts
 * above the driver, measured in the same run. Product and bare machine both come from spares, which is the harder comparison: bare machines without
 * spares are slower (`machines.bench.ts`). Argument: how often (10).
 */
import { benchInstall, firstLine, settle } from "./local-bench.ts";
import { benchmark as machines } from "./machines.bench.ts";
import { type Benchmark, quantile, type Series } from "./measure.ts";

const bareParts = ["spare: start, disks included", "spare: first answer", "spare: first node -e 0"];

export const benchmark: Benchmark = {
  measures: "POST sessions → first log line, less bare restore and bare node of the same guest",
  async run(args) {
    const count = Number(args[0] ?? 10);
    const bare = bareStarts(await machines.run([String(count), "starts"]));
    const whole: number[] = [];
    const bench = await benchInstall();
    try {
      await bench.ended((await firstLine(bench)).runId);
      for (let index = 0; index < count; index += 1) {
        await settle();
        const { ms, runId } = await firstLine(bench);
        whole.push(ms);
        await bench.ended(runId);
      }
    } finally {
      await bench.close();
    }
    const overhead = quantile(whole, 0.5) - quantile(bare, 0.5);
    return [
      { name: "start-latency", unit: "ms", samples: whole },
      { name: "bare restore and node", unit: "ms", samples: bare },
      { name: "start-overhead", unit: "ms", samples: [overhead], target: "p50 ≤ 150 ms", met: overhead <= 150 },
    ];
  },
};

/** The parts of each bare start, added up. */
function bareStarts(series: readonly Series[]): number[] {
  const parts = bareParts.map((name) => series.find((one) => one.name === name)?.samples ?? []);
  return (parts[0] ?? []).map((_, index) => parts.reduce((sum, samples) => sum + (samples[index] ?? 0), 0));
}
