/** Runs a task once: the middle of the guest's program (sdk §3.1, §7). */
import { type Task } from "../authoring/task.ts";
import type { TaskContext } from "../authoring/task-context.ts";
import { jsonText } from "../json-value.ts";
import { parseWithSchema } from "../schema.ts";
import { type RunRuntime, installRuntime } from "./port.ts";

const outputBytesMax = 256 * 1024;

export interface TaskExecution {
  task: Task;
  /** As it came with the start; checked by the task's schema here. */
  payload: unknown;
  runtime: RunRuntime;
}

/**
 * Resolves with the output as JSON text, or without one when `run` returned `undefined`. Rejects with what the task threw, with
 * PayloadSchemaValidationError, or with a sentence about an output that is too large or no JSON. The runtime stays installed afterwards:
 * what a task left running may still log.
 */
export async function executeTask({ task, payload, runtime }: TaskExecution): Promise<{ outputJson?: string }> {
  installRuntime(runtime);
  const context = taskContext(runtime);
  const output: unknown = task.payload === undefined ? await call(task, [context]) : await call(task, [await parsePayload(task, payload), context]);
  return output === undefined ? {} : { outputJson: jsonText(output, { label: `the output of task "${task.id}"`, bytesMax: outputBytesMax }) };
}

async function parsePayload(task: Task, payload: unknown): Promise<unknown> {
  return task.payload === undefined ? payload : await parseWithSchema(task.payload, payload, `payload of task "${task.id}"`);
}

async function call(task: Task, values: unknown[]): Promise<unknown> {
  const run = task.run as (...values: unknown[]) => unknown;
  return await run.apply(task, values);
}

function taskContext(runtime: RunRuntime): TaskContext {
  return Object.freeze({
    signal: runtime.signal,
    run: Object.freeze({ ...runtime.run }),
    task: Object.freeze({ ...runtime.task }),
    workspace: Object.freeze({ ...runtime.workspace }),
    session: Object.freeze({ ...runtime.session }),
  });
}
