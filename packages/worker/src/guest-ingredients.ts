/** What the preparation has made for guests (images/prepare.ts writes the file): paths of this host. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";

const ingredients = z.object({
  kernel: z.string(),
  initramfs: z.string(),
  substrate: z.string(),
  baseImage: z.object({ path: z.string() }),
  /** Small programs of the monitor, by name. */
  monitorTools: z.record(z.string(), z.string()),
});
export type GuestIngredients = z.output<typeof ingredients>;

export class GuestNotPrepared extends Error {
  override name = "GuestNotPrepared";
  readonly code = "guest_not_prepared";
}

export async function readIngredients(directory: string): Promise<GuestIngredients> {
  const path = join(directory, "ingredients.json");
  try {
    return ingredients.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    throw new GuestNotPrepared(`${path} does not describe a prepared guest. Run ./helmr up, or prepare the guest, first.`, { cause });
  }
}
