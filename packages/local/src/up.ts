/**
 * `helmr up`: from a checkout to an install that is ready for a first run. Every step is idempotent and says what it does; whatever was
 * interrupted before is finished or replaced. In the foreground the install lives as long as this process; with `--detach` a supervisor of its own
 * keeps it.
 */
import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { endInstall } from "./down.ts";
import { type Install, openInstall } from "./install.ts";
import { installComponents, untilReady } from "./install-components.ts";
import { LocalError } from "./local-error.ts";
import { prepare } from "./prepare.ts";
import { identify } from "./processes.ts";
import type { Progress } from "./progress.ts";
import { type Ready, describeReady, readyFacts } from "./ready.ts";
import { type StateLayout, prepareState, readJson } from "./state.ts";
import { logTail, presentSupervisor, Supervisor, type SupervisorRecord } from "./supervise.ts";

export interface UpOptions {
  stateDirectory: string;
  port: number | undefined;
  detach: boolean;
  json: boolean;
  progress: Progress;
}

const detachedStartMs = 10 * 60_000;

export async function up(options: UpOptions): Promise<void> {
  const layout = await prepareState(options.stateDirectory);
  const present = await presentSupervisor(layout);
  if (present) return showPresent(layout, present, options);

  await endInstall(layout, { machines: "leave" });
  await prepare(layout, options.progress);
  const install = await openInstall(layout, options.port);
  options.progress.step("Starting PostgreSQL, server and worker");
  if (!options.detach) return runHere(layout, install, options);
  await startDetached(layout, options.progress);
  show(await readyFacts(layout, { freshLink: false }), options.json);
  return undefined;
}

/** A second `up` beside a running one changes nothing and shows what is there, with a fresh login link. */
async function showPresent(layout: StateLayout, present: SupervisorRecord, options: UpOptions): Promise<void> {
  options.progress.step(`Already running (supervisor ${present.pid})`);
  await untilPhaseReady(layout, present.pid, options.progress);
  show(await readyFacts(layout, { freshLink: true }), options.json);
}

async function runHere(layout: StateLayout, install: Install, options: UpOptions): Promise<void> {
  const supervisor = new Supervisor({
    layout,
    install,
    components: (urls) => installComponents({ layout, install, ...urls }),
    untilReady: (signal) => untilReady({ layout, install, signal, detail: (line) => options.progress.detail(line) }),
    say: (line) => options.progress.detail(line),
  });
  const asked = new Promise<string>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve(signal));
  });
  const started = supervisor.start();
  const first = await Promise.race([started.then(() => "started" as const), asked]);
  if (first === "started") {
    show(await readyFacts(layout, { freshLink: false }), options.json);
    if (!options.json) process.stderr.write("Ctrl-C stops everything; the state is kept.\n");
    await asked;
  } else {
    // Stopping makes the start fail; that is what was asked for.
    started.catch(() => undefined);
  }
  options.progress.step("Stopping");
  await supervisor.stop();
}

async function startDetached(layout: StateLayout, progress: Progress): Promise<void> {
  const logFile = join(layout.logs, "supervisor.log");
  const log = await open(logFile, "a", 0o600);
  const child = spawn(process.execPath, [join(import.meta.dirname, "main.ts"), "supervise"], {
    env: { ...process.env, HELMR_STATE_DIR: layout.root },
    stdio: ["ignore", log.fd, log.fd],
    detached: true,
    cwd: "/",
  });
  await log.close();
  child.unref();
  if (child.pid === undefined) throw new LocalError("The supervisor could not be started.", `see ${logFile}`);
  await untilPhaseReady(layout, child.pid, progress);
}

/** The body of the detached supervisor. */
export async function superviseDetached(stateDirectory: string): Promise<void> {
  const layout = await prepareState(stateDirectory);
  const install = await readJson<Install>(layout.install);
  if (!install) throw new LocalError(`${layout.install} is missing.`, "./helmr up");
  const say = (line: string) => process.stdout.write(`${new Date().toISOString()} ${line}\n`);
  const supervisor = new Supervisor({
    layout,
    install,
    components: (urls) => installComponents({ layout, install, ...urls }),
    untilReady: (signal) => untilReady({ layout, install, signal, detail: say }),
    say,
  });
  let stopping: Promise<void> | undefined;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      stopping ??= supervisor.stop();
    });
  }
  // Detached from the terminal on purpose.
  process.on("SIGHUP", () => undefined);
  await supervisor.start().catch((error: unknown) => {
    if (stopping === undefined) throw error;
  });
}

async function untilPhaseReady(layout: StateLayout, pid: number, progress: Progress): Promise<void> {
  const deadline = Date.now() + detachedStartMs;
  while (Date.now() < deadline) {
    const record = await readJson<SupervisorRecord>(layout.supervisor);
    if (record?.pid === pid && record.phase === "ready") return;
    if (!(await identify(pid))) {
      const text =
        record?.pid === pid && record.problem !== undefined ? record.problem : await logTail(join(layout.logs, "supervisor.log"), 5);
      throw new LocalError(`The install did not start. ${text}`, `./helmr doctor; the logs are in ${layout.logs}`);
    }
    await delay(50);
  }
  progress.detail("still not ready");
  throw new LocalError(`The install was not ready after ${detachedStartMs / 60_000} minutes.`, `see the logs in ${layout.logs}`);
}

/** Prints what a person or program needs next. */
function show(ready: Ready, json: boolean): void {
  process.stdout.write(json ? `${JSON.stringify(ready)}\n` : describeReady(ready));
}
