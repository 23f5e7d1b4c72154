import { access, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { command, text, toggle } from "../command.ts";
import type { Context } from "../context.ts";
import { runProgram } from "../deploy/run-program.ts";
import { Failure, reasonOf } from "../failure.ts";
import type { Host } from "../host.ts";
import { mergedManifest, withScopeLine } from "../init/manifest.ts";
import { starterConfig, starterTask } from "../init/starter.ts";
import { localInstallUrl } from "../settings/local-install.ts";
import { readTextFile } from "../settings/private-file.ts";

const npmMsMax = 20_000;
/** When no npm can be asked. */
const npmDefault = "11.0.0";

export const init = command({
  name: "init",
  summary: "make a project with a task that runs as it is",
  details:
    "Writes helmr.config.ts and tasks/hello.ts, and adds what is missing to package.json. " +
    "When a server is known, .npmrc gets the line that lets npm find @helmr/sdk there.",
  examples: [
    { says: "in the current directory", command: "helmr init" },
    { says: "in a new one", command: "helmr init --dir my-tasks" },
  ],
  needs: "nothing",
  args: {},
  flags: {
    dir: text("DIR", "directory of the project; the current one without it"),
    force: toggle("overwrite helmr.config.ts and tasks/hello.ts"),
  },
  async run(context) {
    const { host, flags, out } = context;
    const given = flags.dir ?? ".";
    const directory = path.resolve(host.cwd, given);
    const starters = { "helmr.config.ts": starterConfig, "tasks/hello.ts": starterTask };
    for (const name of Object.keys(starters)) {
      if (!flags.force && (await exists(path.join(directory, name))))
        throw new Failure(`${path.join(given, name)} already exists; pass --force to overwrite`);
    }
    const manifestFile = path.join(directory, "package.json");
    const manifest = mergedManifest(await readTextFile(manifestFile), {
      file: path.join(given, "package.json"),
      packageManager: `npm@${await npmVersion(host, directory)}`,
    });
    const npmrcFile = path.join(directory, ".npmrc");
    const apiUrl = await knownUrl(context);
    const npmrc = apiUrl === undefined ? undefined : withScopeLine(await readTextFile(npmrcFile), apiUrl);

    await writeFiles({
      [path.join(directory, "helmr.config.ts")]: starterConfig,
      [manifestFile]: manifest,
      [path.join(directory, "tasks", "hello.ts")]: starterTask,
      ...(npmrc === undefined ? {} : { [npmrcFile]: npmrc }),
    });
    await out.lines(["created helmr.config.ts", "created or updated package.json", "created tasks/hello.ts"]);
    if (context.interactive && npmrc !== undefined)
      await context.err.line(`created or updated .npmrc: @helmr packages come from ${apiUrl}`);
  },
});

/** Where `@helmr/sdk` can be had, if that is known. */
async function knownUrl(context: Pick<Context, "host" | "apiUrlFlag" | "chosenUrl">): Promise<string | undefined> {
  return (await context.chosenUrl()) ?? (await localInstallUrl(context.host));
}

async function writeFiles(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [file, content] of Object.entries(files)) {
    try {
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, content);
    } catch (error) {
      throw new Failure(`cannot write ${file}: ${reasonOf(error)}`, { cause: error });
    }
  }
}

/** The version in use: of the npm that runs us, else of the one on the PATH. */
async function npmVersion(host: Host, directory: string): Promise<string> {
  const agent = /\bnpm\/(\d+\.\d+\.\d+)/.exec(host.env["npm_config_user_agent"] ?? "");
  if (agent) return agent[1] as string;
  const cwd = (await exists(directory)) ? directory : host.cwd;
  const end = await runProgram({ command: "npm", args: ["--version"], cwd, env: host.env, timeoutMs: npmMsMax, signal: host.signal });
  const version = end.kind === "exited" && end.code === 0 ? /^\d+\.\d+\.\d+\s*$/m.exec(end.output) : null;
  return version?.[0].trim() ?? npmDefault;
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
