/**
 * A control plane at the worker's wire: checks every request against the protocol, keeps reports, calls and completions, serves grants and blobs
 * from memory. It decides nothing by itself that a test has not said.
 */
import type { Directive, Lease, ProgramCallRequest, ReportItem, StoredImageStep, WorkerBody, WorkerRoute } from "@helmr/protocol/worker";
import { workerRoutes } from "@helmr/protocol/worker";
import { type ApiAnswer, type ApiHandler, ApiServer } from "./api-server.ts";

type Reply<K extends WorkerRoute> = (body: WorkerBody<K>, id: string) => ApiAnswer | Promise<ApiAnswer>;

export class TestControlPlane {
  readonly api: ApiServer;
  readonly items: ReportItem[] = [];
  readonly itemTimes: number[] = [];
  readonly completions: WorkerBody<"complete">[] = [];
  readonly builds: WorkerBody<"buildComplete">[] = [];
  readonly buildEvents: WorkerBody<"buildReport">["events"] = [];
  readonly calls: ProgramCallRequest[] = [];
  readonly started: string[] = [];
  readonly blobs = new Map<string, Buffer>();
  /** Given with every renewal, by lease. */
  readonly directives = new Map<string, Directive[]>();
  readonly stale = new Set<string>();
  readonly waiting: Lease[] = [];
  answerCall: (request: ProgramCallRequest) => unknown = () => ({ state: "answered", value: null });
  readonly parks: WorkerBody<"park">[] = [];
  readonly resumes: WorkerBody<"resumed">[] = [];
  readonly unrestored: WorkerBody<"restoreFailed">[] = [];
  readonly captures: WorkerBody<"mountCaptured">[] = [];
  /** What is answered to captures of live mounts. */
  captureState: "captured" | "taken" | "head_moved" = "captured";
  readonly mountEnds: WorkerBody<"mountEnded">[] = [];
  /** Names of what was said of runs and mounts, in their order. */
  readonly said: string[] = [];
  parkStatus = 200;
  answerPark: (request: WorkerBody<"park">) => unknown = () => ({ state: "parked" });
  attemptState: "started" | "cancelled" = "started";
  sources = new Map<string, Buffer>();
  /** Kept image steps, by key; and what stood at a place the last time. */
  readonly imageSteps = new Map<string, StoredImageStep>();
  readonly imagePlaces = new Map<string, Record<string, string>>();
  readonly secrets = new Map<string, string>();

  private constructor(api: ApiServer) {
    this.api = api;
    this.serve();
  }

  static async start(): Promise<TestControlPlane> {
    return new TestControlPlane(await ApiServer.start());
  }

  text(stream: string): string {
    const parts = this.items
      .filter((item) => item.kind === "log" && item.stream === stream)
      .map((item) => Buffer.from((item as { data: string }).data, "base64"));
    return Buffer.concat(parts).toString();
  }

  /** Stale leases are refused on every fenced route. */
  private route<K extends WorkerRoute>(name: K, reply: Reply<K>): void {
    const { path, body: schema } = workerRoutes[name];
    const handler: ApiHandler = ({ body, path: asked }) => {
      const parsed = schema.safeParse(body);
      if (!parsed.success) return { status: 400, body: { error: `not of the protocol: ${parsed.error.message}` } };
      const leaseId = (body as { lease_id?: string }).lease_id;
      if (leaseId !== undefined && this.stale.has(leaseId)) return { status: 409, body: { error: "stale", code: "stale_lease" } };
      return reply(body as WorkerBody<K>, asked.split("/")[2] ?? "");
    };
    this.api.routes.set(path, handler);
  }

  private serve(): void {
    this.route("enroll", () => ({ body: { worker_id: crypto.randomUUID(), worker_group: "default", credential: "hlmr_wk_enrolled" } }));
    this.route("start", ({ adopt }) => ({ body: { epoch: 1, adopted: [], stale: adopt.map((one) => one.lease_id), leases: [] } }));
    this.route("claim", async ({ wait_ms: waitMs }) => {
      const until = performance.now() + Math.min(waitMs, 500);
      while (this.waiting.length === 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 2));
      return { body: { leases: this.waiting.splice(0) } };
    });
    this.route("renew", ({ leases }) => ({
      body: {
        results: leases.map(({ lease_id: leaseId }) =>
          this.stale.has(leaseId)
            ? { state: "stale", lease_id: leaseId }
            : { state: "held", lease_id: leaseId, ttl_ms: 75_000, directives: this.directives.get(leaseId) ?? [] },
        ),
        drain: false,
      },
    }));
    this.route("attemptStarted", (_, id) => {
      this.started.push(id);
      return { body: { state: this.attemptState } };
    });
    this.route("report", (body) => this.takeItems(body));
    this.route("call", (body) => {
      this.calls.push(body);
      return { body: this.answerCall(body) };
    });
    this.route("complete", (body) => {
      if (body.report_through > this.items.length)
        return { status: 409, body: { error: "gap", code: "report_gap", expected: this.items.length + 1 } };
      this.completions.push(body);
      this.said.push("complete");
      return { body: { state: "finished" } };
    });
    this.route("park", (body) => {
      this.parks.push(body);
      const answer = this.answerPark(body);
      return { status: this.parkStatus, body: answer };
    });
    this.route("resumed", (body) => {
      this.resumes.push(body);
      return { body: {} };
    });
    this.route("restoreFailed", (body) => {
      this.unrestored.push(body);
      return { body: { state: "failed" } };
    });
    this.serveBuilds();
    this.serveImages();
    this.serveMounts();
    this.route("grants", ({ gets, puts }) => {
      const grant = (method: string) => (key: string) => ({
        object_key: key,
        method,
        url: `${this.api.url}/blobs/${key}`,
        headers: {},
        ttl_ms: 60_000,
      });
      return { body: { grants: [...gets.map(grant("GET")), ...puts.map((put) => grant("PUT")(put.object_key))] } };
    });
    this.api.routes.set("*", (request) => this.serveBytes(request));
  }

  private serveBuilds(): void {
    this.route("buildReport", (body) => {
      if (body.first > this.buildEvents.length + 1)
        return { status: 409, body: { error: "gap", code: "report_gap", expected: this.buildEvents.length + 1 } };
      this.buildEvents.push(...body.events.slice(this.buildEvents.length + 1 - body.first));
      return { body: { accepted: this.buildEvents.length } };
    });
    this.route("buildComplete", (body) => {
      this.builds.push(body);
      return { body: { state: "deployed" } };
    });
  }

  private serveMounts(): void {
    this.route("mountReady", () => ({ body: { state: "mounted" } }));
    this.route("mountCaptured", (body) => {
      this.captures.push(body);
      return { body: { state: this.captureState } };
    });
    this.route("mountEnded", (body) => {
      this.mountEnds.push(body);
      this.said.push("mountEnded");
      return { body: { state: body.end.status } };
    });
  }

  private serveImages(): void {
    this.route("buildSecrets", ({ names }) => ({
      body: {
        values: names.flatMap((name) => (this.secrets.has(name) ? [{ name, value: this.secrets.get(name) }] : [])),
        unavailable: names
          .filter((name) => !this.secrets.has(name))
          .map((name) => ({ name, message: `secret "${name}" is unavailable: secret not found` })),
      },
    }));
    this.route("imageStepsFind", ({ steps }) => ({
      body: {
        found: steps.flatMap(({ key }) => this.imageSteps.get(key) ?? []),
        previous: steps.flatMap(({ place }) => (this.imagePlaces.has(place) ? [{ place, inputs: this.imagePlaces.get(place) }] : [])),
      },
    }));
    this.route("imageStepsKeep", ({ key, place, inputs, artifact, config }) => {
      const { artifact_id, manifest_key, digest, length_bytes } = artifact;
      const step = this.imageSteps.get(key) ?? { key, artifact: { artifact_id, manifest_key, digest, length_bytes }, config };
      this.imageSteps.set(key, step);
      this.imagePlaces.set(place, inputs);
      return { body: { step } };
    });
  }

  private takeItems(body: WorkerBody<"report">): ApiAnswer {
    const fresh = body.items.slice(this.items.length + 1 - body.first);
    if (body.first > this.items.length + 1)
      return { status: 409, body: { error: "gap", code: "report_gap", expected: this.items.length + 1 } };
    for (const item of fresh as ReportItem[]) {
      if (!this.binary && item.kind === "log" && item.offset !== Buffer.byteLength(this.text(item.stream), "utf8"))
        return { status: 400, body: { error: `offset ${item.offset}` } };
      this.items.push(item);
      this.itemTimes.push(performance.now());
    }
    return { body: { accepted: this.items.length } };
  }

  /** Output is no text, or too much of it: offsets are then checked by the test. */
  binary = false;

  private serveBytes({ path, bytes, method, headers }: Parameters<ApiHandler>[0]): ApiAnswer {
    const source = /^\/builds\/([^/]+)\/source$/.exec(path);
    if (source !== null) {
      const found = this.sources.get(source[1] as string);
      return found === undefined ? { status: 404 } : { bytes: found };
    }
    const key = path.replace("/blobs/", "");
    if (method === "PUT") {
      this.blobs.set(key, bytes);
      return { status: 201 };
    }
    const found = this.blobs.get(key);
    if (found === undefined) return { status: 404 };
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "");
    return range === null ? { bytes: found } : { status: 206, bytes: found.subarray(Number(range[1]), Number(range[2]) + 1) };
  }
}
