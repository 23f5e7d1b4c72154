/** Production dependencies of a project (sdk §8.1), installed by its package manager where the compiled tasks find them. */
import {
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, posix } from "node:path";
import { type ConfinedTree, PathError } from "../supervisor/confined-tree.ts";
import { removeFile } from "../supervisor/live-files.ts";
import type { BuildGround } from "../supervisor/supervisor.ts";
import { ProjectError } from "./builder-pipe.ts";
import type { InstallPlan } from "./install-plan.ts";
import { addedPackages } from "./lock-edits.ts";
import { type ManagerCommands, managerCommands } from "./manager-commands.ts";
import type { TailOutput } from "./tail-output.ts";
import { startStep } from "./tenant-step.ts";

export interface InstallOptions {
  tree: ConfinedTree;
  owner: { uid: number; gid: number };
  /** The tree as the tenant sees it. */
  directory: string;
  output: TailOutput;
  limitMs: number;
}

type StepParts = Pick<BuildGround, "tool" | "groups" | "attachment">;

const modules = "node_modules";

/** There is no npm to install with: nothing was done. */
export class ManagerMissing extends ProjectError {}

export async function installDependencies(plan: InstallPlan, ground: StepParts, options: InstallOptions): Promise<void> {
  const { tree, owner } = options;
  const at = (name: string) => posix.join(plan.place, name);
  const commands = managerCommands(plan.manager, { lock: plan.lock, arch: process.arch, isMusl: isMusl(ground) });
  const deadline = performance.now() + options.limitMs;
  const environment = { ...commands.environment, ...registryOf(ground) };
  for (const { name, content } of plan.files) writeText(tree, { path: at(name), text: content, owner });
  try {
    for (const command of [commands.fetch, commands.install]) {
      if (command === undefined) continue;
      const cwd = command === commands.fetch ? options.directory : posix.join(options.directory, plan.place);
      await run(command, ground, { ...options, cwd, environment, limitMs: Math.max(0, deadline - performance.now()) });
    }
    refuseAdded(plan, tree);
  } finally {
    for (const { name, before } of plan.files) {
      if (before === undefined) removeText(tree, at(name));
      else writeText(tree, { path: at(name), text: before, owner });
    }
  }
  if (plan.place !== "") moveModules(tree, plan.place);
}

/** The image's C library, by its loader. */
function isMusl({ attachment }: StepParts): boolean {
  try {
    const place = attachment.root.locate("/lib/x");
    try {
      return readdirSync(`/proc/self/fd/${place.directoryFd}/.`).some((name) => name.startsWith("ld-musl-"));
    } finally {
      place.close();
    }
  } catch (error) {
    if (error instanceof PathError) return false;
    throw error;
  }
}

/** Yarn asks a registry of its own when it is not told of another one by its own variables. */
function registryOf(ground: StepParts): Record<string, string> {
  const registry = ground.attachment.environment({})["npm_config_registry"];
  if (registry === undefined || !URL.canParse(registry)) return {};
  return {
    YARN_REGISTRY: registry,
    YARN_NPM_REGISTRY_SERVER: registry.replace(/\/$/, ""),
    YARN_UNSAFE_HTTP_WHITELIST: new URL(registry).hostname,
  };
}

async function run(
  command: ManagerCommands["install"],
  ground: StepParts,
  options: InstallOptions & { cwd: string; environment: Record<string, string> },
): Promise<void> {
  const { output, cwd, environment, limitMs } = options;
  const [program = "", ...rest] = command;
  const name = posix.basename(program);
  output.line(`$ ${[name, ...rest.filter((word) => !word.startsWith("--no-"))].join(" ")}`);
  const { exit, timedOut, outOfMemory } = await startStep(ground, {
    command,
    cwd,
    environment,
    network: true,
    pipes: false,
    output,
    limitMs,
  }).ended;
  if (timedOut) throw new ProjectError("timeout", "The build ran out of time while dependencies were installed");
  if (outOfMemory) throw new ProjectError("out_of_memory", "The build ran out of memory while dependencies were installed");
  if (exit.kind === "not_started")
    throw new ManagerMissing(
      "dependencies_failed",
      `${name} could not be started: ${exit.text}. Use an image with npm, or install the dependencies in the image at ${options.directory}/node_modules`,
    );
  if (exit.code !== 0)
    throw new ProjectError("dependencies_failed", `${name} ended with ${exit.signal ?? `code ${exit.code}`}:\n${output.tail}`);
}

/** What the lock file does not know was not what the author has seen. */
function refuseAdded({ manager, place, lock }: InstallPlan, tree: ConfinedTree): void {
  const isChecked = manager.lock === "bun.lock" || (manager.name === "yarn" && lock?.includes("__metadata:") === true);
  if (!isChecked || lock === undefined || manager.lock === undefined) return;
  const file = tree.locate(posix.join(place, manager.lock));
  try {
    const fd = openSync(file.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const after = fstatSync(fd).isFile() ? readFileSync(fd, "utf8") : "";
    closeSync(fd);
    const added = addedPackages(manager.name, lock, after);
    if (added.length === 0) return;
    const shown = `${added.slice(0, 5).join(", ")}${added.length > 5 ? ", …" : ""}`;
    throw new ProjectError(
      "dependencies_failed",
      `${manager.lock} and package.json are not in sync: ${shown} would be added. Run ${manager.name} install and deploy again`,
    );
  } finally {
    file.close();
  }
}

/** To the root of the tree. Links from there to packages of the project itself lead to the source. */
function moveModules(tree: ConfinedTree, source: string): void {
  const from = tree.locate(posix.join(source, modules));
  const to = tree.locate(modules);
  try {
    if (lstatSync(from.path, { throwIfNoEntry: false })?.isDirectory() !== true) return;
    if (lstatSync(to.path, { throwIfNoEntry: false }) !== undefined) removeFile(tree, { kind: "remove", path: modules, recursive: true });
    renameSync(from.path, to.path);
    relink(to.path, { source, depth: 0 });
  } finally {
    from.close();
    to.close();
  }
}

/** `depth`: below node_modules; scopes are one deeper. */
function relink(directory: string, { source, depth }: { source: string; depth: number }): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory() && depth === 0 && entry.name.startsWith("@")) relink(path, { source, depth: 1 });
    if (!entry.isSymbolicLink()) continue;
    // As a path in the project.
    const target = posix.join(modules, ...Array<string>(depth).fill("scope"), readlinkSync(path));
    if (target === modules || target.startsWith(`${modules}/`) || target.startsWith("../") || posix.isAbsolute(readlinkSync(path)))
      continue;
    rmSync(path);
    symlinkSync(posix.join(...Array<string>(depth + 1).fill(".."), source, target), path);
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
