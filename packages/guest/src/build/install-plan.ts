/**
 * What is installed for a project: its production dependencies, at the root of the task tree, where both the compiled tasks and the source find
 * them. Two things differ from the project's own package.json and lock file:
 *
 *   The SDK is left out. It is the platform's, belongs to this release and comes from the substrate; a project that needs nothing else needs
 *   no registry. When another package depends on it, it stays where the lock says.
 *   Paths (`file:` dependencies, workspaces) are moved, because the source stands below the root of the tree.
 *
 * npm installs at the root of the tree. Other package managers, whose lock files cannot be moved so, install in the source, and what they made is moved.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { choosePackageManager, type PackageManager } from "@helmr/protocol/guest";
import { type ConfinedTree, PathError } from "../supervisor/confined-tree.ts";
import { buildLimits } from "./build-limits.ts";
import { ProjectError } from "./builder-pipe.ts";
import { withoutSdk } from "./lock-edits.ts";

const sdkName = "@helmr/sdk";

interface Manifest {
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  workspaces?: unknown;
  [key: string]: unknown;
}

interface LockEntry extends Manifest {
  resolved?: string;
  link?: boolean;
}

export interface InstallPlan {
  manager: PackageManager;
  /** Where it runs, as a path in the tree; empty: its root. */
  place: string;
  /** In that place while it runs. `before`: what stands there otherwise. */
  files: { name: string; content: string; before: string | undefined }[];
  /** Content of the lock file as it was sent, when it is text. */
  lock: string | undefined;
}

/** undefined: there is nothing to install. `source` is where the project's source is in the tree. */
export function planInstall(tree: ConfinedTree, source: string): InstallPlan | undefined {
  const text = readText(tree, `${source}/package.json`, buildLimits.packageJsonBytes);
  if (text === undefined) throw new ProjectError("bad_request", "package.json is missing at the root of the project");
  const declared = parseObject(text, "package.json") as Manifest;
  const moved = movedManifest(declared, source);
  if (Object.keys(moved.dependencies ?? {}).length === 0 && Object.keys(moved.optionalDependencies ?? {}).length === 0) return undefined;
  const locks = new Map<string, string>();
  const manager = choosePackageManager(declared["packageManager"], (path) => {
    const lock = readText(tree, `${source}/${path}`, buildLimits.lockBytes);
    if (lock !== undefined) locks.set(path, lock);
    return lock !== undefined;
  });
  const lock = manager.lock === undefined ? undefined : locks.get(manager.lock);
  return manager.name === "npm" ? planNpm(tree, { source, moved, manager, lock }) : planOther({ source, text, declared, manager, lock });
}

interface Chosen {
  source: string;
  manager: PackageManager;
  lock: string | undefined;
}

function planNpm(tree: ConfinedTree, { source, moved, manager, lock }: Chosen & { moved: Manifest }): InstallPlan {
  // Scripts of the project itself prepare a checkout (husky and the like); those of its dependencies do run.
  const { scripts: _scripts, ...manifest } = moved;
  const npmrc = readText(tree, `${source}/.npmrc`, buildLimits.packageJsonBytes);
  const files = npmrc === undefined ? [] : [{ name: ".npmrc", content: npmrc, before: undefined }];
  if (lock !== undefined && manager.lock !== undefined)
    files.push({ name: manager.lock, content: movedLock({ text: lock, name: manager.lock, source, manifest }), before: undefined });
  files.push({ name: "package.json", content: JSON.stringify(manifest, null, 2), before: undefined });
  return { manager, place: "", files, lock };
}

function planOther({ source, text, declared, manager, lock }: Chosen & { text: string; declared: Manifest }): InstallPlan {
  const { scripts: _scripts, packageManager: _manager, ...manifest } = declared;
  for (const member of ["dependencies", "optionalDependencies"] as const) {
    const { [sdkName]: _sdk, ...others } = manifest[member] ?? {};
    if (manifest[member] !== undefined) manifest[member] = others;
  }
  // Those that have a flag for it compare the rest with their lock file.
  if (manager.name === "bun" || lock?.includes("__metadata:") === true) delete manifest["devDependencies"];
  const files = [{ name: "package.json", content: JSON.stringify(manifest, null, 2), before: text }];
  if (manager.name === "pnpm" && manager.lock !== undefined && lock !== undefined)
    files.push({ name: manager.lock, content: withoutSdk(lock), before: lock });
  else if (manager.lock !== undefined && lock !== undefined && manager.lock !== "bun.lockb")
    files.push({ name: manager.lock, content: lock, before: lock });
  return { manager, place: source, files, lock };
}

function movedManifest(manifest: Manifest, source: string): Manifest {
  const moved: Manifest = { ...manifest };
  for (const member of ["dependencies", "optionalDependencies"] as const) {
    if (manifest[member] !== undefined) moved[member] = movedDependencies(manifest[member], source);
  }
  if (Array.isArray(manifest.workspaces)) moved.workspaces = manifest.workspaces.map((pattern) => movedPath(String(pattern), source));
  return moved;
}

function movedDependencies(dependencies: Record<string, string>, source: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(dependencies)
      .filter(([name]) => name !== sdkName)
      .map(([name, range]) => [name, /^file:(?!\/|~)/.test(range) ? `file:${movedPath(range.slice(5), source)}` : range]),
  );
}

function movedPath(path: string, source: string): string {
  return `${source}/${path.replace(/^\.\//, "")}`;
}

interface LockMove {
  text: string;
  name: string;
  source: string;
  manifest: Manifest;
}

function movedLock({ text, name, source, manifest }: LockMove): string {
  const lock = parseObject(text, name);
  const packages = lock["packages"] as Record<string, LockEntry> | undefined;
  const root = packages?.[""];
  if (packages === undefined || root === undefined)
    throw new ProjectError("dependencies_failed", `${name} has no "packages": write it again with npm 7 or newer`);
  const keepsSdk = Object.entries(packages).some(
    ([path, entry]) => path !== "" && sdkName in { ...entry.dependencies, ...entry.optionalDependencies },
  );
  const moved: Record<string, LockEntry> = {};
  for (const [path, entry] of Object.entries(packages)) {
    if (path === "") moved[path] = movedManifest(entry, source);
    else if (path === `node_modules/${sdkName}` && !keepsSdk) continue;
    else
      moved[path.startsWith("node_modules/") ? path : movedPath(path, source)] =
        entry.link === true && entry.resolved !== undefined ? { ...entry, resolved: movedPath(entry.resolved, source) } : entry;
  }
  const range = root.dependencies?.[sdkName];
  if (keepsSdk && range !== undefined) {
    manifest.dependencies = { ...manifest.dependencies, [sdkName]: range };
    (moved[""] as LockEntry).dependencies = { ...moved[""]?.dependencies, [sdkName]: range };
  }
  return JSON.stringify({ ...lock, packages: moved }, null, 2);
}

function parseObject(text: string, name: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    throw new ProjectError("bad_request", `${name} is no JSON: ${(error as Error).message}`);
  }
  throw new ProjectError("bad_request", `${name} must hold a JSON object`);
}

function readText(tree: ConfinedTree, path: string, bytesMax: number): string | undefined {
  try {
    const place = tree.locate(path, { followLast: true });
    const fd = openSync(place.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    place.close();
    try {
      const status = fstatSync(fd);
      if (!status.isFile()) return undefined;
      if (status.size > bytesMax) throw new ProjectError("bad_request", `${path} has ${status.size} bytes; the limit is ${bytesMax}`);
      return readFileSync(fd, "utf8");
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof PathError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
