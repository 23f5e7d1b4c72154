/** A whole guest on the host's own kernel: the real supervisor and the real program, without a machine around them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { RunEnded, RunStartRequest } from "@helmr/protocol/guest";
import { build } from "esbuild";
import { bundleGuest } from "../../build.ts";
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

/** The bundles, made once per test process. */
function library(): Promise<string> {
  libraryOnce ??= (async () => {
    const directory = mkdtempSync(join(tmpdir(), "helmr-guest-lib-"));
    for (const file of await bundleGuest()) {
      mkdirSync(join(directory, file.name, ".."), { recursive: true });
      writeFileSync(join(directory, file.name), file.data);
    }
    process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
    return directory;
  })();
  return libraryOnce;
}

export async function testGuest(): Promise<TestGuest> {
  const base = mkdtempSync(join(tmpdir(), "helmr-guest-"));
  const root = join(base, "root");
  const workspace = join(root, "workspace");
  const tree = join(base, "tree");
  for (const path of [
    workspace,
    join(root, "etc"),
    join(tree, ".helmr/compiled"),
    join(tree, ".helmr/deployment-source"),
    join(base, "scratch"),
  ]) {
    mkdirSync(path, { recursive: true });
  }
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\nnode:x:1000:\n");
  const local = localTool(root);
  const places = {
    root,
    scratch: join(base, "scratch"),
    devices: { scratch: "/dev/vdc", workspace: "/dev/vdd", task: "/dev/vde" },
    taskTree: tree,
    programFile: join(await library(), "program.mjs"),
  };
  const supervisor = new Supervisor({
    version: "test",
    bootId: "boot",
    tool: local.tool,
    groups: local.groups,
    tenantGroup: "tenant",
    places,
    loadBuilder: () => Promise.reject(new Error("no builder here")),
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
  await build({
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
