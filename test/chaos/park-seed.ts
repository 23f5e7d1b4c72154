/**
 * One seed of the park/resume property: a program that keeps whatever a process can keep, parked again and again on two workers, while a worker, its machine's
 * monitor, the guest's kernel (from inside), the server, the database's connections or all of PostgreSQL are killed at named points. It must end well with everything it kept; a record or a token's data reaches
 * it once.
 */
import { expect } from "vitest";
import type { Step } from "./park-program.ts";
import type { TwoWorkers } from "./two-workers.ts";

const points = ["waiting live", "parking", "parked", "queued to resume", "resuming", "gone on"] as const;
type Point = (typeof points)[number];
const targets = ["worker", "monitor", "guest", "server", "database", "postgres", "nothing"] as const;
type Target = (typeof targets)[number];

interface Kill {
  at: Point;
  target: Target;
}

export const seedMs = 420_000;

export async function playSeed(install: TwoWorkers, seed: number): Promise<void> {
  const random = randomOf(seed);
  const pick = <T>(from: readonly T[]): T => from[random(from.length)] as T;
  const steps: Step[] = Array.from({ length: 2 + random(2) }, () => ({
    wait: pick(["token", "token", "timer", "stream"]),
    ms: 6_000 + random(8_000),
    heapKiB: 50 + random(2_000),
  }));
  const kills = steps.map((step): Kill => {
    const kill = { at: pick(points), target: pick(targets) };
    const waits = points.indexOf(kill.at) < 2;
    if (kill.target === "guest") step.panic = waits ? { when: "waits", ms: random(1_500) } : { when: "goes on", ms: random(100) };
    return kill;
  });
  const said = `seed ${seed}: ${steps.map((step, index) => `${step.wait} (${kills[index]!.target} when ${kills[index]!.at})`).join(", ")}`;
  process.stdout.write(`park/resume: ${said}\n`);
  const { runId, sessionId } = await install.startRun("keeps", { steps, name: `seed-${seed}` });
  const done: string[] = [];
  const killing = (async () => {
    for (const { at, target } of kills) {
      if (target === "guest" || target === "nothing" || !(await reached(install, runId, at))) continue;
      await kill(install, target, runId);
      done.push(`${target} when ${at}`);
    }
  })();
  const answering = answer(install, { runId, sessionId, random });
  const end = await install.untilRun(said, runId, ({ state }) => state === "finished", seedMs);
  await Promise.all([killing, answering]);
  const [cuts] = await install.rows(
    "select count(*)::int as parks, count(distinct worker_id)::int as workers from checkpoints where run_id = $1",
    [runId],
  );
  const [panics] = await install.rows(
    "select count(*)::int as count from run_attempts where run_id = $1 and failure::text like '%panicked%'",
    [runId],
  );
  if (panics!["count"] > 0) done.push(`guest panicked ${panics!["count"]} times`);
  process.stdout.write(
    `park/resume: seed ${seed}: ${cuts!["parks"]} parks, made by ${cuts!["workers"]} workers, ${end["attempt_number"]} attempts; faults: ${done.join(", ") || "none"}\n`,
  );
  expect(end, said).toMatchObject({ outcome: "succeeded", output: { steps: steps.length, problems: [] } });
}

/** Mostly once the run is parked, or after a while when something keeps it from that; now and then early, so that a park under way is called off. */
async function late(install: TwoWorkers, runId: string, random: (max: number) => number): Promise<void> {
  if (random(5) === 0) return pauseMs(random(2_500));
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const { state } = await install.runState(runId);
    if (state === "waiting" || state === "finished") break;
    await pauseMs(50);
  }
  await pauseMs(random(1_000));
}

/** Gives the program what it waits for until it has ended. */
async function answer(
  install: TwoWorkers,
  { runId, sessionId, random }: { runId: string; sessionId: string; random: (max: number) => number },
): Promise<void> {
  let sent = 0;
  for (;;) {
    const { state } = await install.runState(runId);
    if (state === "finished") return;
    for (const id of await install.pendingTokens(runId)) {
      const [token] = await install.rows("select metadata from tokens where id = $1", [id]);
      await late(install, runId, random);
      await install.call("POST", `/api/tokens/${id}/complete`, { data: { index: token!["metadata"].index, at: Date.now() } });
    }
    const [wait] = await install.rows(
      "select coalesce(after_sequence, 0)::int as after, id from run_waits where run_id = $1 and kind = 'stream' and condition = 'open'",
      [runId],
    );
    const [newest] = await install.rows(
      "select coalesce(max(s.sequence), 0)::int as sequence from session_streams s where s.session_id = $1 and s.direction = 'input'",
      [sessionId],
    );
    if (wait !== undefined && newest!["sequence"] <= wait["after"]) {
      await late(install, runId, random);
      sent = (newest!["sequence"] as number) + 1;
      const body = { data: { n: sent, at: Date.now() }, idempotency_key: `${sessionId}-${sent}` };
      await install.call("POST", `/api/sessions/${sessionId}/inputs/orders`, body);
    }
    await pauseMs(200);
  }
}

/** False: the run ended before it came there. */
async function reached(install: TwoWorkers, runId: string, point: Point): Promise<boolean> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const [row] = await install.rows(
      `select r.state, r.checkpoint_id is not null as saved, (select count(*)::int from checkpoints c where c.run_id = r.id) as cuts,
              exists (select from run_waits w where w.run_id = r.id and w.condition = 'open') as waits from runs r where r.id = $1`,
      [runId],
    );
    if (row === undefined || row["state"] === "finished" || Date.now() > deadline) return false;
    const { state, saved, waits, cuts } = row;
    const is: Record<Point, boolean> = {
      "waiting live": state === "executing" && waits,
      parking: state === "executing" && waits && (await install.cuts()) > 0,
      parked: state === "waiting",
      "queued to resume": state === "queued" && saved,
      resuming: state === "leased" && saved,
      "gone on": state === "executing" && !waits && cuts > 0,
    };
    if (is[point]) return true;
    await pauseMs(15);
  }
}

async function kill(install: TwoWorkers, target: Target, runId: string): Promise<void> {
  switch (target) {
    case "worker": {
      const { worker } = await install.runState(runId);
      return (worker === "b" ? install.workers[1] : install.workers[0])!.restart();
    }
    case "monitor":
      for (const pid of await install.monitorsOf(runId)) signal(pid);
      return;
    case "server":
      return install.server.restart();
    case "database":
      await install.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
      );
      return;
    case "postgres":
      return install.crashDatabase();
    default:
      return;
  }
}

function signal(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

const pauseMs = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** A small generator: the same numbers for the same seed, everywhere. */
function randomOf(seed: number): (max: number) => number {
  let state = (seed * 2_654_435_761) % 2_147_483_647 || 1;
  return (max) => {
    // Its low bits alone are much the same for neighbouring seeds.
    for (let turn = 0; turn < 3; turn += 1) state = (state * 48_271) % 2_147_483_647;
    return Math.floor(state / 1_000) % max;
  };
}
