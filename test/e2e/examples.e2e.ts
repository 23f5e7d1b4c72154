/** Examples with an outside: a package from the registry, secrets, and what a guest reaches of its surroundings. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repository } from "./local-install.ts";
import { type SharedInstall, sharedInstall } from "./shared-install.ts";
import { taskProject } from "./task-project.ts";

const run = promisify(execFile);
const example = (name: string) => join(repository, "examples", name);

let install: SharedInstall;
const projects: string[] = [];
beforeAll(async () => {
  install = await sharedInstall();
});
afterAll(async () => {
  await install?.expectSound();
  install?.close();
  for (const directory of projects) await rm(directory, { recursive: true, force: true });
});

describe("examples/package-audit", () => {
  const name = "picocolors";
  let deployment: { id: string };
  beforeAll(async () => {
    deployment = await install.deploy(example("package-audit"));
  });

  test("has its dependencies installed in a build guest, from the registry of this host", async () => {
    const { events } = await install.get(`/api/deployments/${deployment.id}/events`);
    const said = events.map(({ message }: { message: string }) => message);
    expect(said).toContain("$ npm install --omit=dev");
    expect(said.some((line: string) => /^added \d+ packages? in /.test(line))).toBe(true);
  });

  test("fetches a tarball through the guest's network, counts it, and leaves a report in the workspace", async () => {
    const { version, integrity, files } = await installedPackage(name);
    const ended = await install.play("package-audit", { payload: { name, version } });
    expect(ended.run, ended.stderr).toMatchObject({ status: "succeeded" });
    const { output, metadata } = ended.run;
    expect(output).toMatchObject({ name, version, integrity, files });
    expect(output.tools.node).toMatch(/^v24\./);
    expect(output.tools.git).toMatch(/^2\./);
    expect(output.tools.bash).toMatch(/^5\./);
    expect(output.commit).toMatch(/^[0-9a-f]{40}$/);
    expect(metadata).toMatchObject({ step: "done", package: name, version, files, lines: output.lines });
    expect(Object.values(output.languages as Record<string, { files: number }>).reduce((sum, one) => sum + one.files, 0)).toBe(files);
    expect(ended.stdout).toBe(`${name}@${version}: ${files} files, ${output.lines} lines\n`);

    expect(JSON.parse(await install.file(ended.workspaceId, "report.json"))).toEqual(output);
    expect(JSON.parse(await install.file(ended.workspaceId, "package/package.json"))).toMatchObject({ name, version });
  });

  test("says what is wrong with a package that does not exist, and with a payload that is none", async () => {
    const [missing, invalid] = await Promise.all([
      install.play("package-audit", { payload: { name, version: "0.0.0-never" } }),
      install.play("package-audit", { payload: { name: "../etc" } }),
    ]);
    expect(missing.end.attributes).toMatchObject({ failure_kind: "task_failed", detail: { reason: "threw" } });
    expect(missing.end.attributes.detail.message).toContain(`${name} has no version "0.0.0-never"`);
    expect(invalid.end.attributes).toMatchObject({ failure_kind: "task_failed", detail: { reason: "payload_invalid" } });
    expect(invalid.end.attributes.detail.message).toContain("failed validation: payload.name:");
  });
});

describe("examples/secret-check", () => {
  const values = {
    CHECK_ENV: "env-value-8d1f6c0a5b",
    CHECK_FILE: "file-value-27ab94e3d1\nwith two lines",
    CHECK_DIR: "dir-value-5f0e2b7a96",
  };
  const sha256 = (value: string) => createHash("sha256").update(value).digest("hex");

  test("cannot be started while a secret is missing", async () => {
    await install.deploy(example("secret-check"));
    const before = (await install.get("/api/sessions?task_id=secret-check")).sessions.length;
    const answer = await install.api.call("POST", "/api/sessions", { body: { task_id: "secret-check" } });
    expect(answer.status).toBe(400);
    expect(answer.json.error).toMatch(/^secret "CHECK_(ENV|FILE|DIR)" is unavailable: .*not found/);
    expect((await install.get("/api/sessions?task_id=secret-check")).sessions).toHaveLength(before);
  });

  test("finds each secret where it belongs, and nobody else finds it anywhere", async () => {
    for (const [secret, value] of Object.entries(values))
      expect(await install.local.helmr(["secret", "set", secret, "--value", value])).toMatchObject({ code: 0, stdout: `${secret}\n` });
    const payload = { env: sha256(values.CHECK_ENV), file: sha256(values.CHECK_FILE), dir: sha256(values.CHECK_DIR) };
    const ended = await install.play("secret-check", { payload });
    expect(ended.run, ended.stderr).toMatchObject({
      status: "succeeded",
      output: {
        env: true,
        envMatches: true,
        envReachesChildren: true,
        file: true,
        fileMatches: true,
        filePrivate: true,
        dir: true,
        dirMatches: true,
        dirPrivate: true,
        otherNamesInEnvironment: false,
      },
    });
    expect(ended.stdout).toBe("the secret in the environment is ***\n");
    expect(ended.stderr).toBe("the secret in the file is ***\n");
    expect((await install.records(ended.runId)).map(({ message }) => message)).toContain("the secret in the directory is ***");
    // What was placed inside the workspace is no part of its version.
    const { entries } = await install.get(`/api/workspaces/${ended.workspaceId}/files?path=.`);
    expect(entries.map((entry: { name: string }) => entry.name)).not.toContain("check-file.txt");
    await expect(install.file(ended.workspaceId, "private/check-file.txt")).rejects.toThrow(/404 .*workspace_file_not_found/);
    await expectNowhere(Object.values(values).flatMap((value) => value.split("\n")));
  });

  test("is masked in errors and results, too", async () => {
    const project = await taskProject({ "tasks/leaks.ts": leaks });
    projects.push(project);
    await install.deploy(project);
    const [thrown, returned] = await Promise.all([install.play("leaks-by-error"), install.play("leaks-by-result")]);
    expect(thrown.end.attributes.detail.message).toContain("Error: cannot log in with ***");
    expect(thrown.stderr).toContain("Error: cannot log in with ***");
    expect(returned.run).toMatchObject({ output: { token: "***" }, metadata: { token: "***" } });
    await expectNowhere([values.CHECK_ENV]);
  });
});

describe("a guest's surroundings", () => {
  test("hold no private network, no host and no metadata service", async () => {
    const project = await taskProject({ "tasks/looks.ts": looksAround });
    projects.push(project);
    await install.deploy(project);
    const port = new URL(install.ready.api_url).port;
    const urls = [
      `http://127.0.0.1:${port}/healthz`,
      `http://10.0.2.2:${port}/healthz`,
      "http://169.254.169.254/latest/meta-data/",
      "http://192.168.0.1/",
      "http://[fd00::1]/",
    ];
    const { run: ended } = await install.play("looks-around", { payload: { urls } });
    expect(ended).toMatchObject({ status: "succeeded" });
    expect(Object.keys(ended.output)).toEqual(urls);
    for (const url of urls) expect(ended.output[url], url).toBe("unreachable");
  });
});

/** In no file of the install: not PostgreSQL's, not a machine's, not a log. That it would be found is shown by the secret's name, which is. */
async function expectNowhere(values: string[]): Promise<void> {
  expect(await filesWith(["CHECK_ENV"])).not.toEqual([]);
  expect(await filesWith(values)).toEqual([]);
}

/** With -z, grep passes over the holes of disks. */
async function filesWith(texts: string[]): Promise<string[]> {
  const patterns = texts.flatMap((text) => ["-e", text]);
  const command = ["-rlazF", "--devices=skip", ...patterns, install.local.state];
  // Exit code 1: no file has it; 2: a file went while it was read.
  const { stdout } = await run("grep", command, { maxBuffer: 1e8 }).catch((error: { stdout: string }) => error);
  return stdout.split("\n").filter((line) => line !== "");
}

/** What npm has installed here of a package that our own lock file pins. */
async function installedPackage(name: string): Promise<{ version: string; integrity: string; files: number }> {
  const lock = JSON.parse(await readFile(join(repository, "package-lock.json"), "utf8"));
  const { version, integrity } = lock.packages[`node_modules/${name}`];
  const entries = await readdir(join(repository, "node_modules", name), { recursive: true, withFileTypes: true });
  return { version, integrity, files: entries.filter((entry) => entry.isFile()).length };
}

const leaks = `
import { metadata, sandbox, task } from "@helmr/sdk";
const secrets = [{ name: "CHECK_ENV", env: "TOKEN" }];
export const byError = task({
  id: "leaks-by-error",
  sandbox: sandbox("leaks"),
  secrets,
  run() {
    throw new Error("cannot log in with " + process.env.TOKEN);
  },
});
export const byResult = task({
  id: "leaks-by-result",
  sandbox: sandbox("leaks"),
  secrets,
  async run() {
    await metadata.set("token", process.env.TOKEN ?? "");
    return { token: process.env.TOKEN };
  },
});
`;

const looksAround = `
import { sandbox, task } from "@helmr/sdk";
const anything = { "~standard": { version: 1 as const, vendor: "e2e", validate: (value: unknown) => ({ value: value as { urls: string[] } }) } };
export const looksAround = task({
  id: "looks-around",
  sandbox: sandbox("looks"),
  payload: anything,
  run: async ({ urls }) => {
    const seen = urls.map(async (url) => {
      const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) }).then((response) => "answered " + response.status, () => "unreachable");
      return [url, answer] as const;
    });
    return Object.fromEntries(await Promise.all(seen));
  },
});
`;
