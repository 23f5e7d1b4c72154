/** Installs what is missing with the project's own package manager (cli §5.2). */
import { access, readFile } from "node:fs/promises";
import path from "node:path";
import { Failure, oneLine } from "../failure.ts";
import type { Host } from "../host.ts";
import { type ProjectPackage, missingDependencies } from "./package-file.ts";
import { runProgram } from "./run-program.ts";

const installMsMax = 15 * 60_000;
const scopeKey = "@helmr:registry";

export interface InstallOptions {
  host: Host;
  /** Serves `@helmr/*` below `/npm/`. */
  apiUrl: string;
  onOutput?: (text: string) => void;
}

export async function installMissing(project: ProjectPackage, options: InstallOptions): Promise<void> {
  const missing = await missingDependencies(project);
  if (missing.length === 0) return;
  const [command, ...args] = await installCommand(project);
  const end = await runProgram({
    command,
    args,
    cwd: project.directory,
    env: { ...options.host.env, ...(await registryVariable(project.directory, options)) },
    timeoutMs: installMsMax,
    signal: options.host.signal,
    ...(options.onOutput === undefined ? {} : { onOutput: options.onOutput }),
  });
  const line = [command, ...args].join(" ");
  if (end.kind === "not_started") throw new Failure(`${line} could not be started in ${project.directory}: ${end.reason}`);
  if (end.kind === "timed_out") throw new Failure(`${line} took longer than ${installMsMax / 60_000} minutes in ${project.directory}`);
  if (end.code !== 0) throw new Failure(`${line} failed with exit code ${end.code} in ${project.directory}: ${installError(end.output)}`);
  const still = await missingDependencies(project);
  if (still.length > 0) throw new Failure(`${line} did not install ${still.join(", ")}`);
}

async function installCommand({ manager, directory }: ProjectPackage): Promise<[string, ...string[]]> {
  const has = async (...files: string[]) => (await Promise.all(files.map((file) => exists(path.join(directory, file))))).includes(true);
  if (manager === "bun") return (await has("bun.lock", "bun.lockb")) ? ["bun", "install", "--frozen-lockfile"] : ["bun", "install"];
  return (await has("package-lock.json")) ? ["npm", "ci"] : ["npm", "install"];
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

/** `@helmr/sdk` comes from the server, unless an .npmrc says otherwise: a variable would win over it. */
async function registryVariable(directory: string, { host, apiUrl }: InstallOptions): Promise<Record<string, string>> {
  const userFile = host.env["NPM_CONFIG_USERCONFIG"] ?? host.env["npm_config_userconfig"] ?? path.join(host.homeDirectory, ".npmrc");
  for (const file of [path.join(directory, ".npmrc"), userFile]) {
    if (hasScopeLine(await readFile(file, "utf8").catch(() => ""))) return {};
  }
  return { [`npm_config_${scopeKey}`]: registryUrl(apiUrl) };
}

export function registryUrl(apiUrl: string): string {
  return `${apiUrl}/npm/`;
}

export function hasScopeLine(npmrc: string): boolean {
  return /^[ \t]*@helmr:registry[ \t]*=/m.test(npmrc);
}

export function scopeLine(apiUrl: string): string {
  return `${scopeKey}=${registryUrl(apiUrl)}`;
}

/** npm and bun print much; the lines that they mark as errors say why, the paths of their own logs do not. */
function installError(output: string): string {
  const lines = output.split(/\r?\n/).map((line) => line.trim());
  const marked = lines.filter((line) => /^(npm (error|ERR!)|error:)/i.test(line) && !/A complete log of this run|_logs\//.test(line));
  const said = (marked.length > 0 ? marked : lines.filter((line) => line !== "").slice(-3)).map((line) =>
    line.replace(/^npm (error|ERR!)\s*/i, ""),
  );
  return oneLine(
    said
      .filter((line) => line !== "")
      .slice(0, 6)
      .join("; "),
  ).slice(0, 600);
}
