/** What the HTTP contract tests of the engine share: a whole server with a deployed project, and short ways to say what they mean. */
import {
  type ControlPlane,
  controlPlane,
  deployProject,
  type FakeWorker,
  fakeWorker,
  type FakeRun,
  type ProjectShape,
  type WireAnswer,
} from "@helmr/test/platform";
import { brokenInvariants, type TestDatabase, testDatabase, until } from "@helmr/test/services";
import { expect } from "vitest";

export interface Api {
  plane: ControlPlane;
  database: TestDatabase;
  deploymentId: string;
  get(path: string, headers?: Record<string, string>): Promise<WireAnswer>;
  post(path: string, body?: unknown): Promise<WireAnswer>;
  send(method: string, path: string, body?: unknown): Promise<WireAnswer>;
  /** Starts a session and returns the answer's body. */
  start(body?: object): Promise<{ session: Json; run: Json }>;
  /** A worker that claims nothing by itself. */
  worker(): Promise<FakeWorker>;
  /** Leases this run; others that come along are held. */
  take(worker: FakeWorker, runId: string): Promise<FakeRun>;
  run(id: string): Promise<Json>;
  /** The run once its status is one of these. */
  reaches(id: string, ...statuses: string[]): Promise<Json>;
  events(id: string): Promise<Json[]>;
  close(): Promise<void>;
}

// oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers
export type Json = any;

export async function openApi(shape: ProjectShape = {}): Promise<Api> {
  const database = await testDatabase();
  const plane = await controlPlane({ databaseUrl: database.url, migrated: true });
  const deploymentId = await deployProject(plane, shape);
  const workers: FakeWorker[] = [];
  const api: Api = {
    plane,
    database,
    deploymentId,
    get: (path, headers = {}) => plane.api.call("GET", path, { headers }),
    post: (path, body) => plane.api.call("POST", path, body === undefined ? {} : { body }),
    send: (method, path, body) => plane.api.call(method, path, body === undefined ? {} : { body }),
    async start(body = {}) {
      const answer = await api.post("/api/sessions", { task_id: "hello", ...body });
      expect([200, 201], answer.text).toContain(answer.status);
      return answer.json as { session: Json; run: Json };
    },
    async worker() {
      const worker = await fakeWorker({ url: plane.url, enrollmentSecret: plane.enrollmentSecret, claims: false });
      workers.push(worker);
      return worker;
    },
    async take(worker, runId) {
      return until("the run is leased", async () => {
        const leases = [...worker.held.values(), ...(await worker.claim({ kinds: ["run"], wait_ms: 2_000 }))];
        const lease = leases.find((item) => item.kind === "run" && item.run.id === runId);
        return lease?.kind === "run" ? worker.take(lease) : undefined;
      });
    },
    run: async (id) => (await api.get(`/api/runs/${id}`)).json,
    reaches: (id, ...statuses) =>
      until(`run ${id} reads ${statuses.join(" or ")}`, async () => {
        const run = await api.run(id);
        return statuses.includes(run.status) && run;
      }),
    events: async (id) => (await api.get(`/api/runs/${id}/events`)).json.events as Json[],
    async close() {
      for (const worker of workers) await worker.stop();
      const broken = await brokenInvariants(database.url);
      const { faults } = plane;
      await plane.close();
      await database.drop();
      expect(broken).toEqual([]);
      expect(faults).toEqual([]);
    },
  };
  return api;
}

export interface SseEvent {
  id: string;
  event: string;
  data: Json;
}

/** Collects frames until the stream ends, or `enough` says so. */
export async function collect(
  api: Api,
  path: string,
  options: { headers?: Record<string, string>; enough?: (events: SseEvent[]) => boolean } = {},
): Promise<{ events: SseEvent[]; ended: boolean; headers: Record<string, unknown> }> {
  const response = await api.plane.api.open("GET", path, { headers: { accept: "text/event-stream", ...options.headers } });
  const events: SseEvent[] = [];
  let rest = "";
  const timer = setTimeout(() => response.destroy(new Error("the stream did not end in time")), 10_000);
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      rest += chunk.toString();
      const frames = rest.split("\n\n");
      rest = frames.pop() ?? "";
      for (const frame of frames) if (!frame.startsWith(":")) events.push(parseFrame(frame));
      if (options.enough?.(events)) {
        response.destroy();
        return { events, ended: false, headers: response.headers };
      }
    }
  } finally {
    clearTimeout(timer);
  }
  return { events, ended: true, headers: response.headers };
}

function parseFrame(frame: string): SseEvent {
  const fields = Object.fromEntries(
    frame.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]),
  );
  return { id: fields["id"] ?? "", event: fields["event"] ?? "", data: JSON.parse(fields["data"] ?? "null") };
}
