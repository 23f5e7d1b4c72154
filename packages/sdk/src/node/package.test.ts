/** The published package as a user gets it: its files, its bundle, its declarations in projects of two kinds. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as sdk from "../index.ts";
import type * as runtimeEntry from "../runtime.ts";
import { apiListing, exportedNames, listingUrl } from "./api-listing.ts";
import { recordingRuntime, settled, wireRecord } from "../testing/recording-runtime.ts";
import { type PackedSdk, packSdk } from "./pack-sdk.ts";

const run = promisify(execFile);
const compiler = fileURLToPath(new URL("../bin/tsc", import.meta.resolve("typescript")));
let packed: PackedSdk;
let folder: string;

beforeAll(async () => {
  packed = await packSdk();
  folder = await mkdtemp(join(tmpdir(), "helmr-sdk-package-"));
  await writeFile(join(folder, "sdk.tgz"), packed.tarball);
  // The system's tar is the judge of the archive, as npm's is a user's.
  await mkdir(join(folder, "node_modules/@helmr/sdk"), { recursive: true });
  await run("tar", ["-xzf", join(folder, "sdk.tgz"), "--strip-components=1", "-C", join(folder, "node_modules/@helmr/sdk")], {
    timeout: 20_000,
  });
}, 120_000);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const contractNames = {
  values:
    "AuthError, RunNotFoundError, TimeoutError, UnsupportedTransportError, HelmrApiError, ConcurrentWaitError, WaitCancelledError, WaitTimeoutError, PayloadSchemaValidationError, WorkspaceStreamTerminalError, WorkspaceStreamError, defineConfig, idempotencyKeys, queue, sandbox, task, sessions, image, cache, source, HelmrClient, validateSecretName, runs, workspaces, auth, streams, tokens, timers, metadata, logger, schedules",
  types: [
    "HelmrConfig, HelmrConfigInput, Placement, SandboxNetwork, SecretDecls, Task, TaskConfig, QueueConfig, QueueDefinition, TaskOutput, TaskPayload, SessionStartPayload, NoPayload, CacheBuilder, CacheMount, CacheMountBinding, ImageBuilder, ImageRunOptions, SandboxBuilder, SecretMountBinding, SourceCapabilities, SourceDirRef, SourceDirectoryOptions, SourceFileRef, TaskContext, SessionContext, TaskWorkspace, RuntimeTokenCreateOptions, ScheduleCron, ScheduledTaskConfig, ScheduledTaskPayload, PayloadSchema, StandardSchemaV1, IdempotencyKey, IdempotencyKeyCreateOptions, IdempotencyKeyInput, IdempotencyKeyScope",
    "WaitHandle, WaitDelayHandle, WaitResult, WaitJson, DurationInput, UntilInput, TokenWaitOptions, StreamAppendOptions, StreamListOptions, StreamReadOptions, StreamRecord, StreamWriter, OutputStreamDefinition, InputStreamDefinition, InputStreamPeekOptions, InputStreamSendOptions, InputStreamWaitOptions, InputStreamHandle, OutputStreamHandle",
    "LogSnapshot, ListRunEventsOptions, ListRunsOptions, RetrieveRunOptions, RunEvent, RunEventRecord, RunEventRecordPage, RunHandle, RunOutput, RunSnapshot, RunStatus, RunSummary, SubscribeRunEventsOptions",
    "OpenSessionApi, OpenSessionByExternalIdApi, OpenSessionHandle, SessionInputSendOptions, SessionInputSendResult, SessionInputStreamApi, SessionOutputAppendOptions, SessionOutputStreamApi, SessionStreamListOptions, SessionStreamReadOptions, SessionCancelOptions, SessionCloseOptions, SessionHandle, SessionListOptions, SessionRun, SessionSnapshot, SessionActivity, SessionAddress, SessionExternalIdAddress, SessionStatus, SessionStartAndWaitOptions, SessionStartOptions, SessionStartAndWaitResult, SessionStartResult, PublicAccessToken, PublicAccessTokenCreateOptions, PublicAccessTokenScope",
    "Token, TokenRef, TokenCompleteOptions, TokenCompleteResult, TokenCreateOptions, TokenListOptions, TokenRetrieveOptions, TokensApi, Schedule, ScheduleCreateOptions, ScheduleRef, ScheduleUpdateOptions, SchedulesApi, ListSchedulesOptions, RetrieveScheduleOptions",
    "Workspace, WorkspaceHandle, WorkspacesApi, WorkspaceState, WorkspaceDesiredState, WorkspaceDirtyState, WorkspaceMaterialization, WorkspaceVersion, WorkspaceVersionsApi, WorkspaceVersionListOptions, WorkspaceFileEntry, WorkspaceFileList, WorkspaceFilesApi, WorkspaceFileListOptions, WorkspaceFileReadOptions, WorkspaceFileSourceOptions, WorkspaceFileStatOptions, WorkspaceExec, WorkspaceExecHandle, WorkspaceExecsApi, WorkspaceExecState, WorkspaceExecCreateOptions, WorkspaceExecListOptions, WorkspaceExecReadableStreamApi, WorkspaceExecStdinApi, WorkspacePty, WorkspacePtyApi, WorkspacePtyHandle, WorkspacePtyState, WorkspacePtyCreateOptions, WorkspacePtyListOptions, WorkspacePtyOutputApi, WorkspaceStreamChunk, WorkspaceStreamTerminal, WorkspaceStreamFollowOptions, WorkspaceStreamListOptions, WorkspaceStreamWriteOptions, WorkspaceCreateOptions, WorkspaceListOptions, WorkspaceRetrieveOptions, WorkspaceUpdateOptions, WorkspaceMaterializeOptions, WorkspaceStopOptions, WorkspaceStopResult",
  ].join(", "),
};

test("the entry exports exactly the names of the contract", async () => {
  const sorted = (list: string): string[] => list.split(", ").sort();
  const names = exportedNames(await readFile(new URL("../index.ts", import.meta.url), "utf8"));
  expect(names.values).toEqual(sorted(contractNames.values));
  expect(names.types).toEqual(sorted(contractNames.types));
  expect(Object.keys(sdk).sort()).toEqual(sorted(contractNames.values));
});

test("api.md says what the sources say (npm run generate)", async () => {
  expect(await readFile(listingUrl, "utf8")).toBe(await apiListing());
}, 60_000);

test("packing twice gives the same bytes, and the digests are theirs", async () => {
  const again = await packSdk();
  expect(Buffer.from(again.tarball).equals(packed.tarball)).toBe(true);
  expect(packed.integrity).toBe(`sha512-${createHash("sha512").update(packed.tarball).digest("base64")}`);
  expect(packed.shasum).toBe(createHash("sha1").update(packed.tarball).digest("hex"));
}, 60_000);

test("npm itself accepts the tarball and installs it without asking anybody", async () => {
  const project = join(folder, "installed");
  await mkdir(project);
  await writeFile(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const environment = { ...process.env, npm_config_registry: "http://127.0.0.1:9/", npm_config_fetch_retries: "0" };
  await run("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", join(folder, "sdk.tgz")], {
    cwd: project,
    timeout: 60_000,
    env: environment,
  });
  const manifest = JSON.parse(await readFile(join(project, "node_modules/@helmr/sdk/package.json"), "utf8")) as Record<string, unknown>;
  expect(manifest).toEqual(packed.packageJson);
  expect(manifest["dependencies"]).toBeUndefined();
}, 90_000);

test("the bundle imports its own parts only and stays small enough for a browser", async () => {
  const dist = join(folder, "node_modules/@helmr/sdk/dist");
  const bundles = (await readdir(dist)).filter((file) => file.endsWith(".js"));
  expect(bundles.sort()).toEqual(["index.js", "runtime.js", expect.stringMatching(/^shared-\w+\.js$/)]);
  const texts = await Promise.all(bundles.map((file) => readFile(join(dist, file), "utf8")));
  const specifiers = texts.flatMap((text) =>
    Array.from(text.matchAll(/^(?:import|export|\}) ?.*?from "([^"]+)";$|^import "([^"]+)";$/gm), (match) => match[1] ?? match[2]),
  );
  expect(new Set(specifiers)).toEqual(new Set([`./${bundles[2]}`]));
  for (const text of texts) expect(text).not.toMatch(/\brequire\(|\bimport\(/);
  expect(gzipSync(texts.join("")).length).toBeLessThan(40_000);
});

test("two copies in one process share brands, the running task, and what must exist once", async () => {
  const entry = (name: string): string => join(folder, "node_modules/@helmr/sdk/dist", name);
  const built = (await import(entry("index.js"))) as typeof sdk;
  const builtRuntime = (await import(entry("runtime.js"))) as typeof runtimeEntry;
  expect(Object.keys(built).sort()).toEqual(Object.keys(sdk).sort());

  // Definitions and errors of either copy are recognised by the other.
  expect(builtRuntime.isTask(sdk.task({ id: "here", sandbox: built.sandbox("box").image(sdk.image("i").from("x")), run: () => 1 }))).toBe(
    true,
  );
  expect(builtRuntime.readConfig(sdk.defineConfig({ project: "p", dirs: ["a"] }))).toMatchObject({ ok: true });
  expect(new built.WaitTimeoutError(3)).toBeInstanceOf(sdk.WaitTimeoutError);
  expect(new built.WaitTimeoutError(3)).not.toBeInstanceOf(sdk.WaitCancelledError);
  const discovery = builtRuntime.startDiscovery();
  sdk.streams.input("theirs");
  built.streams.input("ours");
  discovery.stop();
  expect(discovery.registry.streams.map(({ name }) => name)).toEqual(["theirs", "ours"]);

  // The program's copy installs the runtime, the task's copies use it: one blocking call, one cursor.
  const runtime = recordingRuntime();
  const first = sdk.streams.input("answers").wait().unwrap();
  await settled();
  await expect(built.timers.waitFor(5).unwrap()).rejects.toBeInstanceOf(sdk.ConcurrentWaitError);
  runtime.sent(0).answer({ kind: "stream", status: "completed", record: wireRecord(5, "five") });
  expect(await first).toBe("five");
  void built.streams.input("answers").wait().unwrap();
  await settled();
  expect(runtime.sent(1).call).toMatchObject({ on: { stream: "answers", afterSequence: 5 } });
  runtime.uninstall();
  expect(() => built.logger.info("x")).toThrow("Helmr run APIs can only be used while a task is running");
});

const consumer = `
import { HelmrClient, defineConfig, runs, sandbox, sessions, streams, task, tokens, type RunSnapshot } from "@helmr/sdk";
import type { RunRuntime } from "@helmr/sdk/runtime";

export default defineConfig({ project: "p", dirs: ["./tasks"] });
const answers = streams.input("answers");
export const hello = task({
  id: "hello",
  sandbox: sandbox("box").resources({ cpu: 1, memory: "512Mi" }),
  run: async (ctx) => {
    const token = await tokens.create({ timeout: 60 });
    await token.wait().unwrap();
    await answers.wait({ timeout: "1h" });
    return { path: ctx.workspace.path };
  },
});
export async function start(): Promise<string | undefined> {
  const { run } = await sessions.start(hello, {});
  const ended: RunSnapshot<{ path: string }> = await runs.wait(run, { timeoutMs: 1000 });
  for await (const event of new HelmrClient().runs.events.subscribe(run)) if (event.type === "log") return event.stream;
  return ended.output?.path;
}
export const seen: RunRuntime["run"]["id"] = "x";
// @ts-expect-error a mistake is seen: the declarations are not any
sessions.start(hello);
`;

test.each([
  ["nodenext", { module: "nodenext", moduleResolution: "nodenext" }],
  ["bundler", { module: "esnext", moduleResolution: "bundler" }],
])(
  "a strict project with %s resolution type-checks against the tarball, library files included",
  async (name, resolution) => {
    const project = join(folder, `consumer-${name}`);
    await mkdir(project);
    const compilerOptions = {
      target: "es2022",
      lib: ["es2023", "dom", "dom.asynciterable"],
      strict: true,
      noEmit: true,
      types: [],
      skipLibCheck: false,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      ...resolution,
    };
    await writeFile(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
    await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["main.ts"] }));
    await writeFile(join(project, "main.ts"), consumer);
    const { stdout } = await run(process.execPath, [compiler, "-p", project], { timeout: 60_000, cwd: dirname(project) }).catch(
      (error: unknown) => error as { stdout: string },
    );
    expect(stdout).toBe("");
  },
  90_000,
);
