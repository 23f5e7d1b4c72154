/** Installs what is missing with the project's own package manager (cli §5.2). */
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
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
  const temporary = await mkdtemp(path.join(tmpdir(), "helmr-install-"));
  try {
    await install(project, { ...options, temporary });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function install(project: ProjectPackage, options: InstallOptions & { temporary: string }): Promise<void> {
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

/**
 * `@helmr/sdk` comes from the server, unless an .npmrc says otherwise. Both managers read the user's file from where npm is told to, so they
 * get a copy with one more line. npm's own variable for a scope has a name that shells drop and that bun does not know.
 */
async function registryVariable(
  directory: string,
  { host, apiUrl, temporary }: InstallOptions & { temporary: string },
): Promise<Record<string, string>> {
  const userFile = host.env["NPM_CONFIG_USERCONFIG"] ?? host.env["npm_config_userconfig"] ?? path.join(host.homeDirectory, ".npmrc");
  const [own = "", users = ""] = await Promise.all(
    [path.join(directory, ".npmrc"), userFile].map((file) => readFile(file, "utf8").catch(() => "")),
  );
  if (hasScopeLine(own) || hasScopeLine(users)) return {};
  const copy = path.join(temporary, ".npmrc");
  await writeFile(copy, `${users}\n${scopeLine(apiUrl)}\n`, { mode: 0o600 });
  return { NPM_CONFIG_USERCONFIG: copy, npm_config_userconfig: copy };
}

function registryUrl(apiUrl: string): string {
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
  const telling = said.filter((line) => line !== "" && !/^(code \w+|\d{3})$/i.test(line));
  return oneLine(telling.slice(0, 3).join("; ")).slice(0, 500);
}
