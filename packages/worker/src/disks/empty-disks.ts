/**
 * Pre-made empty ext4 devices, one sparse file per size, made once (10 ms) and then only read: every workspace and every scratch disk starts
 * as an overlay over one. Made from fixed ids and times, so all workers have the same bytes and a tenant's first captures share their
 * chunks.
 *
 *   workspace   a small journal: it is mounted again after a crash. Inode tables count as zeroed, so that no kernel fills them with zeros in
 *               the background. `lost+found` is removed: it would show up in the tree.
 *   scratch     no journal: it ends with its machine.
 *
 * Files of an earlier boot of the host may be torn and are made again.
 */
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readBootId } from "../host/boot-id.ts";
import { runCommand } from "../host/run-command.ts";
import type { ByteRange } from "./byte-ranges.ts";
import { dataExtents } from "./data-extents.ts";

export type EmptyKind = "workspace" | "scratch";

export interface EmptyDisk {
  path: string;
  sizeBytes: number;
  /** Where the file is not zero. */
  extents: ByteRange[];
}

/** Changes whenever the options below do, so that files of an older worker are not used. */
const format = "1";
const fixedId = "6d1c1b1e-7c1f-4f0e-9b37-0a4c6b8e5f10";
const fixedTime = "1700000000";
const limitMs = 30_000;
const journalMib = 8;
const smallDeviceBytes = 64 * 1024 * 1024;
export const smallestDiskBytes = 16 * 1024 * 1024;

export class EmptyDisks {
  private readonly directory: string;
  private readonly ready = new Map<string, Promise<EmptyDisk>>();

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async open(directory: string): Promise<EmptyDisks> {
    await mkdir(directory, { recursive: true, mode: 0o711 });
    const bootId = await readBootId();
    const marker = join(directory, "boot-id");
    const before = await readFile(marker, "utf8").catch(() => "");
    for (const name of await readdir(directory)) {
      if (before !== bootId || name.endsWith(".partial")) await rm(join(directory, name), { force: true });
    }
    await writeFile(marker, bootId);
    return new EmptyDisks(directory);
  }

  get(kind: EmptyKind, sizeBytes: number): Promise<EmptyDisk> {
    const name = `${kind}-${format}-${sizeBytes}.raw`;
    const known = this.ready.get(name);
    if (known !== undefined) return known;
    const made = this.find(join(this.directory, name), kind, sizeBytes);
    this.ready.set(name, made);
    // A failure (a full disk, say) is not remembered.
    made.catch(() => this.ready.delete(name));
    return made;
  }

  private async find(path: string, kind: EmptyKind, sizeBytes: number): Promise<EmptyDisk> {
    const file = await open(path, "r").catch(() => undefined);
    await file?.close();
    if (file === undefined) await make(path, kind, sizeBytes);
    return { path, sizeBytes, extents: await dataExtents(path) };
  }
}

async function make(path: string, kind: EmptyKind, sizeBytes: number): Promise<void> {
  const partial = `${path}.${process.pid}.partial`;
  const env = { E2FSPROGS_FAKE_TIME: fixedTime };
  try {
    // Readable by the unprivileged user that the monitor runs as: there is nothing of anybody in it.
    const file = await open(partial, "w", 0o644);
    await file.truncate(sizeBytes);
    await file.close();
    await runCommand("mke2fs", [...mkfsOptions(kind, sizeBytes), partial], { timeoutMs: limitMs, env });
    await runCommand("debugfs", ["-w", "-R", "rmdir lost+found", partial], { timeoutMs: limitMs, env });
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
}

function mkfsOptions(kind: EmptyKind, sizeBytes: number): string[] {
  const journal = sizeBytes < smallDeviceBytes ? 4 : journalMib;
  const ofKind = kind === "scratch" ? ["-O", "^has_journal"] : ["-J", `size=${journal}`];
  const extended = `lazy_itable_init=1,lazy_journal_init=1,hash_seed=${fixedId},root_owner=0:0`;
  return ["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "8192", "-m", "0", "-U", fixedId, ...ofKind, "-E", extended];
}
