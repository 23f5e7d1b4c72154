/** A whole guest on the host's own kernel: the real supervisor and the real program, without a machine around them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { RunEnded, RunStartRequest } from "@helmr/protocol/guest";
import * as esbuild from "esbuild";
import { afterAll } from "vitest";
import { guestBundles, sdkFiles, sdkModules, type GuestFile } from "../../build.ts";
import { build, imageStep } from "../build/main.ts";
import { localTool, type LocalTool } from "./local-tool.fixture.ts";
import { Supervisor } from "./supervisor.ts";
import { type HostRequest, TestHost } from "./test-host.fixture.ts";

export interface TestGuest extends LocalTool {
  host: TestHost;
  supervisor: Supervisor;
  /** Of the task. */
  root: string;
  workspace: string;
  attach(overrides?: Partial<Extract<HostRequest, { type: "attach" }>>): Promise<void>;
  /** Compiles a task module and starts it. */
  start(source: string, overrides?: Partial<RunStartRequest>): Promise<void>;
  /** Compiles a task module, starts it and waits for its end. */
  run(source: string, overrides?: Partial<RunStartRequest>): Promise<RunEnded>;
  dispose(): void;
}

let libraryOnce: Promise<string> | undefined;
let libraryDirectory: string | undefined;
afterAll(() => {
  if (libraryDirectory !== undefined) rmSync(libraryDirectory, { recursive: true, force: true });
});
let sdkOnce: Promise<void> | undefined;

/** The bundles, made once per test process. */
function library(): Promise<string> {
  libraryOnce ??= (async () => {
    const directory = mkdtempSync(join(tmpdir(), "helmr-guest-lib-"));
    libraryDirectory = directory;
    writeFiles(directory, await guestBundles());
    return directory;
  })();
  return libraryOnce;
}

function writeFiles(directory: string, files: readonly GuestFile[]): void {
  for (const file of files) {
    mkdirSync(join(directory, file.name, ".."), { recursive: true });
    writeFileSync(join(directory, file.name), file.data);
  }
}

/** A guest that builds: its task tree is at the same path for the supervisor and for the tenant, because nothing changes the root. */
export async function testBuildGuest(): Promise<TestGuest & { tree: string }> {
  const lib = await library();
  sdkOnce ??= Promise.all([sdkFiles(), sdkModules()]).then((files) => writeFiles(lib, files.flat()));
  await sdkOnce;
  const guest = await testGuest({ root: "/" });
  const tree = mkdtempSync(join(tmpdir(), "helmr-task-"));
  const { username } = userInfo();
  await guest.attach({
    disks: { scratch: "disk", workspace: { path: tree }, task: false },
    image: { env: { PATH: process.env["PATH"] ?? "" }, workdir: "/", user: username },
  });
  const dispose = () => {
    guest.dispose();
    rmSync(tree, { recursive: true, force: true });
  };
  return { ...guest, tree, dispose };
}

export async function testGuest(options: { root?: string } = {}): Promise<TestGuest> {
  const base = mkdtempSync(join(tmpdir(), "helmr-guest-"));
  const root = options.root ?? join(base, "root");
  const workspace = join(base, "root/workspace");
  const tree = join(base, "tree");
  const directories = [
    workspace,
    join(base, "root/etc"),
    join(tree, ".helmr/compiled"),
    join(tree, ".helmr/deployment-source"),
    join(base, "scratch"),
  ];
  for (const path of directories) mkdirSync(path, { recursive: true });
  writeFileSync(join(base, "root/etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n");
  writeFileSync(join(base, "root/etc/group"), "root:x:0:\nnode:x:1000:\n");
  const local = localTool(root);
  const lib = await library();
  const places = {
    root,
    scratch: join(base, "scratch"),
    devices: { scratch: "/dev/vdc", workspace: "/dev/vdd", task: "/dev/vde", caches: ["/dev/vdf"] },
    taskTree: tree,
    programFile: join(lib, "program.mjs"),
    builderFile: join(lib, "builder.mjs"),
    compiler: createRequire(import.meta.url).resolve("@esbuild/linux-x64/bin/esbuild"),
    sdk: { package: join(lib, "sdk"), modules: join(lib, "sdk-modules") },
  };
  const supervisor = new Supervisor({
    version: "test",
    bootId: "boot",
    tool: local.tool,
    groups: local.groups,
    tenantGroup: "tenant",
    places,
    loadBuilder: async () => ({ build, imageStep }),
  });
  const host = new TestHost();
  host.connect(supervisor.link);
  const guest: TestGuest = {
    ...local,
    host,
    supervisor,
    root,
    workspace,
    attach: async (overrides = {}) => {
      await host.ok({ ...attachRequest(), ...overrides });
    },
    start: async (source, overrides = {}) => {
      await compile(source, join(tree, ".helmr/compiled/task.mjs"));
      await host.ok({ ...startRequest(), ...overrides });
    },
    run: async (source, overrides = {}) => {
      await guest.start(source, overrides);
      return host.message("run.ended");
    },
    dispose: () => {
      local.groups.leaf("run").kill();
      host.disconnect();
      rmSync(base, { recursive: true, force: true });
    },
  };
  return guest;
}

export function attachRequest(): Extract<HostRequest, { type: "attach" }> {
  return {
    type: "attach",
    resumed: false,
    clock: { unixUs: Date.now() * 1000, entropy: Buffer.alloc(64, 1).toString("base64") },
    hostname: "guest",
    leaseMs: 60_000,
    disks: { scratch: "disk", workspace: { path: "/workspace" }, task: true },
    image: { env: { PATH: process.env["PATH"] ?? "", IMAGE: "yes", LD_PRELOAD: "never", HOME: "/not/this" }, workdir: "/", user: "root" },
    environment: { INSTALL: "default", IMAGE: "overridden" },
    network: { enabled: false },
  };
}

function startRequest(): Extract<HostRequest, { type: "run.start" }> {
  return {
    type: "run.start",
    run: { id: "run", attemptId: "attempt", attemptNumber: 1, leaseId: "lease", sessionId: "session", taskId: "example" },
    module: ".helmr/compiled/task.mjs",
    exportName: "example",
    payload: {},
    secrets: [],
    activeMs: 60_000,
  };
}

const resolveDir = fileURLToPath(new URL("../..", import.meta.url));

/** `source` is TypeScript that may use `declare(run)`: a task `example` without a schema. */
export async function compile(source: string, outfile: string): Promise<void> {
  const prelude = 'import { task, sandbox, logger, streams, timers, tokens, metadata } from "@helmr/sdk"; const box = sandbox("box");';
  const declared = `${prelude} const declare = (run: (ctx: any) => unknown) => task({ id: "example", sandbox: box, run } as never);\n${source}`;
  await esbuild.build({
    stdin: { contents: declared, resolveDir, loader: "ts", sourcefile: "tasks/example.ts" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    external: ["left-pad-that-is-not-there"],
    alias: { "@helmr/sdk": fileURLToPath(new URL("../../../sdk/src/index.ts", import.meta.url)) },
    sourcemap: "linked",
    outfile,
    logLevel: "silent",
  });
}
