/** `node packages/server/src/main/control-plane.ts`: the HTTP side of an install with several processes. Any number of them may run. */
import { runUntilSignal } from "./run-until-signal.ts";
import { openParts, serveFront } from "./wire.ts";

await runUntilSignal("control-plane", async (config, telemetry) => {
  const parts = await openParts(config, { telemetry, shared: true });
  const front = await serveFront(config, parts);
  return {
    address: front.address,
    async stop() {
      await front.close();
      await parts.close();
    },
  };
});
