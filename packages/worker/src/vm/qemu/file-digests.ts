/** Digests of files, remembered by path, size and time of change: ingredients are hundreds of megabytes and do not change. */
import { createHash, randomBytes } from "node:crypto";
import { open, readFile, rename, stat, writeFile } from "node:fs/promises";
import { dataExtents } from "../../disks/data-extents.ts";
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
    // Two that are computed side by side are two writers.
    const temporary = `${this.store}.${randomBytes(6).toString("hex")}.tmp`;
    await writeFile(temporary, JSON.stringify([...known]));
    await rename(temporary, this.store);
  }
}

const blockBytes = 64 * 1024;
const readBytes = 16 * blockBytes;
const zeros = Buffer.alloc(blockBytes);

/**
 * SHA-256 over the size and every block that is not zero, with its place: an image's disk of 16 GiB costs what is in it, and a hole counts the same
 * as zeros that were written, because hosts have different ones.
 */
async function digestFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await using file = await open(path, "r");
  const { size } = await file.stat();
  hash.update(`${size}\n`);
  const buffer = Buffer.allocUnsafe(readBytes);
  let done = 0;
  for (const { start, end } of await dataExtents(path)) {
    for (let at = Math.max(done, start - (start % blockBytes)); at < end; at += readBytes) {
      const { bytesRead } = await file.read(buffer, 0, readBytes, at);
      for (let block = 0; block < bytesRead; block += blockBytes) {
        const bytes = buffer.subarray(block, Math.min(block + blockBytes, bytesRead));
        if (!bytes.equals(zeros.subarray(0, bytes.length))) hash.update(`${at + block}\n`).update(bytes);
      }
      done = at + readBytes;
    }
  }
  return hash.digest("hex");
}
