/** Production dependencies of a project (sdk §8.1), installed with npm where the compiled tasks find them. */
import { closeSync, constants, fchownSync, openSync, rmSync, writeFileSync } from "node:fs";
import type { ConfinedTree } from "../supervisor/confined-tree.ts";
import type { BuildGround } from "../supervisor/supervisor.ts";
import { ProjectError } from "./builder-pipe.ts";
import type { InstallPlan } from "./install-plan.ts";
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
    environment: npmEnvironment(plan),
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

function npmEnvironment(plan: InstallPlan): Record<string, string> {
  return {
    CI: "1",
    npm_config_cache: "/tmp/helmr-npm",
    npm_config_package_lock: plan.lock === undefined ? "false" : "true",
    // A registry that cannot be reached is known soon.
    npm_config_fetch_retry_mintimeout: "1000",
    npm_config_fetch_retry_maxtimeout: "10000",
  };
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
