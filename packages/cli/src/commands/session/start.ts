import type { Run, Session, SessionStartResult } from "@helmr/protocol/api";
import { DeadlineExceeded, pause, withDeadline } from "../../clock.ts";
import { argument, environmentCommand, integer, jsonFlag, list, text, toggle } from "../../command.ts";
import { Failure, SilentExit } from "../../failure.ts";
import { byteLogs, chunkBytes, followRunLogs } from "../../follow/run-logs.ts";
import { waitForRunEnd } from "../../follow/run-end.ts";
import type { ApiClient } from "../../http/api-client.ts";
import { whileShowing } from "../../terminal/live-line.ts";
import type { Output } from "../../terminal/output.ts";
import { duration } from "../../text/duration.ts";
import { startBody } from "./start-input.ts";

const int32 = { min: -2_147_483_648, max: 2_147_483_647 };
/** An identical start in flight elsewhere is waited for this long (http §4.3). */
const pendingMsMax = 10_000;
const pendingPauseMs = 250;
/** The logs of an ended run are given this long to arrive. */
const logGraceMs = 10_000;

export const sessionStart = environmentCommand({
  name: "session start",
  summary: "start a session of a task and its first run",
  details:
    "The payload is {} unless --payload-file, --payload-json or --payload say otherwise. The outcome of the run does not change the exit code, unless --exit-status is given.",
  examples: [
    { says: "start the task hello", command: "helmr session start hello --payload name=Ada" },
    { says: "wait for the result, for a script", command: 'helmr session start hello --payload-json \'{"name":"Ada"}\' --wait --json' },
    { says: "watch what the task prints, at most ten minutes", command: "helmr session start hello --follow --timeout 10m" },
    { says: "work on in a workspace that exists", command: "helmr session start review --workspace 01980a00-0000-7000-8000-000000000007" },
  ],
  args: { task: argument("TASK", "id of the task") },
  flags: {
    ...jsonFlag,
    payloadFile: text("FILE", "JSON file with the payload"),
    payloadJson: text("JSON", "the payload"),
    payload: list("KEY=VALUE", "one member of the payload, as text"),
    queue: text("NAME", "queue of the deployment, instead of the task's own"),
    concurrencyKey: text("KEY", "runs with the same key share a concurrency limit"),
    priority: integer("INT32", "larger runs first", int32),
    ttl: text("DUR", "how long the run may stay queued, such as 10m"),
    maxDurationSeconds: integer("INT32", "limit of active time, instead of the task's own", int32),
    metadataFile: text("FILE", "JSON file with the metadata"),
    metadataJson: text("JSON", "the metadata, an object"),
    tag: list("TAG", "tag of the session"),
    retryFile: text("FILE", "JSON file with the retry policy"),
    retryJson: text("JSON", "the retry policy, instead of the task's own"),
    idempotencyKey: text("KEY", "a repeated start with this key gives the same session"),
    idempotencyKeyTtl: text("DUR", "how long the key is remembered, such as 7d"),
    workspace: text("ID", "use this workspace instead of a new one"),
    wait: toggle("wait for the end of the run"),
    follow: toggle("wait, and show what the run prints"),
    timeout: duration("give up waiting after this time"),
    exitStatus: toggle("exit with 2 when the run did not succeed"),
  },
  async run(context) {
    const { flags, out } = context;
    const waits = flags.wait || flags.follow;
    if (flags.project?.includes("=")) {
      throw new Failure(`--project ${JSON.stringify(flags.project)} looks like a member of the payload; use --payload ${flags.project}`);
    }
    if (flags.json && flags.follow) throw new Failure("--json cannot be used with --follow");
    if (flags.timeout !== undefined && !waits) throw new Failure("--timeout needs --wait or --follow");
    if (flags.exitStatus && !waits) throw new Failure("--exit-status needs --wait or --follow");
    const body = await startBody(context.args.task, flags, context.host.cwd);
    const api = await context.environment();
    const started = await startOnce(api, body, context.signal);
    if (!flags.json) {
      await out.lines(startedLines(started.session, started.run));
      const url = await context.consoleUrl(api, `/sessions/${started.session.id}`);
      if (url !== undefined) await out.line(`console_url: ${url}`);
    }
    if (!waits) return flags.json ? out.json(started) : undefined;
    // Whole seconds, rounded up (cli §4).
    const limit = { ms: flags.timeout === undefined ? undefined : Math.ceil(flags.timeout / 1000) * 1000, signal: context.signal };
    const waiting = { api, started, out, err: context.err, limit };
    const run = await (flags.follow
      ? followed(waiting)
      : whileShowing(context, `Waiting for run ${started.run.id}`, () => waited(waiting, flags.json)));
    await (flags.json ? out.json({ ...started, run }) : out.line(`run_status: ${run.status}`));
    if (flags.exitStatus && run.status !== "succeeded") throw new SilentExit(2);
  },
});

interface Waiting {
  api: ApiClient;
  started: SessionStartResult;
  out: Output;
  err: Output;
  limit: { ms: number | undefined; signal: AbortSignal };
}

function startedLines(session: Session, run: Run): string[] {
  return [
    `session_id: ${session.id}`,
    `run_id: ${run.id}`,
    ...(session.workspace_id === undefined ? [] : [`workspace_id: ${session.workspace_id}`]),
  ];
}

/** 202 `idempotency_pending` is repeated after Retry-After, for a bounded time. */
async function startOnce(api: ApiClient, body: Awaited<ReturnType<typeof startBody>>, signal: AbortSignal): Promise<SessionStartResult> {
  const until = Date.now() + pendingMsMax;
  for (;;) {
    const { failure, retryAfter, value } = await api.callWithStatus("sessions.start", { body });
    if (failure === undefined) return value as SessionStartResult;
    const ms = retryMs(retryAfter);
    if (failure.code !== "idempotency_pending" || Date.now() + ms > until) throw failure;
    await pause(ms, signal);
  }
}

/** Seconds or an HTTP date. */
function retryMs(header: string | undefined): number {
  const seconds = /^\d{1,6}$/.test(header ?? "") ? Number(header) * 1_000 : Date.parse(header ?? "") - Date.now();
  return seconds > 0 ? seconds : pendingPauseMs;
}

/** In JSON the start itself is printed when the wait runs out of time, so that a script still learns the ids. */
async function waited({ api, started, out, limit }: Waiting, json: boolean): Promise<Run> {
  const runId = started.run.id;
  try {
    return await withDeadline({ ...limit, prefix: `wait for run ${runId}: ` }, (signal) =>
      waitForRunEnd({ api, runId, signal }, started.run),
    );
  } catch (error) {
    if (json && error instanceof DeadlineExceeded) await out.json(started);
    throw error;
  }
}

async function followed({ api, started, out, err, limit }: Waiting): Promise<Run> {
  const runId = started.run.id;
  let lineOpen = false;
  const closeLine = async () => (lineOpen ? out.line("") : undefined);
  const take = async (stream: "stdout" | "stderr", bytes: Buffer) => {
    await (stream === "stdout" ? out : err).write(bytes);
    if (stream === "stdout" && bytes.length > 0) lineOpen = bytes.at(-1) !== 10;
  };
  try {
    const run = await withDeadline(limit, async (signal) => {
      const grace = new AbortController();
      let timer: NodeJS.Timeout | undefined;
      const end = waitForRunEnd({ api, runId, signal }, started.run).then((ended) => {
        timer = setTimeout(() => grace.abort(new Failure(`the logs of run ${runId} did not end`)), logGraceMs);
        return ended;
      });
      const logs = followRunLogs(
        { api, runId, signal: AbortSignal.any([signal, grace.signal]) },
        { form: byteLogs, cursor: "0", take: (chunk) => take(chunk.stream, chunkBytes(chunk)) },
      );
      try {
        const [ended] = await Promise.all([end, logs]);
        return ended;
      } finally {
        clearTimeout(timer);
        grace.abort();
      }
    });
    await closeLine();
    return run;
  } catch (error) {
    if (error instanceof DeadlineExceeded) {
      await closeLine();
      const session = await api.call("sessions.get", { params: { id: started.session.id } }).catch(() => started.session);
      await out.line(`session_status: ${session.status}`);
    }
    throw error;
  }
}
