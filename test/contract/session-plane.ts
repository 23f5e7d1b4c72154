/** A whole server with a deployed project that has streams and schedules, and a worker that leases runs and calls for their programs over the real wire. */
import type { Directive, RunLease, WorkerBody, WorkerResponse } from "@helmr/protocol/worker";
import {
  type ControlPlane,
  controlPlane,
  type ControlPlaneOptions,
  deployProject,
  type FakeRun,
  type FakeWorker,
  fakeWorker,
  type ProjectShape,
  taskDeclaration,
  type WireAnswer,
} from "@helmr/test/platform";
import { type TestDatabase, testDatabase, until } from "@helmr/test/services";

export const sessionProject: ProjectShape = {
  tasks: [taskDeclaration("hello"), taskDeclaration("other")],
  streams: [
    { direction: "input", name: "approvals", fingerprint: "f1" },
    { direction: "input", name: "unused", fingerprint: "f2" },
    { direction: "output", name: "approvals", fingerprint: "f3" },
    { direction: "output", name: "progress", fingerprint: "f4" },
  ],
};

type Call = WorkerBody<"call">["call"];

/** A run that executes: what its program asks and its holder hears. */
export interface WireProgram {
  sessionId: string;
  runId: string;
  run: FakeRun;
  call(call: Call, callId?: number): Promise<WorkerResponse<"call">>;
  lastCallId(): number;
  /** The outcome of a wait, pushed through the channel. */
  resolved(callId?: number): Promise<Extract<Directive, { type: "wait.resolved" }>["outcome"]>;
  succeed(output?: unknown): Promise<void>;
}

export interface SessionPlane {
  plane: ControlPlane;
  worker: FakeWorker;
  get(path: string): Promise<WireAnswer>;
  post(path: string, body?: unknown, bearer?: string): Promise<WireAnswer>;
  start(body?: object): Promise<{ session: { id: string }; run: { id: string } }>;
  /** Leases and starts the current run of a session; a new session when none is named. */
  program(session?: { id: string } | object): Promise<WireProgram>;
  kinds(runId: string): Promise<string[]>;
  close(): Promise<void>;
}

export async function openSessionPlane(options: Partial<ControlPlaneOptions> & { project?: ProjectShape } = {}): Promise<SessionPlane> {
  const database: TestDatabase = await testDatabase();
  const plane = await controlPlane({ databaseUrl: database.url, migrated: true, ...options });
  await deployProject(plane, options.project ?? sessionProject);
  const worker = await fakeWorker({ url: plane.url, enrollmentSecret: plane.enrollmentSecret, claims: false, name: "programs" });
  await worker.openChannel();
  const ready: RunLease[] = [];
  const { api } = plane;

  /** Other sessions may be queued, too: what is leased on the way is kept for them. */
  async function leaseOf(runId: string): Promise<RunLease> {
    return until(`run ${runId} is leased`, async () => {
      const at = ready.findIndex((lease) => lease.run.id === runId);
      if (at >= 0) return ready.splice(at, 1)[0];
      const leases = await worker.claim({ kinds: ["run"], wait_ms: 1_000 });
      ready.push(...leases.filter((lease): lease is RunLease => lease.kind === "run"));
      return undefined;
    });
  }

  const session: SessionPlane = {
    plane,
    worker,
    get: (path) => api.call("GET", path),
    post: (path, body = {}, bearer) => api.call("POST", path, { body, ...(bearer === undefined ? {} : { bearer }) }),
    async start(body = {}) {
      const started = await api.call("POST", "/api/sessions", { body: { task_id: "hello", ...body } });
      if (started.status !== 201) throw new TypeError(`the start was refused: ${started.text}`);
      return started.json;
    },
    async program(of = {}) {
      const sessionId = "id" in of ? of.id : (await session.start(of)).session.id;
      const { current_run_id: runId } = (await api.call("GET", `/api/sessions/${sessionId}`)).json;
      const lease = await leaseOf(runId);
      const run = worker.take(lease);
      await run.started();
      const fenced = { lease_id: lease.lease_id, fence: lease.fence, attempt_id: lease.run.attempt_id };
      let last = 0;
      return {
        sessionId,
        runId,
        run,
        lastCallId: () => last,
        call: (call, callId = (last += 1)) => worker.post("call", { ...fenced, call_id: callId, call }, runId),
        async resolved(callId = last) {
          const directive = await until("the outcome is pushed", () =>
            worker.directives.find((one) => one.type === "wait.resolved" && one.lease_id === lease.lease_id && one.call_id === callId),
          );
          return directive.type === "wait.resolved" ? directive.outcome : undefined;
        },
        async succeed(output) {
          await run.complete({ status: "succeeded", exit_code: 0, ...(output === undefined ? {} : { output: { value: output } }) });
        },
      };
    },
    async kinds(runId) {
      const { events } = (await api.call("GET", `/api/runs/${runId}/events`)).json;
      return events.map((event: { kind: string }) => event.kind);
    },
    async close() {
      await worker.stop();
      await plane.close();
      await database.drop();
    },
  };
  return session;
}

export const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
export const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;
export const unknownId = "01980a00-0000-7000-8000-00000000ffff";
