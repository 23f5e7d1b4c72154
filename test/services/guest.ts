/**
 * What tests with real guests need. The ingredients are kept in one directory for all runs (HELMR_TEST_GUEST_DIR, by default `.helmr/test-guest`
 * of the checkout): making them takes half a minute once. `fixture`: the guest has a supervisor that only does what it is told
 * (packages/guest/src/init/fixture-supervisor.ts); `release`: the real one.
 */
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type Ingredients, prepareGuest } from "@helmr/images/prepare";

const repository = fileURLToPath(new URL("../../", import.meta.url));
const fixture = { name: "supervisor.js", entry: `${repository}packages/guest/src/init/fixture-supervisor.ts` };

/** Where ingredients, and templates made of them, may be kept between runs. */
export function guestCacheDirectory(): string {
  return process.env["HELMR_TEST_GUEST_DIR"] ?? `${repository}.helmr/test-guest`;
}

export async function guestIngredients(kind: "fixture" | "release"): Promise<Ingredients> {
  const directory = guestCacheDirectory();
  await mkdir(directory, { recursive: true });
  return prepareGuest({ directory, progress: () => {}, ...(kind === "fixture" ? { bundles: [fixture] } : {}) });
}
