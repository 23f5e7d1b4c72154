/** The install that all end-to-end tests share, with the ways in which they look at it: the command line as a process, the SDK's client, plain HTTP. */
import { HelmrClient, type RunSnapshot } from "@helmr/sdk";
import { type WireClient, wireClient } from "@helmr/test/platform";
import { brokenInvariants, until } from "@helmr/test/services";
import { inject } from "vitest";
import { LocalInstall, type Ready } from "./local-install.ts";

// oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers
type Json = any;

const runMs = 150_000;
const terminalKinds = new Set(["run.completed", "run.failed", "run.cancelled", "run.expired", "run.dead_lettered"]);

export interface StartedRun {
  sessionId: string;
  runId: string;
  workspaceId: string;
}

export interface EndedRun extends StartedRun {
  run: Json;
  events: Json[];
  /** The one event that ended it. */
  end: Json;
  stdout: string;
  stderr: string;
}

export class SharedInstall {
  readonly local: LocalInstall;
  readonly ready: Ready;
  readonly api: WireClient;
  readonly client: HelmrClient;

  constructor(local: LocalInstall, ready: Ready) {
    this.local = local;
    this.ready = ready;
    this.api = wireClient(ready.api_url, { bearer: ready.api_key });
    this.client = new HelmrClient({ url: ready.api_url, apiKey: ready.api_key });
  }

  async get(path: string, status = 200): Promise<Json> {
    return this.answer("GET", path, undefined, status);
  }

  async post(path: string, body: unknown, status = 200): Promise<Json> {
    return this.answer("POST", path, body, status);
  }

  private async answer(method: string, path: string, body: unknown, status: number): Promise<Json> {
    const answer = await this.api.call(method, path, body === undefined ? {} : { body });
    if (answer.status !== status) throw new TypeError(`${method} ${path}: ${answer.status} instead of ${status}: ${answer.text}`);
    return answer.json;
  }

  /** Starts a session over HTTP. */
  async start(taskId: string, options: object = {}): Promise<StartedRun> {
    const { session, run } = await this.post("/api/sessions", { task_id: taskId, ...options }, 201);
    return { sessionId: session.id, runId: run.id, workspaceId: session.workspace_id };
  }

  /** Starts a session and follows its run to the end. */
  async play(taskId: string, options: object = {}): Promise<EndedRun> {
    return this.ended(await this.start(taskId, options));
  }

  /** Follows a run as the SDK does, until its last event too, then looks at everything it left. */
  async ended(started: StartedRun): Promise<EndedRun> {
    await this.untilEnd(started.runId);
    // A cancelled run reads as such before its machine has stopped (http §7.3).
    await this.untilEvent(started.runId, ({ kind }) => terminalKinds.has(kind));
    const [run, events, logs] = await Promise.all([this.run(started.runId), this.events(started.runId), this.logs(started.runId)]);
    return { ...started, run, events, end: events.at(-1), ...logs };
  }

  untilEnd(runId: string): Promise<RunSnapshot> {
    return this.client.runs.wait(runId, { timeoutMs: runMs });
  }

  run(runId: string): Promise<Json> {
    return this.get(`/api/runs/${runId}`);
  }

  async events(runId: string): Promise<Json[]> {
    const all: Json[] = [];
    for (let cursor = 0; ;) {
      const page = await this.get(`/api/runs/${runId}/events?cursor=${cursor}`);
      all.push(...page.events);
      if (page.next_cursor === undefined) return all;
      cursor = Number(page.next_cursor);
    }
  }

  async logs(runId: string): Promise<{ stdout: string; stderr: string }> {
    const { stdout_base64: stdout, stderr_base64: stderr } = await this.get(`/api/runs/${runId}/logs`);
    return { stdout: Buffer.from(stdout, "base64").toString(), stderr: Buffer.from(stderr, "base64").toString() };
  }

  async records(runId: string): Promise<Json[]> {
    return (await this.get(`/api/runs/${runId}/logs?format=records`)).records;
  }

  /** Until a run has written a line to stdout: its task is at work then. */
  untilSaid(runId: string, text: string): Promise<unknown> {
    return until(`run ${runId} says ${JSON.stringify(text)}`, async () => (await this.logs(runId)).stdout.includes(text), runMs);
  }

  /** The first event that is like that. */
  untilEvent(runId: string, condition: (event: Json) => boolean): Promise<Json> {
    return until(`run ${runId} has the event`, async () => (await this.events(runId)).find(condition), runMs);
  }

  untilRun(what: string, runId: string, condition: (run: Json) => boolean): Promise<Json> {
    return until(
      `run ${runId}: ${what}`,
      async () => {
        const run = await this.run(runId);
        return condition(run) ? run : undefined;
      },
      runMs,
    );
  }

  /** `./helmr deploy`; the promoted deployment. */
  async deploy(directory: string): Promise<Json> {
    const { code, stdout, stderr } = await this.local.helmr(["deploy", "--json", directory]);
    if (code !== 0) throw new TypeError(`deploy of ${directory} failed: ${stderr}\n${stdout}`);
    const result = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
      .at(-1);
    return result.deployment;
  }

  /** A file of the workspace as the last run left it. */
  async file(workspaceId: string, path: string): Promise<string> {
    const answer = await this.api.call("GET", `/api/workspaces/${workspaceId}/files/content?path=${encodeURIComponent(path)}`);
    if (answer.status !== 200) throw new TypeError(`${path} of ${workspaceId}: ${answer.status} ${answer.text}`);
    return answer.text;
  }

  /** What must hold of the stored state, whatever happened (test/invariants.sql), and a server that had no fault. */
  async expectSound(): Promise<void> {
    const broken = await brokenInvariants(await this.local.databaseUrl());
    if (broken.length > 0) throw new TypeError(`broken invariants: ${JSON.stringify(broken, null, 2)}`);
    const faults = (await this.local.log("server")).filter((line) => line.includes('"level":50'));
    if (faults.length > 0) throw new TypeError(`the server had faults:\n${faults.join("\n")}`);
  }

  close(): void {
    this.api.close();
  }
}

export async function sharedInstall(): Promise<SharedInstall> {
  const local = await LocalInstall.open(inject("e2eInstall"));
  return new SharedInstall(local, await local.up());
}
