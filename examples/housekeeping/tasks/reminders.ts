import { metadata, sandbox, task, timers } from "@helmr/sdk";

const box = sandbox("housekeeping");

/** Three pauses: two relative ones and an instant. The process that began is the one that ends. */
export const reminder = task({
  id: "reminder",
  sandbox: box,
  async run() {
    const { pid } = process;
    const from = Date.now();
    await timers.waitFor("2s");
    await metadata.set("reminded", 1);
    await timers.waitFor({ seconds: 1 });
    await metadata.increment("reminded");
    await timers.waitUntil(new Date(Date.now() + 1_500));
    await timers.waitUntil("2020-01-01T00:00:00Z");
    return { waitedMs: Date.now() - from, samePid: pid === process.pid };
  },
});

/** Works until it is cancelled, and leaves a note when it is. */
export const untilCancelled = task({
  id: "until-cancelled",
  sandbox: box,
  async run(ctx) {
    await metadata.set("working", true);
    await new Promise<void>((resolve) => {
      const alive = setInterval(() => console.log("still here"), 1_000);
      ctx.signal.addEventListener("abort", () => {
        clearInterval(alive);
        console.log("told to stop");
        resolve();
      });
    });
  },
});
