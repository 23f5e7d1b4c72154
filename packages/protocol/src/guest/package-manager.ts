/**
 * Who installs the dependencies of a project (sdk §8.1), and from which lock file: the declared package manager when its lock file is there, else the
 * one whose lock file is there, else the declared one without. The guest installs by it, the worker names the result by it.
 */
export type PackageManagerName = "npm" | "pnpm" | "yarn" | "bun";

export interface PackageManager {
  name: PackageManagerName;
  /** As package.json asks for it; undefined: what fits its lock file. */
  version: string | undefined;
  /** Path in the project. */
  lock: string | undefined;
}

export const lockFiles: Record<PackageManagerName, readonly string[]> = {
  npm: ["npm-shrinkwrap.json", "package-lock.json"],
  pnpm: ["pnpm-lock.yaml"],
  yarn: ["yarn.lock"],
  bun: ["bun.lock", "bun.lockb"],
};

/** Files of the project, besides package.json and the lock file, that change what is installed. */
export const managerSettings: Record<PackageManagerName, readonly string[]> = {
  npm: [".npmrc"],
  pnpm: [".npmrc", "pnpm-workspace.yaml", ".pnpmfile.cjs"],
  yarn: [".npmrc", ".yarnrc", ".yarnrc.yml"],
  bun: [".npmrc", "bunfig.toml"],
};

/** `declared`: the member `packageManager` of package.json. */
export function choosePackageManager(declared: unknown, has: (path: string) => boolean): PackageManager {
  const [, name = "npm", version] = /^(npm|pnpm|yarn|bun)(?:@(\d[\w.-]*))?(?:\+.*)?$/.exec(String(declared)) ?? [];
  const first = name as PackageManagerName;
  for (const candidate of [first, "npm", "pnpm", "yarn", "bun"] as const) {
    const lock = lockFiles[candidate].find(has);
    if (lock !== undefined) return { name: candidate, version: candidate === first ? version : undefined, lock };
  }
  return { name: first, version, lock: undefined };
}
