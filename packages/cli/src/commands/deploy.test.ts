/** `helmr deploy` step by step (cli §5.2), with real projects, a real child for the config and a real upload. */
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, test } from "vitest";
import { eventStream, frame } from "../testing/fake-server.ts";
import { testEnvironment } from "../testing/environment.ts";

const env = testEnvironment();
const fails = (line: string) => ({ code: 1, stdout: "", stderr: `${line}\n` });

const id = "01980a00-0000-7000-8000-000000000005";
const queued = { id, version: "20260606.1", status: "queued", tasks: [] };
const deployed = { ...queued, status: "deployed", tasks: [{ task_id: "hello" }] };
const event = (at: number, kind: string, message: string) => ({ id: String(at), kind, message });
const sdk = fileURLToPath(new URL("../../../sdk", import.meta.url));

const manifest = { private: true, type: "module", dependencies: { "@helmr/sdk": "0.1.0" }, packageManager: "npm@11.0.0" };
const config = `import { defineConfig } from "@helmr/sdk";\nexport default defineConfig({ project: process.env.PROJECT ?? "shop", dirs: ["./tasks"] });\n`;

let project: string;

async function put(files: Record<string, string>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(project, name)), { recursive: true });
    await writeFile(path.join(project, name), content);
  }
}

beforeEach(async () => {
  project = path.join(env.directory, "project");
  await put({
    "package.json": JSON.stringify(manifest),
    "helmr.config.ts": config,
    "tasks/hello.ts": "export {};\n",
    "tasks/hello.test.ts": "",
    ".env": "X=1",
  });
  await mkdir(path.join(project, "node_modules", "@helmr"), { recursive: true });
  await symlink(sdk, path.join(project, "node_modules", "@helmr", "sdk"));
});

function answers(prefix = "/api", end = event(2, "deployment.deployed", "built 1 task")): void {
  env.server.on(`POST ${prefix}/deployments`, { status: 201, body: queued });
  env.server.on(
    `GET ${prefix}/deployments/${id}/events`,
    eventStream([event(1, "deployment.building", ""), end].map((one) => frame(one.id, "deployment_event", one))),
  );
  env.server.on(`GET ${prefix}/deployments/${id}`, { body: deployed });
  env.server.on(`POST ${prefix}/deployments/${id}/promote`, { body: { ...deployed, tasks: [] } });
}

const deploy = (...argv: string[]) => env.withKey(["deploy", project, ...argv], { env: process.env as Record<string, string> & object });
const steps = ["Preparing project", "Inspecting config", "Creating archive", "Uploading deployment"];

/** The two parts of the upload, in their order. */
function uploadedParts() {
  const { body, headers } = env.server.requests.find(({ method, path: at }) => method === "POST" && at.endsWith("/deployments"))!;
  const boundary = /boundary=(.+)$/.exec(headers["content-type"] ?? "")![1]!;
  const parts = body.toString("latin1").split(`--${boundary}`).slice(1, -1);
  return parts.map((part) => {
    const [head, ...rest] = part.slice(2).split("\r\n\r\n");
    return { head: head!, content: rest.join("\r\n\r\n").slice(0, -2) };
  });
}

describe("helmr deploy", () => {
  test("uploads, waits, promotes, and prints the version", async () => {
    answers();
    const result = await deploy();
    expect(result).toEqual({
      code: 0,
      stdout: "20260606.1\n",
      stderr: [...steps, `Deployment ${id} queued`, "deployment.building", "built 1 task", "Promoting deployment", ""].join("\n"),
    });
    expect(env.server.lines).toEqual([
      "POST /api/deployments",
      `GET /api/deployments/${id}/events?follow=1&cursor=0`,
      `GET /api/deployments/${id}`,
      `POST /api/deployments/${id}/promote`,
    ]);
    expect(env.server.last.json).toEqual({ reason: "deploy" });
    const [metadata, source] = uploadedParts();
    expect(metadata!.head).toContain('name="metadata"');
    expect(source!.head).toContain('name="deployment_source"');
    const { createHash } = await import("node:crypto");
    expect(JSON.parse(metadata!.content)).toEqual({
      content_hash: `sha256:${createHash("sha256").update(Buffer.from(source!.content, "latin1")).digest("hex")}`,
      api_version: "2026-06-06",
      sdk_version: "0.1.0",
      cli_version: "0.1.0",
      bundle_format_version: 2,
      worker_protocol_version: "helmr.worker.v1",
    });
    expect(source!.content).toContain("helmr.config.ts");
    expect(source!.content).not.toContain("hello.test.ts");
    expect((await readdir(tmpdir())).filter((name) => name.startsWith("helmr-deploy-"))).toEqual([]);
  });

  test("prints JSON lines with --json, and nothing on stderr", async () => {
    answers();
    const { code, stdout, stderr } = await deploy("--json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      ...steps.map((step) => ({ type: "step", step })),
      { type: "deployment_created", deployment: queued },
      { type: "deployment_event", event: event(1, "deployment.building", "") },
      { type: "deployment_event", event: event(2, "deployment.deployed", "built 1 task") },
      { type: "step", step: "Promoting deployment" },
      { type: "deployment_result", phase: "promoted", deployment: deployed },
    ]);
  });

  test("returns after the upload with --detach, and does not promote with --skip-promotion", async () => {
    answers();
    expect(await deploy("--detach")).toMatchObject({
      code: 0,
      stdout: "20260606.1\n",
      stderr: [...steps, `Deployment ${id} queued`, ""].join("\n"),
    });
    expect(env.server.lines).toEqual(["POST /api/deployments"]);
    const { stdout } = await deploy("--skip-promotion", "--json");
    expect(JSON.parse(stdout.trimEnd().split("\n").at(-1)!)).toEqual({
      type: "deployment_result",
      phase: "deployed",
      deployment: deployed,
    });
    expect(env.server.lines).not.toContain(`POST /api/deployments/${id}/promote`);
  });

  test("prints the id when the version is blank", async () => {
    env.server.on("POST /api/deployments", { status: 201, body: { ...queued, version: " " } });
    expect((await deploy("--detach")).stdout).toBe(`${id}\n`);
  });

  test.each([
    [{ message: "tasks/hello.ts:3:5: Expected ;\n  3 | x" }, "tasks/hello.ts:3:5: Expected ; 3 | x"],
    [{ message: " " }, "deployment build failed"],
    [undefined, "deployment build failed"],
  ])("that fails says why: %j", async (error, text) => {
    answers("/api", event(2, "deployment.failed", "the build failed"));
    env.server.on(`GET /api/deployments/${id}`, { body: { ...queued, status: "failed", error } });
    const { code, stdout, stderr } = await deploy();
    expect({ code, stdout, last: stderr.trimEnd().split("\n").at(-1) }).toEqual({
      code: 1,
      stdout: "",
      last: `deployment ${id} failed: ${text}`,
    });
  });

  test("follows again after a broken stream, and gives up after --timeout", async () => {
    answers();
    env.server.on(
      `GET /api/deployments/${id}/events`,
      eventStream([frame(1, "deployment_event", event(1, "deployment.queued", "queued"))], { end: "open" }),
    );
    const { code, stderr } = await deploy("--timeout", "300ms");
    expect({ code, last: stderr.trimEnd().split("\n").at(-1) }).toEqual({
      code: 1,
      last: `wait for deployment ${id}: context deadline exceeded`,
    });
    env.server.on(
      `GET /api/deployments/${id}/events`,
      eventStream([frame(1, "deployment_event", event(1, "deployment.queued", "queued"))], { end: "broken" }),
      eventStream([frame(2, "deployment_event", event(2, "deployment.deployed", "done"))]),
    );
    expect(await deploy("--timeout", "0")).toMatchObject({ code: 0 });
    expect(env.server.lines).toContain(`GET /api/deployments/${id}/events?follow=1&cursor=1`);
  });

  test("has the server's refusal of the upload", async () => {
    env.server.on("POST /api/deployments", { status: 413, body: { error: "request body is too large" } });
    const { code, stderr } = await deploy();
    expect({ code, last: stderr.trimEnd().split("\n").at(-1) }).toEqual({
      code: 1,
      last: "413 Payload Too Large: request body is too large",
    });
  });
});

describe("the scope of helmr deploy", () => {
  test("with a login: the project comes from the config, the environment has to be given", async () => {
    answers("/api/projects/shop/environments/production");
    const run = (...argv: string[]) => env.withLogin(["deploy", project, ...argv], { env: process.env as Record<string, string> & object });
    expect(await run("--env", "production")).toMatchObject({ code: 0, stdout: "20260606.1\n" });
    answers("/api/projects/other/environments/production");
    expect(await run("-e", "production", "-p", "other")).toMatchObject({ code: 0 });
    expect(await run()).toEqual(fails("project and environment are required for session-scoped API routes"));
  });

  test("with an API key must not be given", async () => {
    expect(await deploy("--project", "shop")).toEqual(fails("project and environment scope is only accepted on session-scoped API routes"));
    expect(await deploy("--env", "production")).toEqual(
      fails("project and environment scope is only accepted on session-scoped API routes"),
    );
    expect(env.server.requests).toEqual([]);
  });
});

describe("the project of helmr deploy", () => {
  test.each([
    ["{", /package\.json cannot be read: /],
    ["[]", /package\.json is not a JSON object$/],
    ["{}", /^package\.json does not list @helmr\/sdk under dependencies/],
    [
      JSON.stringify({ ...manifest, dependencies: {}, devDependencies: { "@helmr/sdk": "1" } }),
      /^package\.json does not list @helmr\/sdk under dependencies/,
    ],
    [JSON.stringify({ ...manifest, packageManager: undefined }), /^package\.json has no packageManager/],
    [JSON.stringify({ ...manifest, packageManager: "  " }), /^package\.json has no packageManager/],
    [JSON.stringify({ ...manifest, packageManager: "pnpm@9.0.0" }), /^packageManager "pnpm@9\.0\.0" is not supported; use bun or npm$/],
  ])("with package.json %j is refused", async (content, text) => {
    await put({ "package.json": content });
    const { code, stderr } = await deploy();
    expect(code).toBe(1);
    expect(stderr.trimEnd()).toMatch(text);
    expect(stderr.split("\n")).toHaveLength(2);
  });

  test("must be a directory with a package.json", async () => {
    expect(await env.withKey(["deploy", path.join(project, "package.json")])).toEqual(fails(`${project}/package.json is not a directory`));
    expect(await env.withKey(["deploy", "nowhere"], { cwd: project })).toEqual(fails("nowhere does not exist"));
    expect(await env.withKey(["deploy", "tasks"], { cwd: project })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("package.json was not found") as string,
    });
  });

  test.each([
    ["const x = {;", /^helmr\.config\.ts:1:12: /],
    ['\nimport "./nope.ts";', /^helmr\.config\.ts:2:8: Could not resolve "\.\/nope\.ts"$/],
    ['import "not-installed";', /^helmr\.config\.ts:1:8: Could not resolve "not-installed"$/],
    ["\n\nfunction f() {\n  throw new Error('boom');\n}\nf();", /^helmr\.config\.ts:4:9: Error: boom$/],
    ["export default {};", /^the default export of helmr\.config\.ts must come from defineConfig of @helmr\/sdk$/],
    ["export const x = 1;", /^the default export of helmr\.config\.ts must come from defineConfig of @helmr\/sdk$/],
    [
      'import { defineConfig } from "@helmr/sdk";\nexport default defineConfig({ project: "", dirs: ["a"] });',
      /^helmr\.config\.ts:2:16: .*project/,
    ],
    ["process.exit(7);", /^helmr\.config\.ts could not be loaded: the process ended with exit code 7$/],
    ["await new Promise(() => {});", /^helmr\.config\.ts could not be loaded: an await at its top level never settles$/],
    ["throw 'text';", /^helmr\.config\.ts: threw text$/],
  ])("with the config %j is refused with its place", async (content, text) => {
    await put({ "helmr.config.ts": content });
    const { code, stderr } = await deploy();
    const lines = stderr.trimEnd().split("\n");
    expect({ code, steps: lines.slice(0, -1) }).toEqual({ code: 1, steps: ["Preparing project", "Inspecting config"] });
    expect(lines.at(-1)).toMatch(text);
    expect(env.server.requests).toEqual([]);
  });

  test("without a config is refused", async () => {
    const { rm } = await import("node:fs/promises");
    await rm(path.join(project, "helmr.config.ts"));
    expect((await deploy()).stderr).toContain("helmr.config.ts was not found; helmr init makes one");
  });

  test("reads --env-file for its config; the process wins", async () => {
    answers("/api/projects/from-file/environments/e");
    await put({ "vars.env": "PROJECT=from-file\n" });
    const run = (more: Record<string, string>) =>
      env.withLogin(["deploy", project, "-e", "e", "--detach", "--env-file", path.join(project, "vars.env")], {
        env: { ...(process.env as Record<string, string>), ...more },
      });
    expect(await run({})).toMatchObject({ code: 0 });
    expect(await run({ PROJECT: "from-process" })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("404 Not Found: not found") as string,
    });
    expect(env.server.lines.at(-1)).toBe("POST /api/projects/from-process/environments/e/deployments");
    await put({ "vars.env": "HELMR_API_KEY=x\n" });
    expect(await run({})).toEqual(
      fails(`${project}/vars.env:1: HELMR_API_KEY cannot be set here: names that begin with HELMR_ configure the command line itself`),
    );
  });

  test("may lie at a path with blanks and signs", async () => {
    const { cp } = await import("node:fs/promises");
    answers();
    const odd = path.join(env.directory, "my project #1 %20?");
    await cp(project, odd, { recursive: true, verbatimSymlinks: true });
    await writeFile(
      path.join(odd, "helmr.config.ts"),
      `import { existsSync } from "node:fs";\nif (!existsSync(new URL("./tasks/hello.ts", import.meta.url))) throw new Error(import.meta.url);\n${config}`,
    );
    expect(await env.withKey(["deploy", odd, "--detach"], { env: process.env as Record<string, string> & object })).toMatchObject({
      code: 0,
    });
  });

  test("may have packages and relative imports in its config", async () => {
    await put({
      "node_modules/dep/package.json": '{"name":"dep","main":"index.cjs"}',
      "node_modules/dep/index.cjs": 'module.exports = { name: "from-dep-" + require("node:path").basename(__dirname) };',
      "settings.ts": "export enum Dir { Tasks = './tasks' }\nexport const here: string = import.meta.url;\n",
      "helmr.config.ts": `import { defineConfig } from "@helmr/sdk";\nimport dep from "dep";\nimport { Dir } from "./settings";\nconsole.log("noise on stdout");\nexport default defineConfig({ project: dep.name, dirs: [Dir.Tasks], ignorePatterns: ["*.test.ts"] });\n`,
    });
    answers("/api/projects/from-dep-dep/environments/e");
    const result = await env.withLogin(["deploy", project, "-e", "e", "--detach"], { env: process.env as Record<string, string> & object });
    expect(result).toMatchObject({ code: 0, stdout: "20260606.1\n" });
  });
});

describe("the installation before helmr deploy", () => {
  /** A package manager that writes down how it was called, and installs what it is told to. */
  async function packageManager(name: string, script: string): Promise<Record<string, string>> {
    const bin = path.join(env.directory, "bin");
    await mkdir(bin, { recursive: true });
    await writeFile(path.join(bin, name), `#!/bin/sh\necho "$0 $@" | sed 's|.*/||' >> "${env.directory}/calls"\n${script}\n`);
    await chmod(path.join(bin, name), 0o755);
    return { ...(process.env as Record<string, string>), PATH: `${bin}:${process.env["PATH"]}`, HOME: env.directory };
  }

  const installs = 'mkdir -p node_modules/extra && echo "{}" > node_modules/extra/package.json';
  const calls = () => readFile(path.join(env.directory, "calls"), "utf8");

  test.each([
    ["npm@11.0.0", {}, "npm install\n"],
    ["npm@11.0.0", { "package-lock.json": "{}" }, "npm ci\n"],
    ["bun@1.2.0", {}, "bun install\n"],
    ["bun@1.2.0", { "bun.lock": "" }, "bun install --frozen-lockfile\n"],
    ["bun@1.2.0", { "bun.lockb": "" }, "bun install --frozen-lockfile\n"],
  ])("with %s and %j runs the right command once", async (manager, files, line) => {
    await put({
      "package.json": JSON.stringify({ ...manifest, packageManager: manager, dependencies: { "@helmr/sdk": "1", extra: "1" } }),
      ...files,
    });
    answers();
    const variables = await packageManager(manager.split("@")[0]!, installs);
    const run = () => env.withKey(["deploy", project, "--detach"], { env: variables });
    expect(await run()).toMatchObject({ code: 0 });
    expect(await run()).toMatchObject({ code: 0 });
    expect(await calls()).toBe(line);
  });

  test.each(["npm", "bun"])("by %s gets @helmr/sdk from the server, unless an .npmrc says otherwise", async (name) => {
    await put({
      "package.json": JSON.stringify({ ...manifest, packageManager: `${name}@1`, dependencies: { "@helmr/sdk": "1", extra: "1" } }),
    });
    await writeFile(path.join(env.directory, ".npmrc"), "registry=https://mirror.example.com/\n");
    const variables = await packageManager(name, `cat "$NPM_CONFIG_USERCONFIG" >> "${env.directory}/calls"; exit 1`);
    const run = () => env.withKey(["deploy", project], { env: variables, home: env.directory });
    await run();
    const first = `${name} install\nregistry=https://mirror.example.com/\n\n@helmr:registry=${env.server.url}/npm/\n`;
    expect(await calls()).toBe(first);
    await put({ ".npmrc": "color=false\n@helmr:registry = https://mirror.example.com/\n" });
    await run();
    expect(await calls()).toBe(`${first}${name} install\n`);
  });

  test("that fails says why in one line", async () => {
    await put({ "package.json": JSON.stringify({ ...manifest, dependencies: { "@helmr/sdk": "1", extra: "1" } }) });
    const variables = await packageManager(
      "npm",
      "echo 'npm error code E404'; echo 'npm error 404 not there'; echo 'npm error A complete log of this run can be found in: /x/_logs/y' >&2; exit 3",
    );
    const { code, stderr } = await env.withKey(["deploy", project], { env: variables });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `Preparing project\nnpm install failed with exit code 3 in ${project}: 404 not there\n`,
    });
    const lazy = await packageManager("npm", "exit 0");
    expect((await env.withKey(["deploy", project], { env: lazy })).stderr).toBe("Preparing project\nnpm install did not install extra\n");
    expect((await env.withKey(["deploy", project], { env: { PATH: "/nonexistent" } })).stderr).toMatch(
      /npm install could not be started in .*: spawn npm ENOENT\n$/,
    );
  });
});
