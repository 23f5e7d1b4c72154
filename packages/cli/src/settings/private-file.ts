/**
 * Files that hold settings and credentials: directory 0700, file 0600, replaced as a whole. A reader sees the old content or the new one,
 * never a part, and never a moment in which others may read it.
 */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { Failure, reasonOf } from "../failure.ts";

export async function readTextFile(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Failure(`cannot read ${file}: ${reasonOf(error)}`, { cause: error });
  }
}

export async function writePrivateFile(file: string, content: string): Promise<void> {
  const directory = path.dirname(file);
  const temporary = path.join(directory, `.${path.basename(file)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await ensurePrivateDirectory(directory);
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new Failure(`cannot write ${file}: ${reasonOf(error)}`, { cause: error });
  }
}

/** A directory of ours that others may enter is closed; one that is shared by its nature (sticky, like /tmp) or not ours is left alone. */
async function ensurePrivateDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const found = await stat(directory);
  const ours = process.getuid === undefined || found.uid === process.getuid();
  const sticky = (found.mode & 0o1000) !== 0;
  if (ours && !sticky && (found.mode & 0o077) !== 0) await chmod(directory, 0o700);
}

/** Refuses a file that others may read and says how to mend it. Windows has no such modes. */
export async function refuseSharedFile(file: string, platform: NodeJS.Platform): Promise<void> {
  if (platform === "win32") return;
  const found = await stat(file).catch(() => undefined);
  if (found === undefined || (found.mode & 0o077) === 0) return;
  const mode = (found.mode & 0o777).toString(8).padStart(4, "0");
  throw new Failure(`${file} holds login tokens but others may read it (mode ${mode}); run: chmod 600 ${file}`);
}
