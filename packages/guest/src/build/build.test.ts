import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildResult, buildResult, guestStreams } from "@helmr/protocol/guest";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testBuildGuest, type TestGuest } from "../supervisor/guest.fixture.ts";

let guest: TestGuest & { tree: string };
let base: string;
beforeEach(async () => {
  guest = await testBuildGuest();
  base = mkdtempSync(join(tmpdir(), "helmr-project-"));
});
afterEach(() => {
  guest.dispose();
  rmSync(base, { recursive: true, force: true });
});

type Files = Record<string, string>;

const manifest = JSON.stringify({ name: "p", type: "module", packageManager: "npm@11.0.0", dependencies: { "@helmr/sdk": "0.1.0" } });
const config = `import { defineConfig } from "@helmr/sdk"; export default defineConfig({ project: "p", dirs: ["./tasks"] });`;
const taskOf = (id: string, more = "") =>
  `import { task, sandbox } from "@helmr/sdk"; export const ${id.replaceAll("-", "_")} = task({ id: "${id}", sandbox: sandbox("default"), run: () => 1 }); ${more}`;

function archive(files: Files): Buffer {
  const directory = join(base, "source");
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  return execFileSync("tar", ["-C", directory, "-cf", "-", "."], { maxBuffer: 1e9 });
}

async function send(
  tar: Uint8Array,
  options: { timeoutMs?: number; sourceBytes?: number; only?: "dependencies" } = {},
): Promise<BuildResult> {
  const answer = guest.host.ok({
    type: "build.start",
    sourceStream: 20,
    sourceBytes: options.sourceBytes ?? tar.length,
    installDependencies: true,
    ...(options.only === undefined ? {} : { only: options.only }),
    timeoutMs: options.timeoutMs ?? 60_000,
  });
  await guest.host.sendStream(20, tar);
  return buildResult.parse(await answer);
}

function build(files: Files, options: { timeoutMs?: number } = {}): Promise<BuildResult> {
  return send(archive({ "package.json": manifest, "helmr.config.ts": config, ...files }), options);
}

async function failure(files: Files, options: { timeoutMs?: number } = {}): Promise<string> {
  const result = await build(files, options);
  return result.status === "failed" ? `${result.failure.kind}: ${result.failure.message}` : "built";
}

const log = () => guest.host.text(guestStreams.buildLog);

describe("a build", () => {
  test("gives the declarations of a project and the tree of its tasks", async () => {
    const result = await build({
      "tasks/hello.ts": `
        import { task, sandbox, streams, queue } from "@helmr/sdk";
        import { greet } from "../lib/greet";
        export const replies = streams.output("replies");
        const slow = queue({ id: "slow", concurrencyLimit: 2 });
        export const hello = task({ id: "hello", sandbox: sandbox("own").workspace("/work").resources({ cpu: 1 }), queue: slow, maxDuration: 60,
          secrets: [{ name: "KEY", env: "KEY" }], run: () => greet("x") });`,
      "lib/greet.ts": `export enum Tone { Loud = "!" } export const greet = (name: string) => "hello " + name + Tone.Loud;`,
      "tasks/_ignored.ts": "this is no TypeScript (",
      "tasks/hello.test.ts": "neither is this (",
      "tasks/types.d.ts": "declare const x: number",
      "tasks/nested/second.mjs": taskOf("second"),
    });
    expect(result).toMatchObject({
      status: "built",
      dependencies: "none",
      index: {
        tasks: [
          {
            id: "hello",
            file: "tasks/hello.ts",
            module: ".helmr/compiled/tasks/hello.ts.mjs",
            exportName: "hello",
            queue: "slow",
            maxDurationSeconds: 60,
          },
          { id: "second", file: "tasks/nested/second.mjs", module: ".helmr/compiled/tasks/nested/second.mjs.mjs" },
        ],
        queues: [{ id: "slow", concurrencyLimit: 2 }],
        streams: [{ direction: "output", name: "replies" }],
      },
    });
    const compiled = readFileSync(join(guest.tree, ".helmr/compiled/tasks/hello.ts.mjs"), "utf8");
    expect(compiled).not.toMatch(/^import .*(@helmr\/sdk|zod)/m);
    // What a start has to parse: the parts of the SDK that are used, not its client.
    expect(compiled.length).toBeLessThan(40_000);
    expect(existsSync(join(guest.tree, ".helmr/compiled/tasks/hello.ts.mjs.map"))).toBe(true);
    expect(readFileSync(join(guest.tree, ".helmr/deployment-source/lib/greet.ts"), "utf8")).toContain("greet");
    expect(lstatSync(join(guest.tree, ".helmr/deployment-source/lib/greet.ts")).mtimeMs).toBe(0);
    expect(existsSync(join(guest.tree, "node_modules/@helmr/sdk/package.json"))).toBe(true);
    expect(existsSync(join(guest.tree, ".helmr/work"))).toBe(false);
    expect(guest.calls.slice(-2)).toEqual([`trim /${guest.tree}`, `freeze /${guest.tree}`]);
    const phases = guest.host.messages.filter((message) => message.type === "build.phase").map((message) => message.phase);
    expect(phases).toEqual(["unpacking", "configuring", "compiling", "indexing", "finishing"]);
  });

  test("compiles what TypeScript projects use: paths, imports without and with endings, decorators, CommonJS, the file's own place", async () => {
    const result = await build({
      "tsconfig.json": JSON.stringify({ compilerOptions: { baseUrl: ".", paths: { "~/*": ["src/*"] }, experimentalDecorators: true } }),
      "package.json": JSON.stringify({ ...JSON.parse(manifest), imports: { "#internal": "./src/internal.ts" } }),
      "src/one.ts": "export const one: number = 1;",
      "src/internal.ts": "export const internal = 2 satisfies number;",
      "src/old.cjs": "const { basename } = require('node:path'); module.exports = { name: basename(__filename) };",
      "src/prompt.md": "# prompt",
      "tasks/all.ts": `
        import { readFileSync } from "node:fs";
        import { one } from "~/one";
        import { internal } from "#internal";
        import { one as again } from "../src/one.js";
        import old from "../src/old.cjs";
        import { task, sandbox } from "@helmr/sdk";
        function sealed(target: Function) { Object.seal(target); }
        @sealed class Thing { constructor(readonly name: string) {} }
        namespace Inner { export const value = 3; }
        const prompt = readFileSync(new URL("../src/prompt.md", import.meta.url), "utf8");
        if (one !== again || internal !== 2 || old.name !== "old.cjs" || new Thing("x").name !== "x" || Inner.value !== 3 || prompt !== "# prompt" || !import.meta.dirname.endsWith("tasks")) throw new Error("compiled wrongly: " + [one, again, internal, old.name, prompt, import.meta.dirname]);
        export const all = task({ id: "all", sandbox: sandbox("default"), run: async () => (await import("../src/one")).one });`,
    });
    expect(result).toMatchObject({ status: "built" });
  });

  test("knows a task that a second module exports again, and modules that import each other", async () => {
    const result = await build({
      "tasks/a.ts": `import { b } from "./b"; import { task, sandbox } from "@helmr/sdk"; export const a = task({ id: "a", sandbox: sandbox("s"), run: () => b });`,
      "tasks/b.ts": `import { a } from "./a"; import { task, sandbox } from "@helmr/sdk"; export const b = task({ id: "b", sandbox: sandbox("s"), run: () => a });`,
      "tasks/index.ts": `export * from "./a"; export { b as second } from "./b";`,
    });
    expect(result.status === "built" && result.index.tasks.map((task) => task.id)).toEqual(["a", "b"]);
  });

  test("can be run: the compiled module is what a run imports", async () => {
    await build({ "tasks/hello.ts": taskOf("hello") });
    const script = `import(process.argv[1]).then((m) => console.log(JSON.stringify([Object.keys(m), m.hello.id])))`;
    const printed = execFileSync(process.execPath, ["-e", script, join(guest.tree, ".helmr/compiled/tasks/hello.ts.mjs")], {
      encoding: "utf8",
    });
    expect(JSON.parse(printed)).toEqual([["hello"], "hello"]);
  });

  test("shows what the project prints while it is loaded", async () => {
    await build({ "tasks/hello.ts": `console.log("being loaded"); console.error("on both"); ${taskOf("hello")}` });
    expect(log()).toContain("being loaded\n");
    expect(log()).toContain("on both\n");
  });
});

describe("the examples", () => {
  const examples = fileURLToPath(new URL("../../../../examples/", import.meta.url));
  // One needs a package from a registry: it is built in a guest with a network (test/e2e).
  const alone = readdirSync(examples).filter((name) => {
    const { dependencies } = JSON.parse(readFileSync(join(examples, name, "package.json"), "utf8")) as { dependencies: object };
    return Object.keys(dependencies).length === 1;
  });

  test.each(alone)("%s is built", async (name) => {
    const tar = execFileSync("tar", ["-C", join(examples, name), "--exclude=node_modules", "-cf", "-", "."], { maxBuffer: 1e9 });
    const result = await send(tar);
    expect(result.status === "failed" ? result.failure : result.status).toBe("built");
  });
});

describe("a project that cannot be built", () => {
  test.each<[string, Files, RegExp]>([
    [
      "a syntax error, with its place",
      { "tasks/a.ts": "export const x =\n  const y = 1;" },
      /^task_parse_failed: tasks\/a\.ts:2:3: Unexpected "const"/,
    ],
    [
      "an import that leads nowhere",
      { "tasks/a.ts": `import { x } from "./missing"; x();` },
      /^task_parse_failed: tasks\/a\.ts:1:19: Could not resolve "\.\/missing"/,
    ],
    [
      "a dependency that is not declared",
      { "tasks/a.ts": `import "left-pad-nowhere"; ${taskOf("a")}` },
      /^task_parse_failed: tasks\/a\.ts: the dependency "left-pad-nowhere".*package\.json/,
    ],
    [
      "a default export",
      {
        "tasks/a.ts": `import { task, sandbox } from "@helmr/sdk"; export default task({ id: "a", sandbox: sandbox("s"), run: () => 1 });`,
      },
      /^task_parse_failed: tasks\/a\.ts: task "a" is the default export/,
    ],
    [
      "two tasks with one id",
      { "tasks/a.ts": taskOf("same"), "tasks/b.ts": taskOf("same") },
      /^duplicate_task_id: .*tasks\/a\.ts.*tasks\/b\.ts/,
    ],
    [
      "an undefined queue",
      {
        "tasks/a.ts": `import { task, sandbox } from "@helmr/sdk"; export const a = task({ id: "a", sandbox: sandbox("s"), queue: "nowhere", run: () => 1 });`,
      },
      /^task_parse_failed: task "a" references undefined queue "nowhere"/,
    ],
    [
      "two definitions of a sandbox",
      {
        "tasks/a.ts": `import { task, sandbox } from "@helmr/sdk"; export const a = task({ id: "a", sandbox: sandbox("s"), run: () => 1 }); export const b = task({ id: "b", sandbox: sandbox("s").resources({ cpu: 4 }), run: () => 1 });`,
      },
      /^task_parse_failed: conflicting definitions of sandbox "s"/,
    ],
    [
      "two limits of a queue",
      {
        "tasks/a.ts": `import { queue } from "@helmr/sdk"; queue({ id: "q", concurrencyLimit: 1 }); queue({ id: "q", concurrencyLimit: 2 }); ${taskOf("a")}`,
      },
      /^task_parse_failed: .*q/,
    ],
    [
      "two schemas of a stream",
      {
        "tasks/a.ts": `import { streams } from "@helmr/sdk"; streams.input("s"); streams.input("s", { schema: { "~standard": { version: 1, vendor: "v", validate: () => ({ value: 1 }) } } as never }); ${taskOf("a")}`,
      },
      /^task_parse_failed: .*conflicting deployment catalog schema/,
    ],
    [
      "a module that throws, with its place in the source",
      { "tasks/a.ts": `\n\nthrow new RangeError("not today");` },
      /^task_parse_failed: tasks\/a\.ts:3:7: failed while the module was loaded: RangeError: not today/,
    ],
    [
      "a definition that the SDK refuses",
      { "tasks/a.ts": taskOf("a").replace('"a"', '"not a name"') },
      /^task_parse_failed: tasks\/a\.ts.*not a name/s,
    ],
    [
      "a module that ends the process",
      { "tasks/a.ts": "process.exit(0);" },
      /^task_parse_failed: tasks\/a\.ts ended the process while it was loaded \(exit code 0\)/,
    ],
    [
      "a module that waits for nothing",
      { "tasks/a.ts": "await new Promise(() => {});" },
      /^task_parse_failed: tasks\/a\.ts waits at its top level for something that never happens/,
    ],
    ["no task", { "tasks/a.ts": "export const x = 1;" }, /^task_not_found: /],
    ["no module", { "tasks/readme.txt": "x" }, /^task_not_found: /],
    ["a directory that is not there", { "src/a.ts": taskOf("a") }, /^missing_config: helmr\.config\.ts: the directory ".\/tasks"/],
    ["a directory outside", { "helmr.config.ts": config.replace("./tasks", "../elsewhere") }, /^missing_config: .*must stay inside/],
    ["a config that is none", { "helmr.config.ts": "export default {};" }, /^missing_config: .*defineConfig/],
    [
      "a config that throws",
      { "helmr.config.ts": `throw new Error("bad config");` },
      /^task_parse_failed: helmr\.config\.ts:1:7: .*bad config/,
    ],
    ["a package.json that is none", { "package.json": "{", "tasks/a.ts": taskOf("a") }, /^bad_request: package\.json is no JSON/],
  ])("fails with %s", async (_name, files, expected) => {
    expect(await failure(files)).toMatch(expected);
  });

  test("fails without helmr.config.ts, and without package.json", async () => {
    expect(await send(archive({ "package.json": manifest, "tasks/a.ts": taskOf("a") }))).toMatchObject({
      failure: { kind: "missing_config" },
    });
    rmSync(join(base, "source"), { recursive: true });
    const again = await testBuildGuest();
    const first = guest;
    guest = again;
    try {
      expect(await send(archive({ "helmr.config.ts": config }))).toMatchObject({ failure: { kind: "bad_request" } });
    } finally {
      first.dispose();
    }
  });

  test("fails when its time is over, whatever a module does", async () => {
    expect(await failure({ "tasks/a.ts": "for (;;);" }, { timeoutMs: 4_000 })).toMatch(/^timeout: tasks\/a\.ts was not loaded within/);
  });

  test("fails on huge output without keeping it", async () => {
    const result = await failure({
      "tasks/a.ts": `for (let n = 0; n < 30; n += 1) console.log("x".repeat(1_000_000)); throw new Error("after all that");`,
    });
    expect(result).toContain("after all that");
    expect(guest.host.length(guestStreams.buildLog)).toBeGreaterThan(30_000_000);
  });

  test("cannot forge an answer of the build", async () => {
    const forged = `import { writeSync } from "node:fs"; const body = Buffer.from(JSON.stringify({ type: "built", index: 7 })); const head = Buffer.alloc(5); head.writeUInt32BE(body.length + 1); writeSync(4, Buffer.concat([head, body]));`;
    expect(await failure({ "tasks/a.ts": `${forged} ${taskOf("a")}` })).toMatch(/^task_parse_failed: tasks\/a\.ts broke the pipe/);
  });
});

describe("dependencies", () => {
  const library = {
    "vendor/left/package.json": JSON.stringify({ name: "left", version: "1.0.0", type: "module", exports: "./index.js" }),
    "vendor/left/index.js": `export const left = (text) => text.padStart(5);`,
  };
  const using = { "tasks/a.ts": `import { left } from "left"; if (left("x") !== "    x") throw new Error("wrong"); ${taskOf("a")}` };
  const dependent = JSON.stringify({
    ...JSON.parse(manifest),
    scripts: { prepare: "exit 1" },
    dependencies: { "@helmr/sdk": "9.9.9", left: "file:./vendor/left" },
  });
  const lock = JSON.stringify({
    name: "p",
    lockfileVersion: 3,
    requires: true,
    packages: {
      "": { name: "p", dependencies: { "@helmr/sdk": "9.9.9", left: "file:./vendor/left" } },
      "node_modules/@helmr/sdk": { version: "9.9.9", resolved: "http://127.0.0.1:9/npm/sdk.tgz" },
      "node_modules/left": { resolved: "vendor/left", link: true },
      "vendor/left": { version: "1.0.0" },
    },
  });

  test.each([
    ["the lock file", { "package-lock.json": lock }, "$ npm ci"],
    ["package.json alone", {}, "$ npm install"],
  ])("are installed from %s, the SDK is never fetched", async (_name, more, command) => {
    const result = await build({ ...library, ...using, ...more, "package.json": dependent });
    expect(result).toMatchObject({ status: "built", dependencies: "installed" });
    expect(log()).toContain(command);
    expect(readFileSync(join(guest.tree, "node_modules/left/index.js"), "utf8")).toContain("padStart");
    expect(readFileSync(join(guest.tree, "node_modules/@helmr/sdk/package.json"), "utf8")).not.toContain("9.9.9");
    expect(existsSync(join(guest.tree, "package.json"))).toBe(false);
    expect(readFileSync(join(guest.tree, ".helmr/deployment-source/package.json"), "utf8")).toBe(dependent);
  });

  test("alone: the tree holds them and nothing of the source, for later builds", async () => {
    const files = { ...library, "package.json": dependent, "package-lock.json": lock, "helmr.config.ts": "not even looked at" };
    expect(await send(archive(files), { only: "dependencies" })).toEqual({ status: "installed" });
    expect(readdirSync(guest.tree)).toEqual(["node_modules"]);
    expect(existsSync(join(guest.tree, "node_modules/.package-lock.json"))).toBe(true);
  });

  test("that cannot be installed fail the build with npm's last words", async () => {
    const result = await failure({
      ...using,
      "package.json": dependent.replace("vendor/left", "vendor/missing.tgz"),
      "tasks/b.ts": taskOf("b"),
    });
    expect(result).toMatch(/^dependencies_failed: npm ended with code \d+:\n.*missing/s);
  });

  test("out of step with their lock file fail the build", async () => {
    const stale = JSON.stringify({ name: "p", lockfileVersion: 3, requires: true, packages: { "": { name: "p" } } });
    expect(await failure({ ...library, ...using, "package-lock.json": stale, "package.json": dependent })).toMatch(
      /^dependencies_failed: .*in sync/s,
    );
  });
});

describe("source archives that are refused", () => {
  const links: [string, () => void][] = [
    ["a link that leaves the root", () => symlinkSync("../../etc/passwd", join(base, "source/tasks/link"))],
    ["an absolute link", () => symlinkSync("/etc/passwd", join(base, "source/tasks/link"))],
  ];
  test.each(links)("%s", async (_name, make) => {
    archive({ "package.json": manifest, "helmr.config.ts": config, "tasks/a.ts": taskOf("a") });
    make();
    expect(await send(archive({}))).toMatchObject({ status: "failed", failure: { kind: "bad_request" } });
  });

  test("no tar, a cut tar, another length than announced", async () => {
    expect(await send(Buffer.alloc(5_000, 65))).toMatchObject({ failure: { kind: "bad_request" } });
    const second = await testBuildGuest();
    guest.dispose();
    guest = second;
    const tar = archive({ "package.json": manifest });
    expect(await send(tar.subarray(0, 700))).toMatchObject({ failure: { kind: "bad_request" } });
    const third = await testBuildGuest();
    guest.dispose();
    guest = third;
    expect(await send(tar, { sourceBytes: tar.length + 1 })).toMatchObject({ failure: { kind: "bad_request" } });
  });
});
