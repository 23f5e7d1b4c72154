/**
 * A deployment build inside its guest (protocol/guest/build.ts): the trusted half, loaded by the supervisor.
 *
 *   unpack source ──▶ install dependencies ──▶ builder: config, compile, index ──▶ finish: SDK beside the tasks, trim, freeze
 *
 * The tree stands on the `workspace` disk, mounted at /opt/helmr-task:
 *   .helmr/deployment-source   the project as it was sent
 *   .helmr/compiled            one file per task module, with its source map
 *   node_modules               production dependencies, and the SDK for packages that import it
 * At the end the file system is frozen: its journal is empty and the disk can be stored as it is. What is wrong with a project is a result,
 * not an error.
 */
import { cpSync, lchownSync, lstatSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { BuildResult, BuildStartRequest } from "@helmr/protocol/guest";
import { findAccount } from "../supervisor/accounts.ts";
import type { ConfinedTree } from "../supervisor/confined-tree.ts";
import { RequestError } from "../supervisor/host-link.ts";
import { removeFile } from "../supervisor/live-files.ts";
import type { BuildGround, Builder } from "../supervisor/supervisor.ts";
import { ProjectError } from "./builder-pipe.ts";
import { installDependencies } from "./dependencies.ts";
import { planInstall } from "./install-plan.ts";
import { runBuilder } from "./run-builder.ts";
import { TailOutput } from "./tail-output.ts";
import { unpackSource } from "./unpack-source.ts";

const sourcePath = ".helmr/deployment-source";
const compiledPath = ".helmr/compiled";
const workPath = ".helmr/work";

export { imageStep } from "./image-step.ts";

export const build: Builder = async (request, ground) => {
  try {
    return await buildProject(request, ground);
  } catch (error) {
    if (error instanceof ProjectError) return { status: "failed", failure: error.failure };
    throw error;
  }
};

async function buildProject(request: BuildStartRequest, ground: BuildGround): Promise<BuildResult> {
  const { attachment } = ground;
  const tree = attachment.workspace;
  const directory = attachment.workspacePath;
  if (tree === undefined || directory === undefined) throw new RequestError("bad_request", "A build needs the disk of slot workspace");
  const deadline = performance.now() + request.timeoutMs;
  const left = () => Math.max(0, deadline - performance.now());
  const owner = ownerOf(ground);
  const host = attachment.places.root + directory;
  const output = new TailOutput(ground.log);

  ground.phase("unpacking", "Unpacking the source");
  makeDirectories(host, owner);
  const unpacked = await unpackSource(ground.source, { tree, target: sourcePath, owner, bytes: request.sourceBytes });
  output.line(`Unpacked ${unpacked.entries} entries, ${unpacked.bytes} bytes`);

  const plan = planInstall(tree, sourcePath);
  if (plan !== undefined && request.installDependencies) {
    ground.phase("installing", "Installing dependencies");
    await installDependencies(plan, ground, { tree, owner, directory, output, limitMs: left() });
  }
  if (request.only === "dependencies") {
    removeFile(tree, { kind: "remove", path: ".helmr", recursive: true });
    await ground.tool.trim([host]);
    await ground.tool.freeze([host]);
    return { status: "installed" };
  }
  addSdk(tree, attachment.places.sdk.package);

  const index = await runBuilder(ground, {
    script: attachment.places.builderFile,
    start: {
      type: "start",
      source: `${directory}/${sourcePath}`,
      compiled: `${directory}/${compiledPath}`,
      work: `${directory}/${workPath}`,
      sdk: attachment.places.sdk.modules,
    },
    output,
    limitMs: left(),
  });

  ground.phase("finishing", "Finishing the tree");
  removeFile(tree, { kind: "remove", path: workPath, recursive: true });
  await ground.tool.trim([host]);
  await ground.tool.freeze([host]);
  return { status: "built", index, dependencies: plan === undefined ? "none" : "installed" };
}

function makeDirectories(host: string, owner: { uid: number; gid: number }): void {
  for (const path of [".helmr", sourcePath, compiledPath, workPath, "node_modules"]) {
    mkdirSync(join(host, path), { recursive: true });
    lchownSync(join(host, path), owner.uid, owner.gid);
  }
}

/** Unless the project's own installation brought it. */
function addSdk(tree: ConfinedTree, from: string): void {
  const place = tree.locate("node_modules/@helmr/sdk", { makeParents: 0o755 });
  try {
    if (lstatSync(place.path, { throwIfNoEntry: false }) === undefined) cpSync(from, place.path, { recursive: true });
  } finally {
    place.close();
  }
}

function ownerOf(ground: BuildGround): { uid: number; gid: number } {
  const found = findAccount(ground.attachment.user, ground.attachment.accounts());
  if (!found.ok) throw new ProjectError("task_parse_failed", found.problem);
  return found.account;
}
