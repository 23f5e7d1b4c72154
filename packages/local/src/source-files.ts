/** When something below a folder was last changed: what is built from sources is built again when one is newer. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

const ignored = new Set(["node_modules", "dist", ".git"]);

export async function newestChange(directories: readonly string[]): Promise<number> {
  let newest = 0;
  for (const directory of directories) {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (ignored.has(entry.name)) continue;
      const path = join(directory, entry.name);
      if (entry.isDirectory()) newest = Math.max(newest, await newestChange([path]));
      else if (entry.isFile()) newest = Math.max(newest, (await stat(path)).mtimeMs);
    }
  }
  return newest;
}
