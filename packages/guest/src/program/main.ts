/**
 * The untrusted half of the guest: one process of the image's own Node that runs one task once. Everything it says goes over the pipe to the
 * supervisor; everything it prints goes to its standard streams like any other process's.
 *
 *   start message → module → task → run() → `ended` → exit
 *
 * It must be quick to start (every millisecond is in the start latency of every run) and small; it must not notice that its machine was
 * parked in between; and it must end when run() has returned, whatever handles the task left open.
 */
import { executeTask, type TaskEnd } from "@helmr/sdk/runtime";
import { loadTask } from "./load-task.ts";
import type { ProgramEnd, StartMessage, ToProgram } from "./pipe.ts";
import { useKernelRandomness } from "./randomness.ts";
import { mapStackTraces } from "./source-maps.ts";
import { blockingOutput } from "./standard-streams.ts";
import { listen, readStart, send } from "./supervisor-pipe.ts";
import { TaskRuntime } from "./task-runtime.ts";

const nodeMajorMin = 20;
const summaryCharactersMax = 4_000;
const bootedAt = performance.now();
let ended = false;

async function main(start: StartMessage): Promise<void> {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < nodeMajorMin) {
    const message = `The image's node is ${process.version}, and tasks need Node.js ${nodeMajorMin} or newer`;
    return leave({ outcome: "not_started", failureKind: "task_failed", detail: "node_too_old", message });
  }
  const randomness = useKernelRandomness();
  blockingOutput();
  mapStackTraces(start.module);
  watchForEarlyEnd();
  const loaded = await loadTask(start);
  if (!loaded.ok) {
    if (loaded.error !== undefined) console.error(loaded.error);
    return leave(loaded.end);
  }
  send({ type: "started", node: process.version, bootMs: bootedAt, loadMs: performance.now() });
  const runtime = new TaskRuntime(start);
  const running = executeTask({ task: loaded.task, payload: start.payload, runtime });
  // Only now, so that the task's first line does not wait for it.
  const take = (message: ToProgram) => {
    // The first thing that a program hears after its machine was parked is an answer.
    randomness.forget();
    runtime.take(message);
  };
  const listening = listen(take).then((socket) => runtime.connect(socket));
  process.on("beforeExit", () => {
    void listening.then(() => {
      if (ended || runtime.stayForCancel()) return;
      leave({ outcome: "stalled", message: "run() waits for something that cannot happen any more: nothing is left in the event loop" });
    });
  });
  finish(await running);
}

function finish(end: TaskEnd): void {
  if (end.outcome === "returned") return leave({ outcome: "returned", ...(end.outputJson === undefined ? {} : { json: end.outputJson }) });
  console.error(end.error);
  return leave({ outcome: "threw", message: summary(end.error), ...(end.detail === undefined ? {} : { detail: end.detail }) });
}

/** An exception that nobody catches ends the process by Node's own rules; the supervisor hears why. */
function watchForEarlyEnd(): void {
  process.on("uncaughtExceptionMonitor", (error) => {
    if (ended || process.listenerCount("uncaughtException") > 0) return;
    ended = true;
    send({ type: "ended", end: { outcome: "threw", message: summary(error) } });
  });
}

function leave(end: ProgramEnd): void {
  if (ended) return;
  ended = true;
  send({ type: "ended", end });
  process.exit(end.outcome === "returned" ? 0 : 1);
}

function summary(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : `A value was thrown: ${String(error)}`;
  return text.slice(0, summaryCharactersMax);
}

const start = readStart();
if (start === undefined) process.exit(1);
void main(start);
