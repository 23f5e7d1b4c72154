/**
 * The installation that the command line's contract suite runs against: a control plane of the test kit with a worker that speaks the real wire, or a
 * running installation that somebody points it at:
 *
 *   HELMR_TEST_API_URL    base URL
 *   HELMR_TEST_API_KEY    an API key of an environment, with every scope
 *   HELMR_TEST_LOGIN      a login token of an owner (optional)
 *   HELMR_TEST_SCOPE      project/environment of that key, by slug (with the login)
 *   HELMR_TEST_RUNS       1 when a worker with real guests is there (optional)
 *
 * Cases that need more than what is there are skipped and reported as skipped.
 */
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { BuildLease } from "@helmr/protocol/worker";
import { BuiltCli, type ProcessResult, type ProcessRun } from "@helmr/cli/testing";
import { controlPlane, type FakeRun, type FakeWorker, fakeWorker, newArtifact, projectIndex, taskDeclaration } from "@helmr/test/platform";
import { testDatabase } from "@helmr/test/services";

export interface CliTarget {
  apiUrl: string;
  apiKey: string;
  login: { token: string; project: string; environment: string } | undefined;
  /** Who runs tasks. */
  worker: "none" | "fake" | "real";
  /** Whether the server has handlers for these endpoints; one that was pointed at is trusted to have all. */
  has(...endpoints: string[]): boolean;
  /** Faults the server had; known for a control plane of the kit only. */
  faults(): unknown[];
  close(): Promise<void>;
}

/** The message of a build that is to fail; builds of `fakeTarget` fail while it is set. */
export const nextBuild: { failure: string | undefined } = { failure: undefined };

export function cliTarget(env: NodeJS.ProcessEnv = process.env): Promise<CliTarget> {
  const { HELMR_TEST_API_URL: apiUrl, HELMR_TEST_API_KEY: apiKey, HELMR_TEST_LOGIN: token, HELMR_TEST_SCOPE: scope } = env;
  if (!apiUrl || !apiKey) return fakeTarget();
  const [project, environment] = (scope ?? "").split("/");
  return Promise.resolve({
    apiUrl,
    apiKey,
    login: token && project && environment ? { token, project, environment } : undefined,
    worker: env["HELMR_TEST_RUNS"] === "1" ? "real" : "none",
    has: () => true,
    faults: () => [],
    close: () => Promise.resolve(),
  });
}

async function fakeTarget(): Promise<CliTarget> {
  const database = await testDatabase();
  const plane = await controlPlane({ databaseUrl: database.url, migrated: true });
  const errors: unknown[] = [];
  const worker = await fakeWorker({
    url: plane.url,
    enrollmentSecret: plane.enrollmentSecret,
    run: runTask,
    build,
    renewMs: 200,
    onError: (error) => errors.push(error),
  });
  await worker.openChannel();
  const token = await loginToken(plane.install.loginUrl);
  const { json } = await plane.api.call("GET", "/api/projects", { bearer: token });
  const project = (json as { projects: { id: string; slug: string; environments: { id: string; slug: string }[] }[] }).projects.find(
    ({ id }) => id === plane.install.projectId,
  );
  const environment = project?.environments.find(({ id }) => id === plane.install.environmentId);
  return {
    apiUrl: plane.url,
    apiKey: plane.install.apiKey,
    login: project && environment ? { token, project: project.slug, environment: environment.slug } : undefined,
    worker: "fake",
    has: (...endpoints) => endpoints.every((endpoint) => plane.implemented.has(endpoint)),
    faults: () => [...plane.faults, ...errors],
    async close() {
      await worker.stop();
      await plane.close();
      await database.drop();
    },
  };
}

/** The one-time link sets the cookie of a login session, whose value is also a bearer. */
async function loginToken(loginUrl: string): Promise<string> {
  const answer = await fetch(loginUrl, { redirect: "manual" });
  return /helmr_session_dev=([^;]+)/.exec(answer.headers.get("set-cookie") ?? "")?.[1] ?? "";
}

/** What the tasks of the project do, without a guest. */
async function runTask(run: FakeRun): Promise<void> {
  if ((await run.started()) === "cancelled") return void (await run.complete({ status: "cancelled", forced: false }));
  const { task_id: taskId, payload } = run.lease.run as { task_id: string; payload: unknown };
  await run.log("stdout", "hello from the task\n");
  await run.log("stderr", "a warning\n");
  if (taskId === "slow") {
    await new Promise<void>((resolve) => {
      if (run.signal.aborted) resolve();
      else run.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await run.complete({ status: "cancelled", forced: false });
  } else if (taskId === "fails") {
    await run.complete({ status: "failed", exit_code: 1, failure_kind: "task_failed", reason: "threw", message: "Error: no" });
  } else {
    const greeting = `Hello, ${(payload as { name?: string }).name ?? "world"}!`;
    await run.log(
      "logger",
      `${JSON.stringify({ level: "info", message: "wrote greeting.txt", fields: { bytes: 13 }, at: new Date().toISOString() })}\n`,
    );
    await run.complete({ status: "succeeded", exit_code: 0, output: { value: { greeting } } });
  }
}

async function build(lease: BuildLease, worker: FakeWorker): Promise<void> {
  const fenced = { lease_id: lease.lease_id, fence: lease.fence };
  const { id, org_id: orgId } = lease.deployment;
  const event = { kind: "deployment.compiled", severity: "info" as const, message: "compiled 3 tasks", attributes: {}, age_ms: 0 };
  await worker.post("buildReport", { ...fenced, first: 1, events: [event] }, id);
  const tasks = ["hello", "fails", "slow"].map((task) => taskDeclaration(task));
  const built = { status: "built" as const, index: projectIndex({ tasks }), task_tree: newArtifact(orgId), images: [] };
  const failed = { status: "failed" as const, failure: { kind: "task_parse_failed" as const, message: nextBuild.failure ?? "" } };
  await worker.post("buildComplete", { ...fenced, report_through: 1, result: nextBuild.failure === undefined ? built : failed }, id);
}

/** The built command, pointed at the target, with a configuration directory of its own. */
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
    const hosts = { [this.#target.apiUrl]: { access_token: token } };
    await writeFile(path.join(config, "credentials.json"), JSON.stringify({ hosts }), { mode: 0o600 });
  }

  /** A project as `helmr init` makes it, with the SDK of this repository; the name makes its content another one. */
  async project(name: string): Promise<string> {
    const directory = path.join(this.directory, name);
    await mkdir(path.join(directory, "node_modules", "@helmr"), { recursive: true });
    await symlink(fileURLToPath(new URL("../../packages/sdk", import.meta.url)), path.join(directory, "node_modules", "@helmr", "sdk"));
    await this.withKey(["init", "--dir", directory]);
    await writeFile(path.join(directory, "README.md"), `${name}\n`);
    return directory;
  }

  #run(argv: readonly string[], run: ProcessRun, credential: Record<string, string>): Promise<ProcessResult> {
    const env = { HELMR_API_URL: this.#target.apiUrl, HELMR_CONFIG_DIR: path.join(this.directory, "config"), ...credential, ...run.env };
    return this.#built.run(argv, { ...run, env });
  }
}
