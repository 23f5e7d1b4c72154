/** What benchmarks of the whole product measure: a single-machine install with the bench project deployed, and clocks around its public API. */
import { join } from "node:path";
import { SseReader } from "@helmr/protocol/api";
import { installDirectory, LocalInstall, type Ready } from "../e2e/local-install.ts";

export interface BenchInstall {
  install: LocalInstall;
  ready: Ready;
  start(task: string, payload?: unknown): Promise<{ runId: string; sessionId: string }>;
  /** Text of every chunk of stdout as it arrives, until the run has ended. */
  lines(runId: string): AsyncGenerator<string>;
  ended(runId: string): Promise<string>;
  close(): Promise<void>;
}

export async function benchInstall(env: Record<string, string> = {}): Promise<BenchInstall> {
  const install = await LocalInstall.open(await installDirectory());
  const close = async () => {
    await install.down();
    await install.remove();
  };
  try {
    return { ...(await openBench(install, env)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openBench(install: LocalInstall, env: Record<string, string>): Promise<Omit<BenchInstall, "close">> {
  const up = await install.front(["up", "--detach", "--json"], { env });
  if (up.code !== 0) throw new TypeError(`up failed: ${up.stderr}`);
  const ready = JSON.parse(up.stdout) as Ready;
  process.env["HELMR_BENCH_ACCELERATOR"] = ready.accelerator;
  const deployed = await install.helmr(["deploy", join(import.meta.dirname, "project")]);
  if (deployed.code !== 0) throw new TypeError(`deploy failed: ${deployed.stderr}`);
  const headers = { authorization: `Bearer ${ready.api_key}` };
  const request = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(ready.api_url + path, {
      method,
      headers: { ...headers, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const json = (await response.json()) as Record<string, unknown>;
    if (!response.ok) throw new TypeError(`${method} ${path}: ${response.status} ${JSON.stringify(json)}`);
    return json;
  };
  return {
    install,
    ready,
    async start(task, payload = {}) {
      const { run, session } = (await request("POST", "/api/sessions", { task_id: task, payload })) as Record<string, { id: string }>;
      return { runId: run!.id, sessionId: session!.id };
    },
    async *lines(runId) {
      const response = await fetch(`${ready.api_url}/api/runs/${runId}/logs`, { headers: { ...headers, accept: "text/event-stream" } });
      if (!response.ok || response.body === null) throw new TypeError(`logs of ${runId}: ${response.status}`);
      const reader = new SseReader();
      for await (const bytes of response.body) {
        for (const event of reader.push(bytes)) {
          if (event.kind !== "event") continue;
          const chunk = JSON.parse(event.data) as { stream?: string; content_base64?: string };
          if (chunk.stream === "stdout") yield Buffer.from(chunk.content_base64 ?? "", "base64").toString();
        }
      }
    },
    async ended(runId) {
      for (;;) {
        const run = (await request("GET", `/api/runs/${runId}`)) as { status: string };
        if (!["queued", "running", "waiting"].includes(run.status)) return run.status;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
  };
}

/** Milliseconds from sending `POST sessions` until the first line of the task's log is here. */
export async function firstLine(bench: BenchInstall): Promise<{ ms: number; runId: string }> {
  const begun = performance.now();
  const { runId } = await bench.start("first-line");
  for await (const text of bench.lines(runId)) {
    if (text.includes("first")) return { ms: performance.now() - begun, runId };
  }
  throw new TypeError(`run ${runId} ended without its line: ${await bench.ended(runId)}`);
}

/** Lets the worker make its spare machines again, which it does when nothing else wants the processors. */
export const settle = (ms = 4_000): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
