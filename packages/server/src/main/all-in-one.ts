/**
 * `node packages/server/src/main/all-in-one.ts`: control plane and dispatcher in one process, for one machine. Applies migrations first, because there is
 * nobody else to do it; hints stay inside the process.
 */
import { migrate } from "../store/migrate.ts";
import { handOff } from "./local-handoff.ts";
import { runUntilSignal } from "./run-until-signal.ts";
import { openParts, serveFront, startDispatcher } from "./wire.ts";

await runUntilSignal("server", async (config, telemetry) => {
  await migrate(config.databaseUrl);
  const parts = await openParts(config, { telemetry, shared: false });
  const front = await serveFront(config, parts);
  const loops = startDispatcher(parts);
  const endHandOff = config.mode === "local" ? await handOff(config, parts) : () => undefined;
  return {
    address: front.address,
    async stop() {
      endHandOff();
      await front.close();
      await loops.stop();
      await parts.close();
    },
  };
});
