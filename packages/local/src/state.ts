/**
 * Where a single-machine install keeps everything: one state directory (`.helmr/` of the checkout, or HELMR_STATE_DIR).
 *
 *   install.json      made at the first `up`: ports, enrollment secret (0600)
 *   supervisor.json   while something runs: the supervisor's pid and start time, what it started, the addresses
 *   client.env        HELMR_API_URL and HELMR_API_KEY for the command line (0600)
 *   logs/             one file per component
 *   data/             what unprivileged processes must reach: postgres/, guest/, worker/, server/
 *
 * PostgreSQL and the virtual machines run as users of their own, who cannot enter a checkout below a 0700 home. In that case `data` is a
 * link to a directory of this install below /var/lib/helmr; `down --purge` removes both.
 */
import { createHash } from "node:crypto";
import { access, chmod, mkdir, readFile, readlink, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

export interface StateLayout {
  root: string;
  /** Real place of `data/`. */
  data: string;
  install: string;
  supervisor: string;
  clientEnv: string;
  logs: string;
}

/** Paths only; nothing is made. */
export async function findState(directory: string): Promise<StateLayout> {
  const root = resolve(directory);
  const link = join(root, "data");
  const data = await readlink(link).catch(() => link);
  return {
    root,
    data,
    install: join(root, "install.json"),
    supervisor: join(root, "supervisor.json"),
    clientEnv: join(root, "client.env"),
    logs: join(root, "logs"),
  };
}

export async function prepareState(directory: string): Promise<StateLayout> {
  const root = resolve(directory);
  await mkdir(root, { recursive: true });
  const data = join(root, "data");
  if (!(await exists(data))) {
    if (await othersMayEnter(root)) await mkdir(data, { mode: 0o755 });
    else await linkOutside(root, data);
  }
  const layout = await findState(root);
  await mkdir(layout.logs, { recursive: true, mode: 0o700 });
  for (const name of ["postgres", "guest", "worker", "server"]) await mkdir(join(layout.data, name), { recursive: true });
  await chmod(layout.data, 0o755);
  return layout;
}

async function linkOutside(root: string, data: string): Promise<void> {
  const id = createHash("sha256").update(root).digest("hex").slice(0, 12);
  const outside = join("/var/lib/helmr", id);
  await mkdir(outside, { recursive: true, mode: 0o755 });
  await chmod(dirname(outside), 0o755);
  await symlink(outside, data);
}

/** Every directory up to the root lets other users pass. */
async function othersMayEnter(directory: string): Promise<boolean> {
  if (process.getuid?.() !== 0) return true;
  for (let at = directory; ; at = dirname(at)) {
    const info = await stat(at);
    if ((info.mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

/** Removes the install with everything in it, the part outside included. */
export async function purgeState(layout: StateLayout): Promise<void> {
  if (layout.data !== join(layout.root, "data") && layout.data.startsWith("/var/lib/helmr/"))
    await rm(layout.data, { recursive: true, force: true });
  await rm(layout.root, { recursive: true, force: true });
}

export async function readJson<T>(path: string): Promise<T | undefined> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as T;
  } catch {
    // A file that a crash cut short says nothing; its writer makes it again.
    return undefined;
  }
}

let writes = 0;

/** Readers never see half a file. */
export async function writePrivate(path: string, text: string): Promise<void> {
  const staging = `${path}.${process.pid}.${(writes += 1)}.new`;
  await writeFile(staging, text, { mode: 0o600 });
  await rename(staging, path);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
