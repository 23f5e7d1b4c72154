/** SHA-256 of files, remembered by path, size and time of change: ingredients are hundreds of megabytes and do not change. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, rename, stat, writeFile } from "node:fs/promises";
import { VmError } from "../driver.ts";

interface Known {
  size: number;
  changedNs: string;
  digest: string;
}

const entriesMax = 256;

export class FileDigests {
  private readonly store: string;
  private known: Map<string, Known> | undefined;

  constructor(store: string) {
    this.store = store;
  }

  async digest(path: string): Promise<string> {
    const info = await stat(path, { bigint: true }).catch((cause: NodeJS.ErrnoException) => {
      throw new VmError("disk_missing", `Cannot read ${path}: ${cause.message}`, { cause });
    });
    const size = Number(info.size);
    // The time of change cannot be set back, unlike the time of modification.
    const changedNs = String(info.ctimeNs);
    const known = await this.load();
    const before = known.get(path);
    if (before && before.size === size && before.changedNs === changedNs) return before.digest;
    const digest = await digestFile(path);
    known.delete(path);
    known.set(path, { size, changedNs, digest });
    for (const oldest of known.keys()) {
      if (known.size <= entriesMax) break;
      known.delete(oldest);
    }
    await this.save(known);
    return digest;
  }

  private async load(): Promise<Map<string, Known>> {
    if (this.known) return this.known;
    const text = await readFile(this.store, "utf8").catch(() => "[]");
    let entries: [string, Known][] = [];
    try {
      entries = JSON.parse(text) as [string, Known][];
    } catch {
      // Half a file after a crash: everything is computed again.
    }
    this.known ??= new Map(entries);
    return this.known;
  }

  private async save(known: Map<string, Known>): Promise<void> {
    const temporary = `${this.store}.${process.pid}.tmp`;
    await writeFile(temporary, JSON.stringify([...known]));
    await rename(temporary, this.store);
  }
}

async function digestFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
