/**
 * How each package manager is fetched and told to install what its lock file says. npm is the image's own; the others come from the registry, in the
 * version that package.json names, for this installation only.
 */
import type { PackageManager } from "@helmr/protocol/guest";

export interface ManagerCommands {
  /** Brings the package manager; undefined: it is there. */
  fetch: string[] | undefined;
  install: string[];
  environment: Record<string, string>;
}

/** As the tenant sees it: the package manager, its caches, everything that is of no use afterwards. */
export const installHome = "/tmp/helmr-install";

const quietNpm = ["--no-audit", "--no-fund", "--no-progress", "--no-update-notifier"];

export interface InstallTarget {
  /** Content of the lock file, for a package manager whose version nobody names. */
  lock: string | undefined;
  arch: string;
  isMusl: boolean;
}

export function managerCommands(manager: PackageManager, { lock, arch, isMusl }: InstallTarget): ManagerCommands {
  const environment = { ...commonEnvironment, npm_config_package_lock: manager.name === "npm" && lock === undefined ? "false" : "true" };
  if (manager.name === "npm")
    return { fetch: undefined, install: ["npm", lock === undefined ? "install" : "ci", "--omit=dev", ...quietNpm], environment };
  const bun = bunPackage(arch, isMusl);
  const spec = manager.name === "bun" ? `${bun}@${manager.version ?? "1"}` : packageOf(manager, lock ?? "");
  const program = `${installHome}/manager/node_modules/${manager.name === "bun" ? `${bun}/bin/bun` : `.bin/${manager.name}`}`;
  const fetch = ["npm", "install", "--global=false", "--ignore-scripts=false", `--prefix=${installHome}/manager`, ...quietNpm, spec];
  return { fetch, install: [program, "install", ...flagsOf(manager, { spec, hasLock: lock !== undefined })], environment };
}

/** The one program that runs here: the package `bun` would bring it for every libc and processor, 90 MB each. */
function bunPackage(arch: string, isMusl: boolean): string {
  return `@oven/bun-linux-${arch === "arm64" ? "aarch64" : "x64"}${isMusl ? "-musl" : ""}${arch === "arm64" ? "" : "-baseline"}`;
}

function packageOf({ name, version }: PackageManager, lock: string): string {
  if (name === "pnpm") return `pnpm@${version ?? (/^lockfileVersion: '?[56]/m.test(lock) ? "8" : "9")}`;
  const isBerry = version === undefined ? lock.includes("__metadata:") : !/^[01](\.|$)/.test(version);
  if (!isBerry) return `yarn@${version ?? "1"}`;
  return `@yarnpkg/cli-dist@${version ?? (/^ {2}version: [4-7]$/m.test(lock) ? "3" : "4")}`;
}

function flagsOf({ name }: PackageManager, { spec, hasLock }: { spec: string; hasLock: boolean }): string[] {
  if (name === "pnpm")
    // Hoisted: a tree that can be moved, and that packages of the project find from wherever they are.
    return [
      "--prod",
      `--store-dir=${installHome}/store`,
      "--config.node-linker=hoisted",
      "--config.confirm-modules-purge=false",
      ...(hasLock ? ["--frozen-lockfile"] : ["--no-lockfile"]),
    ];
  if (name === "bun") return ["--no-progress", ...(hasLock ? [] : ["--no-save"])];
  if (spec.startsWith("@yarnpkg/")) return [];
  return ["--production", "--non-interactive", "--no-progress", hasLock ? "--frozen-lockfile" : "--no-lockfile"];
}

const commonEnvironment: Record<string, string> = {
  CI: "1",
  npm_config_cache: `${installHome}/npm`,
  // A registry that cannot be reached is known soon.
  npm_config_fetch_retry_mintimeout: "1000",
  npm_config_fetch_retry_maxtimeout: "10000",
  XDG_CACHE_HOME: `${installHome}/cache`,
  XDG_CONFIG_HOME: `${installHome}/config`,
  XDG_DATA_HOME: `${installHome}/data`,
  XDG_STATE_HOME: `${installHome}/state`,
  BUN_INSTALL_CACHE_DIR: `${installHome}/bun`,
  YARN_CACHE_FOLDER: `${installHome}/yarn-cache`,
  YARN_ENABLE_GLOBAL_CACHE: "false",
  YARN_ENABLE_IMMUTABLE_INSTALLS: "false",
  YARN_ENABLE_TELEMETRY: "0",
  YARN_GLOBAL_FOLDER: `${installHome}/yarn`,
  YARN_IGNORE_PATH: "1",
  YARN_INSTALL_STATE_PATH: `${installHome}/yarn-state.gz`,
  YARN_NODE_LINKER: "node-modules",
};
