/** Token completed → user code runs, on the worker that parked the run and on the other one. Argument: how often (8). */
import { type Benchmark, quantile } from "./measure.ts";
import { parkGround } from "./park-ground.ts";

export const benchmark: Benchmark = {
  measures: "completion of a token → next line of the program that waited for it, in the database",
  async run(args) {
    const count = Number(args[0] ?? 8);
    const ground = await parkGround();
    const { install } = ground;
    try {
      const here = await install.startRun("holds", { parks: count });
      const same: number[] = [];
      for (let park = 1; park <= count; park += 1) {
        await ground.parked(here.runId, park);
        same.push(await ground.resume(here.runId));
      }
      install.workers[1]!.start();
      // The other worker makes its template and learns the tenant's bytes: that is not what is measured.
      const there = await install.startRun("holds", { parks: count + 2 });
      const other: number[] = [];
      for (let park = 1; park <= count + 2; park += 1) {
        const { worker } = await ground.parked(there.runId, park);
        const index = worker === "a" ? 0 : 1;
        await install.workers[index]!.end("SIGTERM");
        const ms = await ground.resume(there.runId);
        if (park > 2) other.push(ms);
        install.workers[index]!.start();
      }
      const met = (samples: number[], limit: number) => quantile(samples, 0.95) <= limit;
      return [
        { name: "resume-same-worker", unit: "ms", samples: same, target: "p95 ≤ 1 s", met: met(same, 1_000) },
        { name: "resume-other-worker", unit: "ms", samples: other, target: "p95 ≤ 3 s", met: met(other, 3_000) },
      ];
    } finally {
      await ground.close();
    }
  },
};
