/**
 * Root keys, one file per purpose, so that no purpose can open what another sealed (engine §7). A file is JSON
 * `{ "current": "<id>", "keys": { "<id>": "<base64 of 32 bytes>" } }`; older ids stay readable after a rotation. In local mode missing files
 * are generated, readable by their owner only; elsewhere a missing file is a configuration error.
 */
import { hkdfSync, randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "./config.ts";

export const keyPurposes = ["login", "worker", "tokens", "secrets", "storage", "grants"] as const;
export type KeyPurpose = (typeof keyPurposes)[number];

export interface KeyRing {
  readonly current: string;
  /** Root key bytes by id; `undefined` for an id nobody knows (any more). */
  root(id: string): Buffer | undefined;
  readonly ids: readonly string[];
}

export type Keys = Readonly<Record<KeyPurpose, KeyRing>>;

const rootBytes = 32;

export async function loadKeys(directory: string, options: { generate: boolean }): Promise<Keys> {
  const rings: Partial<Record<KeyPurpose, KeyRing>> = {};
  const problems: string[] = [];
  if (options.generate) await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const purpose of keyPurposes) {
    const path = join(directory, `${purpose}.json`);
    const text = options.generate ? await readOrGenerate(path) : await readFile(path, "utf8").catch(() => undefined);
    const ring = text === undefined ? `${path} does not exist` : parseRing(text, path);
    if (typeof ring === "string") problems.push(ring);
    else rings[purpose] = ring;
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return rings as Keys;
}

export function newRing(): { text: string; ring: KeyRing } {
  const id = `k${randomBytes(4).toString("hex")}`;
  const text = `${JSON.stringify({ current: id, keys: { [id]: randomBytes(rootBytes).toString("base64") } }, null, 2)}\n`;
  return { text, ring: parseRing(text, "generated key") as KeyRing };
}

/** A ring per purpose that lives in memory only: for tests and benchmarks. */
export function temporaryKeys(): Keys {
  return Object.fromEntries(keyPurposes.map((purpose) => [purpose, newRing().ring])) as unknown as Keys;
}

/** 32 bytes for one use of a root key; `info` names the use and, where there is one, the tenant. */
export function deriveKey(ring: KeyRing, info: string, id: string = ring.current): Buffer | undefined {
  const root = ring.root(id);
  return root && Buffer.from(hkdfSync("sha256", root, Buffer.alloc(0), info, 32));
}

async function readOrGenerate(path: string): Promise<string> {
  const existing = await readFile(path, "utf8").catch(() => undefined);
  if (existing !== undefined) return existing;
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  const file = await open(temporary, "wx", 0o600);
  await file.writeFile(newRing().text);
  await file.sync();
  await file.close();
  try {
    // A link is made whole or not at all: two processes that start at once agree on one key.
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  return readFile(path, "utf8");
}

function parseRing(text: string, path: string): KeyRing | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return `${path} is not JSON`;
  }
  const { current, keys } = (value ?? {}) as { current?: unknown; keys?: unknown };
  if (typeof current !== "string" || typeof keys !== "object" || keys === null || !(current in keys))
    return `${path} needs "current" and "keys" with that id`;
  const roots = new Map<string, Buffer>();
  for (const [id, encoded] of Object.entries(keys)) {
    const root = typeof encoded === "string" ? Buffer.from(encoded, "base64") : Buffer.alloc(0);
    if (root.length !== rootBytes) return `${path}: key "${id}" is not ${rootBytes} bytes in base64`;
    roots.set(id, root);
  }
  return { current, ids: [...roots.keys()], root: (id) => roots.get(id) };
}
