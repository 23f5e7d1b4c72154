/** `helmr init` (cli §5.1): what it writes, what it keeps, and that the starter works as it is. */
import { execFile } from "node:child_process";
import { chmod, mkdir, readFile, readdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../deploy/config.ts";
import { testEnvironment } from "../testing/environment.ts";

const env = testEnvironment();
const run = promisify(execFile);
const created = "created helmr.config.ts\ncreated or updated package.json\ncreated tasks/hello.ts\n";
const npm = { npm_config_user_agent: "npm/11.1.2 node/v24 linux x64" };
const repository = fileURLToPath(new URL("../../../../", import.meta.url));

const at = (...parts: string[]) => path.join(env.directory, "new", ...parts);
const read = (...parts: string[]) => readFile(at(...parts), "utf8");
const init = async (argv: string[] = [], variables: Record<string, string> = {}) => {
  await mkdir(at(), { recursive: true });
  return env.bare(["init", ...argv], { cwd: at(), env: { ...npm, ...variables } });
};

describe("helmr init", () => {
  test("makes a project", async () => {
    expect(await init()).toEqual({ code: 0, stdout: created, stderr: "" });
    expect((await readdir(at(), { recursive: true })).sort()).toEqual(["helmr.config.ts", "package.json", "tasks", "tasks/hello.ts"]);
    expect(JSON.parse(await read("package.json"))).toEqual({
      private: true,
      type: "module",
      dependencies: { "@helmr/sdk": "0.1.0" },
      packageManager: "npm@11.1.2",
    });
  });

  test("makes it in another directory", async () => {
    expect(await init(["--dir", "a/b"])).toMatchObject({ code: 0, stdout: created });
    expect((await readdir(at("a", "b"))).sort()).toEqual(["helmr.config.ts", "package.json", "tasks"]);
  });

  test.each(["helmr.config.ts", "tasks/hello.ts"])("refuses to overwrite %s without --force, and touches nothing", async (name) => {
    await mkdir(at("p", "tasks"), { recursive: true });
    await writeFile(at("p", name), "mine");
    expect(await init(["--dir", "p"])).toEqual({ code: 1, stdout: "", stderr: `p/${name} already exists; pass --force to overwrite\n` });
    await expect(read("p", "package.json")).rejects.toThrow("ENOENT");
    expect(await init(["--dir", "p", "--force"])).toMatchObject({ code: 0 });
    expect(await read("p", name)).not.toBe("mine");
  });

  test("adds to package.json what is missing and keeps the rest", async () => {
    await mkdir(at());
    await writeFile(at("package.json"), '{\n\t"name": "mine",\n\t"dependencies": {\n\t\t"zod": "4"\n\t},\n\t"type": "commonjs"\n}\n');
    await init();
    expect(await read("package.json")).toBe(
      '{\n\t"name": "mine",\n\t"dependencies": {\n\t\t"zod": "4",\n\t\t"@helmr/sdk": "0.1.0"\n\t},\n\t"type": "commonjs",\n\t"packageManager": "npm@11.1.2"\n}\n',
    );
    await writeFile(at("package.json"), '{"dependencies":{"@helmr/sdk":"0.0.9"},"packageManager":"bun@1.2.0"}');
    await init(["--force"]);
    expect(JSON.parse(await read("package.json"))).toEqual({ dependencies: { "@helmr/sdk": "0.0.9" }, packageManager: "bun@1.2.0" });
  });

  test("asks npm for its version, and has one of its own when there is none", async () => {
    const bin = path.join(env.directory, "bin");
    await mkdir(bin);
    await writeFile(path.join(bin, "npm"), "#!/bin/sh\necho 10.9.8\n");
    await chmod(path.join(bin, "npm"), 0o755);
    await init(["--dir", "a"], { npm_config_user_agent: "", PATH: `${bin}:/usr/bin:/bin` });
    expect(JSON.parse(await read("a", "package.json"))).toMatchObject({ packageManager: "npm@10.9.8" });
    await init(["--dir", "b"], { npm_config_user_agent: "", PATH: "/nonexistent" });
    expect(JSON.parse(await read("b", "package.json"))).toMatchObject({ packageManager: "npm@11.0.0" });
  });

  test("says what is wrong with a package.json", async () => {
    await mkdir(at());
    await writeFile(at("package.json"), "{");
    expect(await init()).toMatchObject({ code: 1, stderr: expect.stringContaining("package.json is not valid JSON") as string });
    await expect(read("helmr.config.ts")).rejects.toThrow("ENOENT");
  });

  test("writes the scope line when a server is known", async () => {
    await init(["--dir", "flag", "-a", "https://h.example.com/x/"]);
    expect(await read("flag", ".npmrc")).toBe("@helmr:registry=https://h.example.com/x/npm/\n");
    await init(["--dir", "variable"], { HELMR_API_URL: "https://v.example.com" });
    expect(await read("variable", ".npmrc")).toBe("@helmr:registry=https://v.example.com/npm/\n");
    await mkdir(at("kept"));
    await writeFile(at("kept", ".npmrc"), "color=false");
    await init(["--dir", "kept"], { HELMR_API_URL: "https://v.example.com" });
    expect(await read("kept", ".npmrc")).toBe("color=false\n@helmr:registry=https://v.example.com/npm/\n");
    await init(["--dir", "kept", "--force"], { HELMR_API_URL: "https://other.example.com" });
    expect(await read("kept", ".npmrc")).toBe("color=false\n@helmr:registry=https://v.example.com/npm/\n");
    const config = path.join(env.directory, "config");
    await mkdir(config);
    await writeFile(path.join(config, "config.toml"), 'default_host = "https://saved.example.com"\n');
    await init(["--dir", "saved"]);
    expect(await read("saved", ".npmrc")).toBe("@helmr:registry=https://saved.example.com/npm/\n");
  });

  test("finds the local install that answers", async () => {
    await mkdir(path.join(env.directory, ".helmr"));
    await writeFile(path.join(env.directory, ".helmr", "client.env"), `export HELMR_API_URL="${env.server.url}"\nexport HELMR_API_KEY=k\n`);
    await init(["--dir", "silent"]);
    await expect(read("silent", ".npmrc")).rejects.toThrow("ENOENT");
    env.server.on("GET /healthz", { body: { status: "ok" } });
    await init(["--dir", "answering"]);
    expect(await read("answering", ".npmrc")).toBe(`@helmr:registry=${env.server.url}/npm/\n`);
    await init(["--dir", "elsewhere"], { HELMR_STATE_DIR: at("nothing") });
    await expect(read("elsewhere", ".npmrc")).rejects.toThrow("ENOENT");
  });
});

describe("the starter", () => {
  async function starter(): Promise<string> {
    await init();
    await mkdir(at("node_modules", "@helmr"), { recursive: true });
    await symlink(path.join(repository, "packages", "sdk"), at("node_modules", "@helmr", "sdk"));
    return at();
  }

  test("is examples/hello", async () => {
    const directory = await starter();
    for (const name of ["helmr.config.ts", "tasks/hello.ts"]) {
      expect(await readFile(path.join(directory, name), "utf8"), name).toBe(
        await readFile(path.join(repository, "examples", "hello", name), "utf8"),
      );
    }
  });

  test("has the config that is promised", async () => {
    const directory = await starter();
    expect(await loadConfig({ directory, env: process.env, signal: new AbortController().signal })).toEqual({
      project: "my-project",
      dirs: ["./tasks"],
    });
  });

  test("has types that fit the SDK", async () => {
    const directory = await starter();
    const options = [
      "--noEmit",
      "--strict",
      "--module",
      "nodenext",
      "--target",
      "esnext",
      "--skipLibCheck",
      "--allowImportingTsExtensions",
      "--types",
      "node",
      "--typeRoots",
      path.join(repository, "node_modules", "@types"),
    ];
    const checked = run(path.join(repository, "node_modules", ".bin", "tsc"), [...options, "helmr.config.ts", "tasks/hello.ts"], {
      cwd: directory,
      timeout: 60_000,
    });
    await expect(checked.catch((error: { stdout: string }) => ({ stdout: error.stdout, failed: true }))).resolves.toMatchObject({
      stdout: "",
    });
  }, 60_000);

  test("greets, with and without a name, and writes into its workspace", async () => {
    const directory = await starter();
    const program = `
      import { executeTask } from "@helmr/sdk/runtime";
      import { readFileSync } from "node:fs";
      import { hello } from "./tasks/hello.ts";
      const id = { id: "x" };
      const logged = [];
      const workspace = { path: process.cwd(), projectPath: process.cwd() };
      const runtime = { version: 1, run: id, task: id, session: id, workspace, signal: AbortSignal.abort(), call: () => {}, log: (entry) => logged.push(entry.message) };
      const ends = [];
      for (const payload of [{}, { name: "Ada" }]) ends.push((await executeTask({ task: hello, payload, runtime })).outputJson, readFileSync("greeting.txt", "utf8"));
      const refused = await executeTask({ task: hello, payload: { name: 5 }, runtime });
      console.log(JSON.stringify([hello.id, ...ends, refused.detail, logged]));
    `;
    const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", program], { cwd: directory, timeout: 30_000 });
    expect(JSON.parse(stdout)).toEqual([
      "hello",
      '{"greeting":"Hello, world!"}',
      "Hello, world!\n",
      '{"greeting":"Hello, Ada!"}',
      "Hello, Ada!\n",
      "payload_invalid",
      ["wrote greeting.txt", "wrote greeting.txt"],
    ]);
  }, 30_000);
});
