import { setTimeout as pause } from "node:timers/promises";
import { type PayloadSchema, sandbox, task } from "@helmr/sdk";

interface Ticks {
  count: number;
  everyMs: number;
}

const ticks: PayloadSchema<Ticks> = {
  "~standard": { version: 1, vendor: "bench", validate: (value) => ({ value: value as Ticks }) },
};

/** A line every `everyMs`, each holding the guest's time of its writing. */
export const ticker = task({
  id: "ticker",
  sandbox: sandbox("default"),
  payload: ticks,
  async run({ count, everyMs }) {
    for (let index = 0; index < count; index += 1) {
      console.log(String(Date.now()));
      await pause(everyMs);
    }
  },
});
