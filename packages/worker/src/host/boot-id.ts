/** Which boot of this host it is. Files that were not flushed are whole as long as it has not changed. */
import { readFile } from "node:fs/promises";

export async function readBootId(): Promise<string> {
  try {
    return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  } catch {
    // No Linux: never the same, so that cached files are verified again.
    return crypto.randomUUID();
  }
}
