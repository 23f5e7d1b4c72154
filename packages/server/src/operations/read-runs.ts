/** Runs, their events and counts as they are read. */
import type { Blocked, RunCounts } from "@helmr/protocol/api";
import { projectRun } from "../domain/run.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import type { Refusal } from "../outcome.ts";
import { runEventList, type RunEventRow } from "../store/run-event.ts";
import { runCounts, runExists, runGet, runList, type RunListFilter, type RunRow } from "../store/run.ts";
import { noRun } from "./cancel-run.ts";
import { explainRun } from "./explain-run.ts";

export type { RunEventRow, RunRow };

export interface ReadRun {
  run: RunRow;
  blocked: Blocked | undefined;
}

export async function readRun(context: EngineContext, environmentId: string, id: string): Promise<ReadRun | Refusal> {
  const run = await runGet(context.db, environmentId, id);
  if (!run) return noRun();
  const { status } = projectRun(run.state, run.outcome);
  return { run, blocked: status === "queued" || status === "waiting" ? await explainRun(context, id) : undefined };
}

export const listRuns = ({ db }: EngineContext, filter: RunListFilter): Promise<RunRow[]> => runList(db, filter);

export async function countRuns({ db }: EngineContext, environmentId: string): Promise<RunCounts> {
  const { states, outcomes } = await runCounts(db, environmentId);
  const counts: RunCounts = { queued: 0, running: 0, waiting: 0, succeeded: 0, failed: 0, cancelled: 0, expired: 0 };
  for (const [state, count] of states) counts[projectRun(state, null).status] += count;
  for (const [outcome, count] of outcomes) counts[projectRun("finished", outcome).status] += count;
  return counts;
}

/** What a follower of a run needs to know about it. */
export interface FollowedRun {
  id: string;
  traceId: string;
}

export async function findRun({ db }: EngineContext, environmentId: string, id: string): Promise<FollowedRun | Refusal> {
  const row = await runExists(db, environmentId, id);
  return row ? { id, traceId: row.trace_id } : noRun();
}

export interface Page<Row> {
  rows: Row[];
  /** More than the page holds exist. */
  more: boolean;
}

export async function readRunEvents({ db }: EngineContext, runId: string, after: number, limit: number): Promise<Page<RunEventRow>> {
  const rows = await runEventList(db, runId, after, limit + 1);
  return { rows: rows.slice(0, limit), more: rows.length > limit };
}

/** Resolves when the run has finished, or after the time; woken by push (start-and-wait, http §4.2). */
export async function waitForRun(
  context: EngineContext,
  { environmentId, runId, timeoutMs, signal }: WaitForRun,
): Promise<RunRow | Refusal> {
  const deadline = Date.now() + timeoutMs;
  let wake = () => {};
  const unsubscribe = context.hints.subscribe(topic.run(runId), () => wake());
  signal.addEventListener("abort", () => wake());
  try {
    for (;;) {
      const changed = new Promise<void>((resolve) => (wake = resolve));
      const run = await runGet(context.db, environmentId, runId);
      if (!run) return noRun();
      const left = deadline - Date.now();
      if (run.state === "finished" || left <= 0 || signal.aborted) return run;
      // A hint can be lost: look now and then.
      const timer = setTimeout(() => wake(), Math.min(left, lookAnywayMs));
      await changed;
      clearTimeout(timer);
    }
  } finally {
    unsubscribe();
  }
}

const lookAnywayMs = 2_000;

export interface WaitForRun {
  environmentId: string;
  runId: string;
  timeoutMs: number;
  signal: AbortSignal;
}
