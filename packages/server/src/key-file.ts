/**
 * The key ring of a single-machine install: generated at first start into a file that only its owner can read. Two processes that start at once
 * agree on one ring: the file appears whole and under its final name only once (a hard link fails when the name is taken).
 */
import { link, mkdir, open, readFile, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { type Config, ConfigError } from "./config.ts";
import { randomText } from "./credentials.ts";
import { generateKeyRing, type KeyRing, keyRingText, parseKeyRing, withContentKeys } from "./key-ring.ts";

export class KeyFileError extends Error {
  override name = "KeyFileError";
  readonly path: string;
  constructor(message: string, path: string) {
    super(message);
    this.path = path;
  }
}

/** The ring of a process: given in the environment (Secrets Manager), else a file, which is made at first start on one machine only. */
export async function loadKeyRing(
  config: Pick<Config, "keyRing" | "keyFile" | "mode"> & Partial<Pick<Config, "checkpointKey">>,
): Promise<KeyRing> {
  const ring = await ownRing(config);
  if (config.checkpointKey === undefined || config.checkpointKey === "") return ring;
  const parsed = withContentKeys(ring, config.checkpointKey);
  if (!parsed.ok) throw new ConfigError(parsed.problems.map((problem) => `HELMR_CHECKPOINT_ENCRYPTION_KEY: ${problem}`));
  return parsed.ring;
}

async function ownRing(config: Pick<Config, "keyRing" | "keyFile" | "mode">): Promise<KeyRing> {
  if (config.keyRing === "") return readKeyFile(config.keyFile, { create: config.mode === "local" });
  const parsed = parseKeyRing(config.keyRing);
  if (!parsed.ok) throw new ConfigError(parsed.problems.map((problem) => `HELMR_KEY_RING: ${problem}`));
  return parsed.ring;
}

/** Reads the ring; with `create` a missing file is made first. */
export async function readKeyFile(path: string, options: { create: boolean }): Promise<KeyRing> {
  if (options.create) await createOnce(path);
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new KeyFileError(
      `Cannot read the key file ${path}: ${error.code ?? error.message}. Restore it from a backup; without it stored secrets cannot be opened.`,
      path,
    );
  });
  if ((info.mode & 0o077) !== 0) {
    throw new KeyFileError(
      `The key file ${path} has mode ${(info.mode & 0o777).toString(8)}: others may read it. Run: chmod 600 ${path}`,
      path,
    );
  }
  const parsed = parseKeyRing(await readFile(path, "utf8"));
  if (!parsed.ok) throw new KeyFileError(`The key file ${path} cannot be used: ${parsed.problems.join("; ")}`, path);
  return parsed.ring;
}

async function createOnce(path: string): Promise<void> {
  if (await exists(path)) return;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomText(12)}`;
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.writeFile(keyRingText(generateKeyRing()));
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await unlink(temporary);
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
