/** `node packages/server/src/main/dispatcher.ts`: the reconcilers of an install with several processes. Any number may run; one leads each loop. */
import { runUntilSignal } from "./run-until-signal.ts";
import { openParts, startDispatcher } from "./wire.ts";

await runUntilSignal("dispatcher", async (config, telemetry) => {
  const parts = await openParts(config, { telemetry, shared: true });
  const loops = startDispatcher(parts);
  return {
    async stop() {
      await loops.stop();
      await parts.close();
    },
  };
});
