/** `node probe-accelerator.ts WORKER_STATE GUEST_DIR`: which accelerator this host's guests get and why, as JSON; for `helmr doctor`. */
import { join } from "node:path";
import { readIngredients } from "./guest-ingredients.ts";
import { errorText } from "./telemetry.ts";
import { QemuDriver } from "./vm/qemu/driver.ts";

const [state = "", guest = ""] = process.argv.slice(2);
try {
  const { kernel, initramfs, monitorTools } = await readIngredients(guest);
  const driver = new QemuDriver({ stateDirectory: join(state, "driver"), probe: { kernel, initramfs }, tools: monitorTools });
  const { accelerator, explanation } = await driver.facts();
  process.stdout.write(`${JSON.stringify({ accelerator, explanation })}\n`);
} catch (error) {
  process.stderr.write(`${errorText(error)}\n`);
  process.exitCode = 1;
}
