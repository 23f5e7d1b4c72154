/**
 * The installation that the command line's contract suite runs against. Whoever starts one (the test kit, or a person) says where it is:
 *
 *   HELMR_TEST_API_URL    base URL
 *   HELMR_TEST_API_KEY    an API key of an environment, with every scope
 *   HELMR_TEST_LOGIN      a login token of an owner (optional)
 *   HELMR_TEST_SCOPE      project/environment of that key, by slug (with the login)
 *   HELMR_TEST_RUNS       1 when a worker is there: deployments get built and runs run (optional)
 *
 * Cases that need more than what is there are skipped and say so.
 */
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { BuiltCli, type ProcessResult, type ProcessRun } from "@helmr/cli/testing";

export interface CliTarget {
  apiUrl: string;
  apiKey: string;
  login: { token: string; project: string; environment: string } | undefined;
  runs: boolean;
}

export function cliTarget(env: NodeJS.ProcessEnv = process.env): CliTarget | undefined {
  const { HELMR_TEST_API_URL: apiUrl, HELMR_TEST_API_KEY: apiKey, HELMR_TEST_LOGIN: token, HELMR_TEST_SCOPE: scope } = env;
  if (!apiUrl || !apiKey) return undefined;
  const [project, environment] = (scope ?? "").split("/");
  return {
    apiUrl,
    apiKey,
    login: token && project && environment ? { token, project, environment } : undefined,
    runs: env["HELMR_TEST_RUNS"] === "1",
  };
}

/** The built command, pointed at the target, with a configuration directory and a project of its own. */
export class CliUnderTest {
  readonly directory: string;
  readonly #built: BuiltCli;
  readonly #target: CliTarget;

  private constructor(built: BuiltCli, target: CliTarget, directory: string) {
    this.#built = built;
    this.#target = target;
    this.directory = directory;
  }

  static async start(target: CliTarget): Promise<CliUnderTest> {
    return new CliUnderTest(await BuiltCli.build(), target, await mkdtemp(path.join(tmpdir(), "helmr-cli-contract-")));
  }

  async stop(): Promise<void> {
    await this.#built.remove();
    await rm(this.directory, { recursive: true, force: true });
  }

  withKey(argv: readonly string[], run: ProcessRun = {}): Promise<ProcessResult> {
    return this.#run(argv, run, { HELMR_API_KEY: this.#target.apiKey });
  }

  /** With the login of `saveLogin`; the scope flags are the caller's. */
  withLogin(argv: readonly string[], run: ProcessRun = {}): Promise<ProcessResult> {
    return this.#run(argv, run, {});
  }

  /** What `helmr login` would have saved. */
  async saveLogin(token: string): Promise<void> {
    const config = path.join(this.directory, "config");
    await mkdir(config, { recursive: true, mode: 0o700 });
    await writeFile(path.join(config, "credentials.json"), JSON.stringify({ hosts: { [this.#target.apiUrl]: { access_token: token } } }), {
      mode: 0o600,
    });
  }

  /** A project as `helmr init` makes it, with the SDK of this repository. */
  async project(name: string): Promise<string> {
    const directory = path.join(this.directory, name);
    await mkdir(path.join(directory, "node_modules", "@helmr"), { recursive: true });
    await symlink(fileURLToPath(new URL("../../packages/sdk", import.meta.url)), path.join(directory, "node_modules", "@helmr", "sdk"));
    await this.withKey(["init", "--dir", directory]);
    return directory;
  }

  #run(argv: readonly string[], run: ProcessRun, credential: Record<string, string>): Promise<ProcessResult> {
    const env = { HELMR_API_URL: this.#target.apiUrl, HELMR_CONFIG_DIR: path.join(this.directory, "config"), ...credential, ...run.env };
    return this.#built.run(argv, { ...run, env });
  }
}
