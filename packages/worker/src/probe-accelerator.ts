/** `node probe-accelerator.ts WORKER_STATE GUEST_DIR`: which accelerator this host's guests get and why, as JSON; for `helmr doctor`. */
import { join } from "node:path";
import { readIngredients } from "./guest-ingredients.ts";
import { errorText } from "./telemetry.ts";
import { openDriver } from "./vm/open-driver.ts";

const [state = "", guest = ""] = process.argv.slice(2);
try {
  const driver = openDriver({ guest: await readIngredients(guest), stateDirectory: join(state, "driver"), accelerator: "auto" });
  const { accelerator, explanation } = await driver.facts();
  process.stdout.write(`${JSON.stringify({ accelerator, explanation })}\n`);
} catch (error) {
  process.stderr.write(`${errorText(error)}\n`);
  process.exitCode = 1;
}
