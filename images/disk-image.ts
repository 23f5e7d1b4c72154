/** ext4 files made on the host out of a directory, for disks that are only read. Never mounted by the host's kernel. */
import { createHash } from "node:crypto";
import { lstat, open, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./command.ts";
import { fixTimes } from "./fixed-times.ts";

const blockBytes = 4096;
const inodeBytes = 256;

const fixedTime = { E2FSPROGS_FAKE_TIME: "1" };

/** What file systems choose at random. */
function uuidOf(name: string): string {
  const hex = createHash("sha256").update(name).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export interface ImageFromDirectory {
  source: string;
  target: string;
  /** Names the file system: equal trees with equal names give equal bytes. */
  name: string;
}

/** A read-only root file system: no journal, no reserved blocks, and only as big as its content. */
export async function imageFromDirectory({ source, target, name }: ImageFromDirectory): Promise<void> {
  const { bytes, entries } = await measure(source);
  // After the last look at the tree, because looking changes the times of access, and they are copied.
  await fixTimes(source);
  const inodes = entries + 256;
  const size = Math.ceil((bytes + inodes * inodeBytes) * 1.08) + 8 * 1024 * 1024;
  const uuid = uuidOf(name);
  const file = await open(target, "w");
  await file.truncate(Math.ceil(size / blockBytes) * blockBytes);
  await file.close();
  const features = "^has_journal,^resize_inode,^huge_file,^metadata_csum_seed";
  const extended = `root_owner=0:0,hash_seed=${uuid},assume_storage_prezeroed=1,lazy_itable_init=0,nodiscard`;
  const args = ["-q", "-t", "ext4", "-b", String(blockBytes), "-I", String(inodeBytes), "-N", String(inodes), "-m", "0", "-O", features];
  await run("mke2fs", [...args, "-E", extended, "-U", uuid, "-L", name.slice(0, 16), "-d", source, target], {
    env: fixedTime,
    timeoutMs: 180_000,
  });
  await fixChangeTimes(target);
}

/** The time of an inode's change is copied too, and no call can set it in the source. Inodes are given out in order, without gaps. */
async function fixChangeTimes(image: string): Promise<void> {
  const summary = await run("dumpe2fs", ["-h", image]);
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(summary)?.[1]);
  const used = field("Inode count") - field("Free inodes");
  const script = `${image}.debugfs`;
  await writeFile(script, Array.from({ length: used }, (_, index) => `set_inode_field <${index + 1}> ctime @1\n`).join(""));
  await run("debugfs", ["-w", "-f", script, image], { env: fixedTime, timeoutMs: 120_000 });
  await rm(script);
}

async function measure(directory: string): Promise<{ bytes: number; entries: number }> {
  let bytes = 0;
  let entries = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    entries += 1;
    if (entry.isDirectory()) bytes += blockBytes;
    else if (entry.isFile()) bytes += Math.ceil((await lstat(join(entry.parentPath, entry.name))).size / blockBytes) * blockBytes;
  }
  return { bytes, entries };
}
