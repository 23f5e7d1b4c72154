/** Lines of 100 bytes accepted durably per second: one run, and fifty at once. */
import { deployProject, type FakeRun, fakeWorker } from "@helmr/test/platform";
import { startInstall } from "./install.ts";
import type { Benchmark, Series } from "./measure.ts";

const line = `${"x".repeat(99)}\n`;
const linesPerReport = 1_000;
const report = line.repeat(linesPerReport);

export const benchmark: Benchmark = {
  measures: "log lines accepted durably per second, 1 run and 50 runs",
  async run(args) {
    const seconds = Number(args[0] ?? 5);
    const install = await startInstall();
    const worker = await fakeWorker({ ...install, claims: false });
    try {
      await deployProject(install);
      return [await ingest(1, 20_000), await ingest(50, 100_000)];
    } finally {
      await worker.stop();
      await install.close();
    }

    async function ingest(runs: number, target: number): Promise<Series> {
      for (let index = 0; index < runs; index += 1) await install.api.call("POST", "/api/sessions", { body: { task_id: "hello" } });
      const taken: FakeRun[] = [];
      while (taken.length < runs)
        for (const lease of await worker.claim({ kinds: ["run"] })) if (lease.kind === "run") taken.push(worker.take(lease));
      await Promise.all(taken.map((run) => run.started()));
      let accepted = 0;
      const stop = new AbortController();
      const loops = taken.map(async (run) => {
        while (!stop.signal.aborted) {
          await run.log("stdout", report);
          accepted += linesPerReport;
        }
      });
      const samples: number[] = [];
      for (let second = 0; second < seconds + 1; second += 1) {
        const before = accepted;
        const begun = performance.now();
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        if (second > 0) samples.push((accepted - before) / ((performance.now() - begun) / 1_000));
      }
      stop.abort();
      await Promise.all(loops);
      await Promise.all(taken.map((run) => run.complete({ status: "succeeded", exit_code: 0 })));
      const mean = samples.reduce((sum, value) => sum + value, 0) / samples.length;
      return {
        name: `log-ingest-${runs}-${runs === 1 ? "run" : "runs"}`,
        unit: "lines/s",
        samples,
        target: `mean ≥ ${target} lines/s`,
        met: mean >= target,
      };
    }
  },
};
