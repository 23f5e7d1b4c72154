/** Ready → leased by an idle worker, over the real wire: from sending `POST sessions` to the claim's answer in the worker's hands. */
import { deployProject, fakeWorker, succeed } from "@helmr/test/platform";
import { startInstall } from "./install.ts";
import { type Benchmark, quantile } from "./measure.ts";

export const benchmark: Benchmark = {
  measures: "POST sessions answered → lease at an idle fake worker; and at 100 runs/s",
  async run(args) {
    const count = Number(args[0] ?? 200);
    const install = await startInstall();
    try {
      await deployProject(install);
      const leased = new Map<string, (at: number) => void>();
      const arrivals = new Map<string, number>();
      const worker = await fakeWorker({
        ...install,
        kinds: ["run"],
        async run(run) {
          const at = performance.now();
          const { id } = run.lease.run;
          const waiting = leased.get(id);
          if (waiting) waiting(at);
          else arrivals.set(id, at);
          await succeed(run);
        },
      });
      const one = async () => {
        const begun = performance.now();
        const answer = await install.api.call("POST", "/api/sessions", { body: { task_id: "hello" } });
        const answered = performance.now();
        const { id } = answer.json.run as { id: string };
        const at = arrivals.get(id) ?? (await new Promise<number>((resolve) => leased.set(id, resolve)));
        return { fromSent: at - begun, fromReady: Math.max(0, at - answered) };
      };
      for (let index = 0; index < 30; index += 1) await one();
      const idle = [];
      for (let index = 0; index < count; index += 1) idle.push(await one());
      const busy: Promise<{ fromSent: number; fromReady: number }>[] = [];
      for (let index = 0; index < count * 2; index += 1) {
        busy.push(one());
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const loaded = await Promise.all(busy);
      await worker.stop();
      const ready = idle.map((sample) => sample.fromReady);
      const sent = idle.map((sample) => sample.fromSent);
      const under = loaded.map((sample) => sample.fromReady);
      return [
        {
          name: "dispatch-latency",
          unit: "ms",
          samples: ready,
          target: "p50 ≤ 10 ms, p95 ≤ 25 ms",
          met: quantile(ready, 0.5) <= 10 && quantile(ready, 0.95) <= 25,
        },
        { name: "sent-to-leased", unit: "ms", samples: sent },
        { name: "dispatch-latency-100-per-second", unit: "ms", samples: under, target: "p95 ≤ 50 ms", met: quantile(under, 0.95) <= 50 },
      ];
    } finally {
      await install.close();
    }
  },
};
