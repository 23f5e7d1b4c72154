/**
 * Reconcilers: loops that make the stored state what it should be. They take no argument about what changed; they run on a hint and on a period, do a
 * bounded amount of work, are idempotent, and report what they did (house §2).
 *
 *   asleep ──hint, period, next due──▶ leading? ──no──▶ asleep
 *      ▲                                  │ yes
 *      └──── nothing left ◀── pass ◀──────┘ (again at once while a pass was full)
 *
 * One process leads each loop: a session-level advisory lock on a connection of its own. When that connection is lost, so is the lead; the loop goes on
 * in whichever process gets the lock. Two leaders for a moment do no harm, because every pass decides under row locks.
 */
import type { Hints } from "../hints.ts";
import type { Telemetry } from "../telemetry.ts";

export interface Pass {
  scanned: number;
  changed: number;
  skipped: number;
  /** The pass was full: more is waiting. */
  more?: boolean;
}

export interface Reconciler {
  name: string;
  /** Longest sleep; hints and the next due time make it shorter. */
  periodMs: number;
  run(): Promise<Pass>;
  /** Milliseconds until something is due; absent when nothing is. */
  nextDueMs?(): Promise<number | undefined>;
}

/** Who may run a loop. `lead` is asked before each pass. */
export interface Leadership {
  lead(loop: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface RunningLoops {
  stop(): Promise<void>;
}

const leastSleepMs = 5;
const afterFailureMs = 1_000;

export interface LoopOptions {
  hints: Hints;
  leadership: Leadership;
  telemetry: Telemetry;
}

export function startLoops(reconcilers: readonly Reconciler[], options: LoopOptions): RunningLoops {
  const stopping = new AbortController();
  const loops = reconcilers.map((reconciler) => loop(reconciler, options, stopping.signal));
  return {
    async stop() {
      stopping.abort();
      await Promise.all(loops);
      await options.leadership.close();
    },
  };
}

async function loop(reconciler: Reconciler, { hints, leadership, telemetry }: LoopOptions, signal: AbortSignal): Promise<void> {
  let hinted = false;
  let wake = () => {};
  const unsubscribe = hints.subscribe(`reconcile:${reconciler.name}`, () => {
    hinted = true;
    wake();
  });
  const end = () => wake();
  signal.addEventListener("abort", end);
  while (!signal.aborted) {
    hinted = false;
    const sleepMs = await onePass(reconciler, leadership, telemetry);
    if (hinted || signal.aborted) continue;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, sleepMs);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
  signal.removeEventListener("abort", end);
  unsubscribe();
}

/** Returns how long to sleep. */
async function onePass(reconciler: Reconciler, leadership: Leadership, telemetry: Telemetry): Promise<number> {
  const begun = performance.now();
  try {
    if (!(await leadership.lead(reconciler.name))) return reconciler.periodMs;
    const pass = await reconciler.run();
    if (pass.changed > 0)
      telemetry.emit("reconciled", {
        loop: reconciler.name,
        scanned: pass.scanned,
        changed: pass.changed,
        skipped: pass.skipped,
        ms: Math.round(performance.now() - begun),
      });
    if (pass.more) return 0;
    const due = await reconciler.nextDueMs?.();
    return due === undefined ? reconciler.periodMs : Math.min(reconciler.periodMs, Math.max(leastSleepMs, Math.ceil(due)));
  } catch (error) {
    telemetry.emit("reconcile_failed", { loop: reconciler.name, error });
    return Math.min(reconciler.periodMs, afterFailureMs);
  }
}

/** Runs `act` for each row; one that fails does not keep the others from their turn, but the pass reports it. */
export async function eachRow<T>(rows: readonly T[], act: (row: T) => Promise<boolean | number>): Promise<Pass> {
  const pass = { scanned: rows.length, changed: 0, skipped: 0 };
  let failure: unknown;
  for (const row of rows) {
    try {
      if (await act(row)) pass.changed += 1;
      else pass.skipped += 1;
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  return pass;
}

/** The sum of several looks; the pass is full when one of them was. */
export function sum(passes: readonly Pass[]): Pass {
  return {
    scanned: passes.reduce((total, pass) => total + pass.scanned, 0),
    changed: passes.reduce((total, pass) => total + pass.changed, 0),
    skipped: passes.reduce((total, pass) => total + pass.skipped, 0),
    more: passes.some((pass) => pass.more),
  };
}
