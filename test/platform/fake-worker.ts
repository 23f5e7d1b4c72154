/**
 * A worker without machines: it speaks the real wire of the worker API and "runs" a lease by calling a function. For tests that need thousands of runs, or
 * a run at an exact point of its life.
 *
 *   enroll → start → (channel) → claim ⟲ → for each lease: the behaviour, with renewals beside it → stop
 */
import { randomUUID } from "node:crypto";
import { apiVersion, limits } from "@helmr/protocol/shared";
import type {
  AttemptEnd,
  BuildLease,
  Capacity,
  ChannelMessage,
  Directive,
  Lease,
  NewArtifact,
  ReportItem,
  RunLease,
  WorkerBody,
  WorkerFacts,
  WorkerResponse,
  WorkerRoute,
  WorkspaceResult,
} from "@helmr/protocol/worker";
import { channelPath, workerRoutes } from "@helmr/protocol/worker";
import { type WireAnswer, type WireClient, wireClient } from "./wire-client.ts";

export class WireRefusal extends Error {
  override name = "WireRefusal";
  readonly status: number;
  readonly code: string | undefined;
  constructor(route: string, answer: WireAnswer) {
    super(`${route}: ${answer.status} ${answer.text.trim()}`);
    this.status = answer.status;
    this.code = (answer.json as { code?: string } | undefined)?.code;
  }
}

/** One leased run, as the machine behind it would see it. */
export interface FakeRun {
  lease: RunLease;
  /** Aborts when the control plane wants the run to stop, or took the lease away. */
  signal: AbortSignal;
  started(): Promise<"started" | "cancelled">;
  report(items: ReportItem[]): Promise<void>;
  /** Lines of one stream as one item; the offset is kept here. */
  log(stream: "stdout" | "stderr" | "logger", text: string): Promise<void>;
  complete(end: AttemptEnd, options?: { workspace?: WorkspaceResult; activeMs?: number }): Promise<"finished" | "retrying">;
}

export type Behaviour = (run: FakeRun) => Promise<void>;

export interface FakeWorkerOptions {
  url: string;
  enrollmentSecret: string;
  name?: string;
  capacity?: Partial<Capacity>;
  /** What becomes of each run; by default it succeeds at once. */
  run?: Behaviour;
  build?: (lease: BuildLease, worker: FakeWorker) => Promise<void>;
  kinds?: ("run" | "build")[];
  /** false: nothing is claimed until the test does it. */
  claims?: boolean;
  renewMs?: number;
  onError?: (error: unknown) => void;
}

export interface FakeWorker {
  id: string;
  group: string;
  epoch: number;
  credential: string;
  wire: WireClient;
  /** Leases that are held right now. */
  held: ReadonlyMap<string, Lease>;
  directives: Directive[];
  post<K extends WorkerRoute>(route: K, body: WorkerBody<K>, id?: string): Promise<WorkerResponse<K>>;
  claim(request?: Partial<WorkerBody<"claim">>): Promise<Lease[]>;
  renew(): Promise<WorkerResponse<"renew">>;
  /** The run of a lease, without any behaviour attached. */
  take(lease: RunLease): FakeRun;
  /** Opens the push channel; resolves when it is ready. */
  openChannel(): Promise<void>;
  /** Ends like a killed process: nothing more is said. */
  kill(): void;
  stop(): Promise<void>;
}

export const fakeFacts: WorkerFacts = {
  version: "0.1.0",
  driver: "fake",
  driver_version: "0",
  accelerator: "tcg",
  accelerator_explanation: "no machine runs here",
  cpu_family: "none",
  architecture: "amd64",
  hostname: "fake",
};

const unchanged: WorkspaceResult = { status: "unchanged" };
const plenty: Capacity = { milli_cpu: 1_000_000, memory_mib: 1_000_000, disk_mib: 100_000_000, slots: 64 };

export async function fakeWorker(options: FakeWorkerOptions): Promise<FakeWorker> {
  const total: Capacity = { ...plenty, ...options.capacity };
  const enrolling = wireClient(options.url, { bearer: options.enrollmentSecret });
  const enrolled = await enrolling.call("POST", `/api/worker${workerRoutes.enroll.path}`, {
    body: { name: options.name ?? `fake-${randomUUID()}`, facts: fakeFacts },
  });
  enrolling.close();
  if (enrolled.status !== 200) throw new WireRefusal("enroll", enrolled);
  const { worker_id: id, worker_group: group, credential } = enrolled.json as WorkerResponse<"enroll">;
  const wire = wireClient(options.url, { bearer: credential });
  const held = new Map<string, Lease>();
  const stops = new Map<string, AbortController>();
  const running = new Set<Promise<void>>();
  const ended = new AbortController();
  let channel: WebSocket | undefined;
  let renewals: NodeJS.Timeout | undefined;
  const onError = options.onError ?? (() => undefined);

  async function post<K extends WorkerRoute>(
    route: K,
    body: WorkerBody<K>,
    subject = "",
    signal?: AbortSignal,
  ): Promise<WorkerResponse<K>> {
    const path = `/api/worker${workerRoutes[route].path.replace("{id}", subject)}`;
    const answer = await wire.call("POST", path, { body, headers: { "helmr-api-version": apiVersion }, ...(signal ? { signal } : {}) });
    if (answer.status !== 200) throw new WireRefusal(route, answer);
    return answer.json as WorkerResponse<K>;
  }

  const started = await post("start", { facts: fakeFacts, total, adopt: [] });

  function free(): Capacity {
    const left = { ...total };
    for (const { needs } of held.values()) {
      left.milli_cpu -= needs.milli_cpu;
      left.memory_mib -= needs.memory_mib;
      left.disk_mib -= needs.disk_mib;
      left.slots -= 1;
    }
    return left;
  }

  const worker: FakeWorker = {
    id,
    group,
    epoch: started.epoch,
    credential,
    wire,
    held,
    directives: [],
    post: (route, body, subject) => post(route, body, subject),
    async claim(request = {}) {
      const body = {
        epoch: worker.epoch,
        free: free(),
        warm: { images: [], workspaces: [], checkpoints: [] },
        kinds: options.kinds ?? ["run" as const, "build" as const],
        wait_ms: 30_000,
        held: [...held.keys()],
        ...request,
      };
      const { leases } = await post("claim", body, "", ended.signal);
      for (const lease of leases) {
        held.set(lease.lease_id, lease);
        stops.set(lease.lease_id, new AbortController());
      }
      return leases;
    },
    async renew() {
      const answer = await post("renew", {
        epoch: worker.epoch,
        leases: [...held.values()].map((lease) => ({ lease_id: lease.lease_id, fence: lease.fence })),
      });
      for (const result of answer.results) {
        if (result.state === "stale") obey({ type: "fenced", lease_id: result.lease_id });
        else for (const directive of result.directives) obey(directive);
      }
      return answer;
    },
    take,
    async openChannel() {
      const socket = new WebSocket(`${options.url.replace(/^http/, "ws")}/api/worker${channelPath}`, {
        headers: { authorization: `Bearer ${credential}` },
      } as never);
      channel = socket;
      await new Promise<void>((resolve, reject) => {
        socket.addEventListener("error", () =>
          reject(new WireRefusal("channel", { status: 0, headers: {}, text: "the channel did not open", json: undefined })),
        );
        socket.addEventListener("message", ({ data }) => {
          const message = JSON.parse(String(data)) as ChannelMessage;
          if (message.type === "ready") resolve();
          if (message.type === "directive") obey(message.directive);
        });
      });
    },
    kill() {
      ended.abort();
      clearInterval(renewals);
      channel?.close();
      wire.close();
    },
    async stop() {
      ended.abort();
      clearInterval(renewals);
      await Promise.all(running);
      channel?.close();
      wire.close();
    },
  };

  function obey(directive: Directive): void {
    worker.directives.push(directive);
    if (directive.type !== "cancel" && directive.type !== "fenced") return;
    stops.get(directive.lease_id)?.abort(directive);
    if (directive.type === "fenced") held.delete(directive.lease_id);
  }

  function take(lease: RunLease): FakeRun {
    const { id: runId, attempt_id } = lease.run;
    const fenced = { lease_id: lease.lease_id, fence: lease.fence, attempt_id };
    const offsets = { stdout: lease.report.stdout, stderr: lease.report.stderr, logger: lease.report.logger };
    let next = lease.report.accepted + 1;
    const stop = stops.get(lease.lease_id) ?? new AbortController();
    const run: FakeRun = {
      lease,
      signal: stop.signal,
      started: async () => (await post("attemptStarted", fenced, runId)).state,
      async report(items) {
        await post("report", { ...fenced, first: next, items }, runId);
        next += items.length;
      },
      async log(stream, text) {
        const data = Buffer.from(text);
        const item = { kind: "log" as const, stream, offset: offsets[stream], data: data.toString("base64"), age_ms: 0 };
        offsets[stream] += data.length;
        await run.report([item]);
      },
      async complete(end, { workspace = unchanged, activeMs = 1 } = {}) {
        const { state } = await post("complete", { ...fenced, end, active_ms: activeMs, report_through: next - 1, workspace }, runId);
        held.delete(lease.lease_id);
        return state;
      },
    };
    return run;
  }

  async function work(lease: Lease): Promise<void> {
    try {
      if (lease.kind === "run") {
        const run = take(lease);
        await (options.run ?? succeed)(run);
      } else if (lease.kind === "build") await options.build?.(lease, worker);
    } catch (error) {
      if (!ended.signal.aborted) onError(error);
    } finally {
      held.delete(lease.lease_id);
    }
  }

  async function claimLoop(): Promise<void> {
    while (!ended.signal.aborted) {
      const leases = await worker.claim().catch((error: unknown) => {
        if (!ended.signal.aborted) onError(error);
        return [];
      });
      for (const lease of leases) {
        const done = work(lease).finally(() => running.delete(done));
        running.add(done);
      }
      if (free().slots < 1) await Promise.race(running);
    }
  }

  if (options.claims !== false) {
    renewals = setInterval(() => void worker.renew().catch(onError), options.renewMs ?? limits.leaseRenewMs).unref();
    void claimLoop();
  }
  return worker;
}

export const succeed: Behaviour = async (run) => {
  const cancelled = (await run.started()) === "cancelled";
  await run.complete(
    cancelled ? { status: "cancelled", forced: false } : { status: "succeeded", exit_code: 0, output: { value: run.lease.run.payload } },
  );
};

/** A new block artifact with one pack, as a worker would name it. */
export function newArtifact(orgId: string, over: Partial<NewArtifact> = {}): NewArtifact {
  const artifactId = randomUUID();
  const packId = randomUUID();
  return {
    artifact_id: artifactId,
    manifest_key: `orgs/${orgId}/manifests/${artifactId}`,
    digest: `sha256:${randomUUID().replaceAll("-", "").repeat(2)}`,
    length_bytes: 1 << 30,
    stored_bytes: 4096,
    packs: [{ pack_id: packId, object_key: `orgs/${orgId}/packs/${packId}`, size_bytes: 4096 }],
    ...over,
  };
}

export function captured(orgId: string): WorkspaceResult {
  return { status: "captured", version_id: randomUUID(), artifact: newArtifact(orgId), size_bytes: 10, entry_count: 1 };
}
