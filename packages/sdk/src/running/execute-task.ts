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

export type TaskEnd =
  /** Without output when `run` returned `undefined`. */
  | { outcome: "returned"; outputJson?: string }
  /** `detail` tells a payload that the schema refused, and an output that is too large or no JSON, from what the task itself threw. */
  | { outcome: "threw"; error: unknown; detail?: "payload_invalid" | "output_invalid" };

/** Never rejects. The runtime stays installed afterwards: what a task left running may still log. */
export async function executeTask({ task, payload, runtime }: TaskExecution): Promise<TaskEnd> {
  installRuntime(runtime);
  const values: unknown[] = [];
  try {
    if (task.payload !== undefined) values.push(await parseWithSchema(task.payload, payload, `payload of task "${task.id}"`));
  } catch (error) {
    return { outcome: "threw", error, detail: "payload_invalid" };
  }
  values.push(taskContext(runtime));
  let output: unknown;
  try {
    output = await task.run(...values);
  } catch (error) {
    return { outcome: "threw", error };
  }
  if (output === undefined) return { outcome: "returned" };
  try {
    return { outcome: "returned", outputJson: jsonText(output, { label: `the output of task "${task.id}"`, bytesMax: outputBytesMax }) };
  } catch (error) {
    return { outcome: "threw", error, detail: "output_invalid" };
  }
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
