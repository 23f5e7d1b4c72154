/**
 * The project's dependencies in an image of the project (sdk §8.1): installed by the image's own Node and npm, so that native modules fit them, on the
 * image's disk. Runs find them there and take them for the deployment's (init/task-root.c). An image that has brought its own is left as it is.
 */
import { mkdirSync, readdirSync, readlinkSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { ImageStepRequest, ImageStepResult } from "@helmr/protocol/guest";
import { sourceDirectory } from "../supervisor/attachment.ts";
import { type ConfinedTree, openTree } from "../supervisor/confined-tree.ts";
import { removeFile } from "../supervisor/live-files.ts";
import { RequestError } from "../supervisor/host-link.ts";
import type { StepGround } from "../supervisor/supervisor.ts";
import { ProjectError } from "./builder-pipe.ts";
import { installDependencies, ManagerMissing } from "./dependencies.ts";
import { planInstall } from "./install-plan.ts";
import { installHome } from "./manager-commands.ts";
import type { TailOutput } from "./tail-output.ts";
import { unpackSource } from "./unpack-source.ts";

type DependenciesStep = Extract<ImageStepRequest["step"], { kind: "dependencies" }>;

const owner = { uid: 0, gid: 0 };

export async function imageDependencies(
  step: DependenciesStep,
  ground: StepGround,
  options: { output: TailOutput; limitMs: number },
): Promise<ImageStepResult> {
  const { attachment, source } = ground;
  if (source === undefined) throw new RequestError("bad_request", `Stream ${step.stream} is not open`);
  const directory = attachment.places.taskTree;
  const { path, hadModules } = prepare(attachment.root, directory);
  if (hadModules) {
    source.discard();
    return { status: "done", note: `the image brings its own at ${directory}/node_modules` };
  }
  const tree = openTree(path, directory);
  try {
    await unpackSource(source, { tree, target: sourceDirectory, owner, bytes: step.bytes });
    const plan = planInstall(tree, sourceDirectory);
    if (plan === undefined) return { status: "done", note: "there are none" };
    await installDependencies(plan, ground, { tree, owner, directory, ...options });
    linkSdk(join(path, "node_modules"));
    return { status: "done" };
  } catch (error) {
    if (error instanceof ManagerMissing)
      return { status: "done", note: "the image has no npm that runs: those installed in the built-in image are used" };
    if (!(error instanceof ProjectError)) throw error;
    const { kind, message } = error.failure;
    const reason = kind === "timeout" || kind === "out_of_memory" ? kind : "dependencies_failed";
    return { status: "failed", reason, exitCode: null, message };
  } finally {
    tree.close();
    for (const left of [`${directory}/.helmr`, installHome]) removeIfThere(attachment.root, left);
  }
}

/** Links of the image on the way are followed inside it. `path`: the directory as the supervisor sees it. */
function prepare(root: ConfinedTree, directory: string): { path: string; hadModules: boolean } {
  const inside = root.locate(`${directory}/node_modules/x`, { makeParents: 0o755 });
  try {
    const modules = readlinkSync(`/proc/self/fd/${inside.directoryFd}`);
    const hadModules = readdirSync(modules).length > 0;
    const place = root.locate(`${directory}/x`);
    const path = readlinkSync(`/proc/self/fd/${place.directoryFd}`);
    place.close();
    if (!hadModules) mkdirSync(join(path, sourceDirectory), { recursive: true });
    return { path, hadModules };
  } finally {
    inside.close();
  }
}

/** For packages that import it; unless the installation brought it. */
function linkSdk(modules: string): void {
  mkdirSync(join(modules, "@helmr"), { recursive: true });
  try {
    symlinkSync("/opt/helmr/lib/sdk", join(modules, "@helmr/sdk"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

function removeIfThere(root: ConfinedTree, path: string): void {
  const place = root.locate(path);
  const isThere = readdirSync(`/proc/self/fd/${place.directoryFd}/.`).includes(place.name);
  place.close();
  if (isThere) removeFile(root, { kind: "remove", path, recursive: true });
}
