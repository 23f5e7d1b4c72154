/** What the benchmarks of parking measure: two real workers with short windows, and a task with a heap of 20 MB that waits for tokens. */
import { startTestCluster, until } from "@helmr/test/services";
import { TwoWorkers } from "../chaos/two-workers.ts";

const task = `
import { sandbox, task, tokens } from "@sdk";
const box = sandbox("box").resources({ cpu: 1, memory: "512Mi" });
const anything = { "~standard": { version: 1, vendor: "bench", validate: (value: unknown) => ({ value }) } } as never;
export const holds = task({ id: "holds", sandbox: box, payload: anything, async run(payload: any) {
  // Objects as programs have them: about 20 MB of heap.
  const heap = Array.from({ length: 120_000 }, (_, n) => ({ id: n, name: "item " + n, tags: ["a" + (n % 7), "b" + (n % 11)], at: Date.now() + n }));
  for (let n = 0; n < payload.parks; n += 1) {
    const token = await tokens.create({ timeout: "1h" });
    await token.wait();
    console.log("goes on " + n);
  }
  return { items: heap.length, heap: process.memoryUsage().heapUsed };
} });
`;

export interface ParkGround {
  install: TwoWorkers;
  /** Milliseconds from the completion of the token until the program has printed its next line. */
  resume(runId: string): Promise<number>;
  /** The run has been parked so many times, and its machine is gone. */
  parked(runId: string, times: number): Promise<{ pauseMs: number; storedBytes: number; worker: string }>;
  close(): Promise<void>;
}

export async function parkGround(): Promise<ParkGround> {
  process.env["HELMR_BENCH_ACCELERATOR"] ??= "tcg";
  const stopCluster = await startTestCluster();
  const install = await TwoWorkers.open({ worker: { HELMR_WORKER_SPARES: "1" } });
  install.workers[0]!.start();
  await install.deploy(task);
  return {
    install,
    async resume(runId) {
      const [before] = await install.rows("select coalesce(max(seq), 0)::int as seq from run_log_chunks where run_id = $1", [runId]);
      const [token] = await install.pendingTokens(runId);
      const began = performance.now();
      await install.completeToken(token!, null);
      await until(
        "the program goes on",
        async () => (await install.rows("select 1 from run_log_chunks where run_id = $1 and seq > $2", [runId, before!["seq"]])).length > 0,
        120_000,
      );
      return performance.now() - began;
    },
    async parked(runId, times) {
      await install.untilRun(`park ${times}`, runId, ({ state }) => state === "waiting", 300_000);
      const cuts = await install.rows(
        "select c.pause_ms, c.stored_bytes::int as bytes, k.name from checkpoints c join workers k on k.id = c.worker_id where c.run_id = $1 order by c.created_at",
        [runId],
      );
      if (cuts.length < times) throw new TypeError(`The run was parked ${cuts.length} times, not ${times}`);
      const cut = cuts[times - 1]!;
      await until("its machine is gone", async () => (await install.monitors(cut["name"] === "a" ? 0 : 1)).length === 0, 60_000);
      return { pauseMs: cut["pause_ms"], storedBytes: cut["bytes"], worker: cut["name"] };
    },
    async close() {
      await install.close();
      await stopCluster();
    },
  };
}
