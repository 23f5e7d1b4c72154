/**
 * Production dependencies of a project (sdk §8.1), installed with npm where the compiled tasks find them. The SDK itself is not installed: it
 * is the platform's, belongs to this release and comes from the substrate; a project that needs nothing else needs no registry.
 */
import { closeSync, constants, fchownSync, fstatSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ConfinedTree } from "../supervisor/confined-tree.ts";
import { PathError } from "../supervisor/confined-tree.ts";
import type { BuildGround } from "../supervisor/supervisor.ts";
import { buildLimits } from "./build-limits.ts";
import { ProjectError } from "./builder-pipe.ts";
import type { TailOutput } from "./tail-output.ts";
import { startStep } from "./tenant-step.ts";

const sdkName = "@helmr/sdk";

export interface InstallOptions {
  tree: ConfinedTree;
  /** Where the project's source is in the tree. */
  source: string;
  owner: { uid: number; gid: number };
  /** The tree as the tenant sees it. */
  directory: string;
  output: TailOutput;
  limitMs: number;
}

interface Manifest {
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  [key: string]: unknown;
}

export interface InstallPlan {
  /** package.json without what an installation of production dependencies must not see. */
  manifest: Manifest;
  /** Name of the lock file and its content without the SDK. */
  lock: { name: string; content: string } | undefined;
  npmrc: string | undefined;
}

/** undefined: there is nothing to install. */
export function planInstall(tree: ConfinedTree, source: string): InstallPlan | undefined {
  const text = readText(tree, `${source}/package.json`, buildLimits.packageJsonBytes);
  if (text === undefined) throw new ProjectError("bad_request", "package.json is missing at the root of the project");
  const declared = parseObject(text, "package.json") as Manifest;
  const dependencies = without(declared.dependencies);
  const optionalDependencies = without(declared.optionalDependencies);
  if (Object.keys(dependencies).length === 0 && Object.keys(optionalDependencies).length === 0) return undefined;
  // Scripts of the project itself prepare a checkout (husky and the like); those of its dependencies do run.
  const { scripts: _scripts, ...rest } = declared;
  const manifest = { ...rest, dependencies, optionalDependencies };
  for (const name of ["package-lock.json", "npm-shrinkwrap.json"]) {
    const lock = readText(tree, `${source}/${name}`, buildLimits.lockBytes);
    if (lock !== undefined) return completePlan({ tree, source, manifest }, { name, content: lockWithoutSdk(lock, name, manifest) });
  }
  return completePlan({ tree, source, manifest }, undefined);
}

function completePlan(from: { tree: ConfinedTree; source: string; manifest: Manifest }, lock: InstallPlan["lock"]): InstallPlan {
  return { manifest: from.manifest, lock, npmrc: readText(from.tree, `${from.source}/.npmrc`, buildLimits.packageJsonBytes) };
}

/** When another package needs the SDK it must stay where the lock says. */
function lockWithoutSdk(text: string, name: string, manifest: Manifest): string {
  const lock = parseObject(text, name);
  const packages = lock["packages"] as Record<string, Manifest> | undefined;
  const root = packages?.[""];
  if (packages === undefined || root === undefined)
    throw new ProjectError("dependencies_failed", `${name} has no "packages": update it with npm 7 or newer`);
  const users = Object.entries(packages).filter(
    ([path, entry]) => path !== "" && sdkName in { ...entry.dependencies, ...entry.optionalDependencies },
  );
  if (users.length > 0) {
    manifest.dependencies = { ...manifest.dependencies, [sdkName]: root.dependencies?.[sdkName] ?? "*" };
    return text;
  }
  root.dependencies = without(root.dependencies);
  root.optionalDependencies = without(root.optionalDependencies);
  delete packages[`node_modules/${sdkName}`];
  return JSON.stringify(lock, null, 2);
}

function without(dependencies: Record<string, string> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(dependencies ?? {}).filter(([name]) => name !== sdkName));
}

const written = ["package.json", ".npmrc", "package-lock.json", "npm-shrinkwrap.json"];

export async function installDependencies(plan: InstallPlan, ground: BuildGround, options: InstallOptions): Promise<void> {
  const { tree, owner, output } = options;
  writeText(tree, { path: "package.json", text: JSON.stringify(plan.manifest, null, 2), owner });
  if (plan.lock !== undefined) writeText(tree, { path: plan.lock.name, text: plan.lock.content, owner });
  if (plan.npmrc !== undefined) writeText(tree, { path: ".npmrc", text: plan.npmrc, owner });
  const command = [
    "npm",
    plan.lock === undefined ? "install" : "ci",
    "--omit=dev",
    "--no-audit",
    "--no-fund",
    "--no-progress",
    "--no-update-notifier",
  ];
  output.line(`$ ${command.slice(0, 3).join(" ")}`);
  const { exit, timedOut, outOfMemory } = await startStep(ground, {
    command,
    cwd: options.directory,
    environment: { CI: "1", npm_config_cache: "/tmp/helmr-npm", npm_config_package_lock: plan.lock === undefined ? "false" : "true" },
    network: true,
    pipes: false,
    output,
    limitMs: options.limitMs,
  }).ended;
  for (const name of written) removeText(tree, name);
  if (timedOut) throw new ProjectError("timeout", "The build ran out of time while dependencies were installed");
  if (outOfMemory) throw new ProjectError("out_of_memory", "The build ran out of memory while dependencies were installed");
  if (exit.kind === "not_started")
    throw new ProjectError(
      "dependencies_failed",
      `npm could not be started: ${exit.text}. Use an image with npm, or install the dependencies in the image at ${options.directory}/node_modules`,
    );
  if (exit.code !== 0)
    throw new ProjectError("dependencies_failed", `npm ended with ${exit.signal ?? `code ${exit.code}`}:\n${output.tail}`);
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

export function readText(tree: ConfinedTree, path: string, bytesMax: number): string | undefined {
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

function writeText(tree: ConfinedTree, file: { path: string; text: string; owner: { uid: number; gid: number } }): void {
  removeText(tree, file.path);
  const place = tree.locate(file.path);
  try {
    const fd = openSync(place.path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
    writeFileSync(fd, file.text);
    fchownSync(fd, file.owner.uid, file.owner.gid);
    closeSync(fd);
  } finally {
    place.close();
  }
}

function removeText(tree: ConfinedTree, path: string): void {
  const place = tree.locate(path);
  try {
    rmSync(place.path, { force: true });
  } finally {
    place.close();
  }
}
