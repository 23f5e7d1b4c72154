/** Times are part of an image's bytes: every file of a tree gets the same one. */
import { lutimes, readdir } from "node:fs/promises";
import { join } from "node:path";

export async function fixTimes(tree: string): Promise<void> {
  for (const entry of await readdir(tree, { recursive: true, withFileTypes: true }))
    await lutimes(join(entry.parentPath, entry.name), 1, 1);
  await lutimes(tree, 1, 1);
}
