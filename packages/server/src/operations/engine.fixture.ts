/**
 * For tests of operations: the engine over a database of its own, with a project, a promoted deployment and enrolled workers, all made through the
 * operations themselves. Statements can be failed one by one (`failAt`), as a lost connection would do it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { ProjectIndex } from "@helmr/protocol/guest";
import { type SessionStartBody, sessionStartBody } from "@helmr/protocol/api";
import type { AttemptEnd, NewArtifact, RunLease, WorkspaceResult } from "@helmr/protocol/worker";
import { brokenInvariants, testDatabase } from "@helmr/test/services";
import pg from "pg";
import { pack } from "tar-stream";
import { createHash, randomUUID } from "node:crypto";
import { assert, required } from "../assert.ts";
import { openFileStore } from "../blobs/fs.ts";
import { signedGrants } from "../blobs/signed-grants.ts";
import { openPostgresDispatch } from "../dispatch/postgres.ts";
import { type EngineContext, type EngineHooks, noHooks } from "../engine-context.ts";
import { openHints } from "../hints.ts";
import { openLive } from "../live.ts";
import { generateKeyRing } from "../key-ring.ts";
import { isRefusal } from "../outcome.ts";
import { openKeys } from "../secrets.ts";
import { DatabaseUnavailable, openDb } from "../store/db.ts";
import { isStale, type RunCall, type WorkerActor } from "../worker-actor.ts";
import { completeAttempt, type Completion } from "./complete-attempt.ts";
import { createDeployment } from "./create-deployment.ts";
import { completeBuild } from "./end-build.ts";
import { enrollWorker, findEnrollment, ensureEnrollment, newEnrollmentSecret, startWorker } from "./enroll-worker.ts";
import { ensureLocalInstall } from "./ensure-local-install.ts";
import { grantBuildLeases, grantRunLeases } from "./grant-leases.ts";
import { createGates } from "./open-gates.ts";
import { promoteDeployment } from "./promote-deployment.ts";
import { startAttempt } from "./start-attempt.ts";
import { type Started, startSession, type StartScope } from "./start-session.ts";

export interface TestWorker extends WorkerActor {
  epoch: number;
}

export interface Engine {
  context: EngineContext;
  scope: StartScope;
  databaseUrl: string;
  blobDirectory: string;
  hinted: string[];
  sql<R extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<R[]>;
  one<R extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<R>;
  worker(): Promise<TestWorker>;
  /** Uploads, builds and promotes a project; returns the deployment's id. */
  deploy(shape?: Partial<ProjectIndex>): Promise<string>;
  start(body?: Partial<SessionStartBody> & { task_id?: string }): Promise<Started>;
  /** Leases these runs (or the only queued one) to a worker. */
  lease(worker: TestWorker, runIds?: string[]): Promise<RunLease[]>;
  /** Leases and starts one run. */
  execute(worker: TestWorker, runId: string): Promise<{ lease: RunLease; call: RunCall }>;
  call(worker: TestWorker, lease: RunLease): RunCall;
  complete(call: RunCall, end?: AttemptEnd, over?: Partial<Completion>): ReturnType<typeof completeAttempt>;
  artifact(over?: Partial<NewArtifact>): NewArtifact;
  captured(): WorkspaceResult;
  /** Names of statements from here on; `commit` among them. */
  recorded(action: () => Promise<unknown>): Promise<string[]>;
  /** The n-th statement from here on fails: before it is sent, or after it took effect. */
  failAt(index: number, phase: "before" | "after"): void;
  failNothing(): void;
  invariants(): Promise<unknown[]>;
  close(): Promise<void>;
}

export const succeeded = { status: "succeeded", exit_code: 0 } as const satisfies AttemptEnd;
export const failed: AttemptEnd = { status: "failed", exit_code: 1, failure_kind: "task_failed", reason: "threw", message: "it threw" };

const box = { id: "box", workspacePath: "/workspace", resources: {}, network: { internet: true } };

export function taskDeclaration(id: string, over: Partial<ProjectIndex["tasks"][number]> = {}): ProjectIndex["tasks"][number] {
  return { id, file: `tasks/${id}.ts`, module: `tasks/${id}.mjs`, exportName: id, sandbox: "box", secrets: [], ...over };
}

export async function openEngine(hooks: Partial<EngineHooks> = {}): Promise<Engine> {
  const { context, scope, database, directory, hinted, faults } = await openContext(hooks);
  const { db, hints, gates } = context;
  const enrollment = newEnrollmentSecret();
  await ensureEnrollment(db, "default", enrollment);
  const pool = new pg.Pool({ connectionString: database.url, max: 3 });
  pool.on("error", () => undefined);
  pool.on("connect", (client) => void client.on("error", () => undefined));
  const sql = async <R extends object>(text: string, values?: unknown[]) => (await pool.query<R & pg.QueryResultRow>(text, values)).rows;

  const engine: Engine = {
    context,
    scope,
    databaseUrl: database.url,
    blobDirectory: directory,
    hinted,
    sql,
    one: async <R extends object>(text: string, values?: unknown[]) => required((await sql<R>(text, values))[0], `No row: ${text}`),
    worker: () => enrolledWorker(context, enrollment),
    deploy: (shape) => deployProject(engine, shape),
    async start(body = {}) {
      const started = await startSession(context, { scope, body: sessionStartBody.parse({ task_id: "hello", ...body }) });
      assert(!isRefusal(started), `The start was refused: ${JSON.stringify(started)}`);
      await gates.settled();
      return started;
    },
    async lease(worker, runIds) {
      // What is still being let through holds rows that a grant would leave for the next claim.
      await gates.settled();
      const ids =
        runIds ??
        (await sql<{ run_id: string }>("select run_id from run_queue where gate = 'open' order by ready_at")).map((row) => row.run_id);
      const leases = await grantRunLeases(context, worker, ids, 60_000);
      return leases.filter((lease) => lease.kind === "run");
    },
    async execute(worker, runId) {
      const [lease] = await engine.lease(worker, [runId]);
      assert(lease, "The run could not be leased");
      const call = engine.call(worker, lease);
      const state = await startAttempt(context, call);
      assert(!isStale(state) && state.state === "started", "The attempt could not be started");
      return { lease, call };
    },
    call: (worker, lease) => ({
      worker,
      runId: lease.run.id,
      leaseId: lease.lease_id,
      fence: lease.fence,
      attemptId: lease.run.attempt_id,
    }),
    complete: (call, end = succeeded, over = {}) =>
      completeAttempt(context, call, { end, activeMs: 10, reportThrough: 0, workspace: { status: "unchanged" }, ...over }),
    artifact: (over) => newArtifact(scope.orgId, over),
    captured: () => ({ status: "captured", version_id: randomUUID(), artifact: newArtifact(scope.orgId), size_bytes: 10, entry_count: 1 }),
    recorded: faults.recorded,
    failAt: faults.failAt,
    failNothing: faults.failNothing,
    invariants: () => brokenInvariants(database.url),
    async close() {
      await gates.settled();
      await hints.close();
      await db.close();
      await pool.end();
      await database.drop();
      await rm(directory, { recursive: true, force: true });
    },
  };
  return engine;
}

/** As a server has them by default. */
const mounts = { idleMs: 300_000 };
const parking = { waitLiveMs: 120_000, timerLiveMs: 5_000, resumeWaitMs: 3_600_000 };

async function openContext(hooks: Partial<EngineHooks>) {
  const database = await testDatabase();
  const directory = await mkdtemp(join(tmpdir(), "helmr-test-blobs-"));
  const faults = faultInjector();
  const db = openDb({ url: database.url, poolSize: 10, intercept: faults.intercept });
  const hints = await openHints(null);
  const hinted: string[] = [];
  const recordedHints = { ...hints, send: (topic: string) => (hinted.push(topic), hints.send(topic)) };
  const keys = openKeys(generateKeyRing());
  const blobs = await openFileStore(directory, signedGrants(keys, "http://localhost"));
  const dispatch = openPostgresDispatch(db, recordedHints);
  const gates = createGates({ db, dispatch, hints: recordedHints });
  const context: EngineContext = {
    db,
    hints: recordedHints,
    live: openLive(),
    keys,
    dispatch,
    blobs,
    gates,
    hooks: { ...noHooks, ...hooks },
    parking,
    mounts,
  };
  const install = await ensureLocalInstall({ db, hints, publicUrl: "http://localhost" }, undefined);
  const scope = { orgId: install.orgId, projectId: install.projectId, environmentId: install.environmentId };
  return { context, scope, database, directory, hinted, faults };
}

/** Fails a chosen statement with the error that a lost connection gives. */
function faultInjector() {
  let count = 0;
  let target: { index: number; phase: "before" | "after" } | undefined;
  let names: string[] | undefined;
  return {
    intercept: (name: string, phase: "before" | "after") => {
      if (phase === "before") {
        names?.push(name);
        count += 1;
      }
      if (target && phase === target.phase && count - 1 === target.index) {
        const unknown = phase === "after";
        target = undefined;
        throw new DatabaseUnavailable(`injected ${phase} ${name}`, { unknown });
      }
    },
    recorded: async (action: () => Promise<unknown>) => {
      const list: string[] = [];
      names = list;
      await action();
      names = undefined;
      return list;
    },
    failAt: (index: number, phase: "before" | "after") => {
      count = 0;
      target = { index, phase };
    },
    failNothing: () => {
      target = undefined;
    },
  };
}

async function enrolledWorker(context: EngineContext, secret: string): Promise<TestWorker> {
  const facts = {
    version: "0.1.0",
    driver: "fake",
    driver_version: "0",
    accelerator: "tcg" as const,
    accelerator_explanation: "",
    cpu_family: "none",
    architecture: "amd64" as const,
    hostname: "fake",
  };
  const enrollment = await findEnrollment(context.db, secret);
  assert(!isRefusal(enrollment), "The enrollment was refused");
  const enrolled = await enrollWorker(context, enrollment, { name: randomUUID(), facts });
  const actor = { workerId: enrolled.workerId, group: enrolled.group };
  const total = { milli_cpu: 8_000, memory_mib: 16_384, disk_mib: 1_000_000, slots: 16 };
  const { epoch } = await startWorker(context, actor, { facts, total, adopt: [] });
  return { ...actor, epoch };
}

export function newArtifact(orgId: string, over: Partial<NewArtifact> = {}): NewArtifact {
  const artifact_id = randomUUID();
  const pack_id = randomUUID();
  return {
    artifact_id,
    manifest_key: `orgs/${orgId}/manifests/${artifact_id}`,
    digest: `sha256:${createHash("sha256").update(artifact_id).digest("hex")}`,
    length_bytes: 1 << 30,
    stored_bytes: 4_096,
    packs: [{ pack_id, object_key: `orgs/${orgId}/packs/${pack_id}`, size_bytes: 4_096 }],
    ...over,
  };
}

export async function sourceTar(files: Record<string, string>): Promise<Buffer> {
  const archive = pack();
  for (const [name, text] of Object.entries(files)) archive.entry({ name, mtime: new Date(0) }, text);
  archive.finalize();
  const parts: Buffer[] = [];
  for await (const part of archive as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

export function sourceHash(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** A queued deployment with a source of its own. */
export async function uploadSource(
  engine: Pick<Engine, "context" | "scope">,
  files: Record<string, string> = { "package.json": randomUUID() },
) {
  const bytes = await sourceTar(files);
  const created = await createDeployment(engine.context, {
    scope: engine.scope,
    metadata: { content_hash: sourceHash(bytes) },
    source: Readable.from([bytes]),
    sdkVersion: undefined,
    cliVersion: undefined,
  });
  assert(!isRefusal(created), `The upload was refused: ${JSON.stringify(created)}`);
  return created;
}

async function deployProject(engine: Engine, shape: Partial<ProjectIndex> = {}): Promise<string> {
  const { context, scope } = engine;
  const index: ProjectIndex = { tasks: [taskDeclaration("hello")], sandboxes: [box], images: {}, queues: [], streams: [], ...shape };
  const created = await uploadSource(engine);
  const builder = await engine.worker();
  const [lease] = await grantBuildLeases(context, builder, 1);
  assert(lease?.kind === "build", "No build lease was granted");
  const call = { worker: builder, deploymentId: created.id, leaseId: lease.lease_id, fence: lease.fence };
  const result = { status: "built" as const, index, task_tree: newArtifact(scope.orgId), images: [] };
  const built = await completeBuild(context, call, { reportThrough: 0, result });
  assert("state" in built && built.state === "deployed", `The build ended as ${JSON.stringify(built)}`);
  const promoted = await promoteDeployment(context, { scope, ref: created.id, reason: undefined });
  assert(!isRefusal(promoted), "The promotion was refused");
  return created.id;
}

export interface Steps<S> {
  /** A fresh subject for each try. */
  setup: () => Promise<S>;
  /** The operation. Repeated with the same input after a failure, as its caller does it. */
  act: (subject: S) => Promise<unknown>;
  /** What must be true once it has succeeded, however often it was tried. */
  check: (subject: S, result: unknown) => Promise<void>;
}

/**
 * Every statement of an operation fails once, before it is sent and after it took effect (a COMMIT whose answer is lost included); then the operation is
 * repeated, must succeed, and leave the same state. Returns how many steps were failed.
 */
export async function eachStep<S>(engine: Engine, { setup, act, check }: Steps<S>): Promise<number> {
  const first = await setup();
  const names = await engine.recorded(async () => check(first, await act(first)));
  await engine.context.gates.settled();
  let failures = 0;
  for (let index = 0; index < names.length; index += 1) {
    for (const phase of ["before", "after"] as const) {
      const subject = await setup();
      await engine.context.gates.settled();
      engine.failAt(index, phase);
      const error = await act(subject).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      engine.failNothing();
      if (error !== undefined && !(error instanceof DatabaseUnavailable)) throw error;
      if (error !== undefined) failures += 1;
      await engine.context.gates.settled();
      await expectInvariants(engine, `after failing ${phase} ${names[index]}`);
      await check(subject, await act(subject));
      await engine.context.gates.settled();
      await expectInvariants(engine, `after repeating what failed ${phase} ${names[index]}`);
    }
  }
  return failures;
}

async function expectInvariants(engine: Engine, when: string): Promise<void> {
  const broken = await engine.invariants();
  assert(broken.length === 0, `Broken ${when}: ${JSON.stringify(broken)}`);
}
