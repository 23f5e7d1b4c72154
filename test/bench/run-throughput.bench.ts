/**
 * Full life cycles per second with durable commits: start → lease → attempt → 10 log lines → complete with a captured workspace. The load and the fake
 * workers share the two cores with the server and PostgreSQL.
 */
import { type Behaviour, captured, deployProject, fakeWorker } from "@helmr/test/platform";
import { processorMs, startInstall } from "./install.ts";
import type { Benchmark } from "./measure.ts";

const lines = Array.from({ length: 10 }, (_, index) => `line ${index} of a run that says a little about what it does\n`).join("");

const lifeCycle: Behaviour = async (run) => {
  await run.started();
  await run.log("stdout", lines);
  await run.complete({ status: "succeeded", exit_code: 0, output: { value: { ok: true } } }, { workspace: captured(run.lease.run.org_id) });
};

export const benchmark: Benchmark = {
  measures: "full life cycles per second, fake workers, durable commits",
  async run(args) {
    const seconds = Number(args[0] ?? 10);
    const starters = Number(args[1] ?? 32);
    const install = await startInstall();
    const errors: unknown[] = [];
    try {
      await deployProject(install);
      let finished = 0;
      const run: Behaviour = async (lease) => {
        await lifeCycle(lease);
        finished += 1;
      };
      const workers = await Promise.all(
        Array.from({ length: 2 }, () =>
          fakeWorker({ ...install, run, kinds: ["run"], capacity: { slots: 48 }, onError: (error) => errors.push(error) }),
        ),
      );
      const stop = new AbortController();
      let started = 0;
      const start = async () => {
        while (!stop.signal.aborted) {
          // A queue of a few hundred runs is enough to keep the workers busy.
          if (started - finished > 400) await new Promise((resolve) => setTimeout(resolve, 5));
          else {
            const answer = await install.api.call("POST", "/api/sessions", { body: { task_id: "hello", payload: { n: started } } });
            if (answer.status !== 201) errors.push(answer.text);
            started += 1;
          }
        }
      };
      const loops = Array.from({ length: starters }, start);
      const samples: number[] = [];
      // The first two seconds warm code and plans.
      let warm = { processor: await processorMs(install.pids), finished: 0, own: process.cpuUsage() };
      for (let second = 0; second < seconds + 2; second += 1) {
        if (second === 2) warm = { processor: await processorMs(install.pids), finished, own: process.cpuUsage() };
        const before = finished;
        const begun = performance.now();
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        if (second >= 2) samples.push((finished - before) / ((performance.now() - begun) / 1_000));
      }
      const used = await processorMs(install.pids);
      const own = process.cpuUsage(warm.own);
      const runs = finished - warm.finished;
      stop.abort();
      await Promise.all(loops);
      await Promise.all(workers.map((worker) => worker.stop()));
      if (errors.length > 0) throw new AggregateError(errors.slice(0, 5), `${errors.length} errors`);
      const mean = samples.reduce((sum, value) => sum + value, 0) / samples.length;
      const perRun = (ms: number) => [ms / runs];
      return [
        { name: "server-processor-per-run", unit: "ms", samples: perRun(used.server - warm.processor.server) },
        { name: "postgres-processor-per-run", unit: "ms", samples: perRun(used.postgres - warm.processor.postgres) },
        { name: "load-and-workers-processor-per-run", unit: "ms", samples: perRun((own.user + own.system) / 1_000) },
        { name: "run-throughput", unit: "runs/s", samples, target: "mean ≥ 300 runs/s", met: mean >= 300 },
      ];
    } finally {
      await install.close();
    }
  },
};
