/** `task()`: checks a task definition and brands it (sdk §2.4). The same object comes back. */
import { brand, brandData, hasBrand } from "../brand.ts";
import { DefinitionError, TaskIdError } from "../errors.ts";
import { parseDurationMs } from "@helmr/protocol/shared";
import { type PayloadSchema, checkSchema } from "../schema.ts";
import { type QueueDefinition, checkQueueId, isQueueDefinition } from "./queue.ts";
import { checkRetry, type RetryPolicy } from "./retry.ts";
import { type SandboxBuilder, sandboxData } from "./sandbox.ts";
import type { SecretDecls } from "./secrets.ts";
import type { TaskContext } from "./task-context.ts";
import { shown } from "../json-value.ts";

/** Stands in the place of the payload type of a task that takes none. */
export interface NoPayload {
  readonly "~helmr.noPayload": true;
}

export interface TaskSettings {
  /** Letters, digits, ".", "_" and "-"; at most 128. */
  readonly id: string;
  readonly sandbox: SandboxBuilder;
  /** Seconds of active time, 5 to 86400; waits do not count. Default 900. */
  readonly maxDuration?: number;
  /** A queue, or the id of one that is declared somewhere in the project. Default: a queue of its own without a limit. */
  readonly queue?: QueueDefinition | string;
  /** How long a run may stay queued, for example `10m`. */
  readonly ttl?: string;
  /** Default: no retry. */
  readonly retry?: RetryPolicy;
  readonly secrets?: SecretDecls;
  /** When the workspace was changed by somebody else while the run was parked. */
  readonly onConflict?: "fail" | "fork";
  /** When a parked run cannot be brought back. */
  readonly onCheckpointLost?: "fail" | "restart";
}

export interface TaskConfigWithPayload<P, O, I = P> extends TaskSettings {
  readonly payload: PayloadSchema<I, P>;
  readonly run: (payload: P, ctx: TaskContext) => O | Promise<O>;
}

export interface TaskConfigWithoutPayload<O> extends TaskSettings {
  readonly payload?: undefined;
  readonly run: (ctx: TaskContext) => O | Promise<O>;
}

export type TaskConfig<P, O, I = P> = [P] extends [NoPayload] ? TaskConfigWithoutPayload<O> : TaskConfigWithPayload<P, O, I>;

/** The first line is for `any`: a task of whatever payload. */
type TaskRun<P, O> = 0 extends 1 & P
  ? // oxlint-disable-next-line typescript/no-explicit-any -- nothing else is both callable and assignable from every run function
    (...values: any[]) => O | Promise<O>
  : [P] extends [NoPayload]
    ? (ctx: TaskContext) => O | Promise<O>
    : (payload: P, ctx: TaskContext) => O | Promise<O>;

/**
 * A declared task. `P` is the payload as `run` gets it, `O` the awaited output, `I` the payload as a caller writes it.
 */
// oxlint-disable-next-line typescript/no-explicit-any -- `Task` alone means a task of whatever types
export interface Task<P = any, O = any, I = P> extends TaskSettings {
  readonly payload?: PayloadSchema<I, P> | undefined;
  readonly run: TaskRun<P, O>;
  /** Carries the types only; never present at run time. */
  readonly "~helmr.types"?: { readonly payload: P; readonly output: O; readonly input: I };
}

type Types<T> = T extends { readonly "~helmr.types"?: infer Carried } ? NonNullable<Carried> : never;
/** The awaited result of a task's `run`. */
export type TaskOutput<T> = Types<T> extends { readonly output: infer O } ? O : never;
/** The payload as `run` gets it. */
export type TaskPayload<T> = Types<T> extends { readonly payload: infer P } ? P : never;
/** The payload as a caller of `sessions.start` writes it. */
export type SessionStartPayload<T> = Types<T> extends { readonly input: infer I } ? I : never;

const idPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const allowedKeys = [
  "id",
  "sandbox",
  "maxDuration",
  "queue",
  "ttl",
  "retry",
  "secrets",
  "payload",
  "run",
  "onConflict",
  "onCheckpointLost",
];
const refusedKeys: Readonly<Record<string, string>> = {
  streams: "define streams at module level with streams.input(id) and streams.output(id)",
  schedule: "use schedules.task({ cron, ... }) for a task that runs on a schedule",
};

export function task<P, O, I = P>(config: TaskConfigWithPayload<P, O, I>): Task<P, Awaited<O>, I>;
export function task<O>(config: TaskConfigWithoutPayload<O>): Task<NoPayload, Awaited<O>, NoPayload>;
/** With the types written out, as `task<Payload, Output>(...)`. */
export function task<P, O>(config: TaskConfig<P, O>): Task<P, Awaited<O>, P>;
export function task(config: TaskConfigWithPayload<unknown, unknown> | TaskConfigWithoutPayload<unknown>): Task {
  checkTask(config, { allowed: allowedKeys });
  return brandTask(config, {});
}

/** Data of the brand: what `schedules.task` adds. */
export interface TaskBrand {
  readonly schedule?: { readonly cron: string; readonly timezone: string };
}

export function brandTask(config: Task, data: TaskBrand): Task {
  if (!Object.isExtensible(config))
    throw new DefinitionError(`The definition of task "${config.id}" must not be frozen: task() marks the object it is given`);
  return brand("Task", config, data);
}

export function isTask(value: unknown): value is Task {
  return hasBrand("Task", value);
}

export function taskBrand(value: Task): TaskBrand {
  const data = brandData("Task", value);
  return typeof data === "object" && data !== null ? data : {};
}

export function checkTask(config: unknown, { allowed }: { allowed: readonly string[] }): void {
  if (typeof config !== "object" || config === null) throw new DefinitionError("task() needs an object with id, sandbox and run");
  const { id, sandbox, maxDuration, queue, ttl, retry, payload, run, onConflict, onCheckpointLost } = config as Record<string, unknown>;
  if (typeof id !== "string" || !idPattern.test(id)) {
    throw new TaskIdError(`A task id must match ${idPattern.source}, and is ${shown(id)}`);
  }
  const label = `task "${id}"`;
  checkKeys(config, allowed, label);
  if (!sandboxData(sandbox)) throw new DefinitionError(`sandbox of ${label} must be the result of sandbox(id)`);
  if (typeof run !== "function") throw new DefinitionError(`run of ${label} must be a function`);
  if (maxDuration !== undefined && !(Number.isInteger(maxDuration) && Number(maxDuration) >= 5 && Number(maxDuration) <= 86_400)) {
    throw new DefinitionError(`maxDuration of ${label} must be a whole number of seconds from 5 to 86400, and is ${shown(maxDuration)}`);
  }
  if (queue !== undefined && !isQueueDefinition(queue)) checkQueueId(queue, `queue of ${label}`);
  if (ttl !== undefined && (typeof ttl !== "string" || parseDurationMs(ttl) === undefined)) {
    throw new DefinitionError(`ttl of ${label} must be a duration greater than zero such as "90s", "1h30m" or "7d", and is ${shown(ttl)}`);
  }
  if (retry !== undefined) checkRetry(retry, `retry of ${label}`);
  if (payload !== undefined) checkSchema(payload, `payload of ${label}`);
  checkChoice(onConflict, { label: `onConflict of ${label}`, choices: ["fail", "fork"] });
  checkChoice(onCheckpointLost, { label: `onCheckpointLost of ${label}`, choices: ["fail", "restart"] });
}

function checkKeys(config: object, allowed: readonly string[], label: string): void {
  for (const key of Object.keys(config)) {
    const pointer = refusedKeys[key];
    if (pointer !== undefined) throw new DefinitionError(`${label} must not have ${key}: ${pointer}`);
    if (!allowed.includes(key))
      throw new DefinitionError(`${label} has an unknown key ${JSON.stringify(key)}; allowed are ${allowed.join(", ")}`);
  }
}

function checkChoice(value: unknown, { label, choices }: { label: string; choices: readonly string[] }): void {
  if (value === undefined || (typeof value === "string" && choices.includes(value))) return;
  throw new DefinitionError(`${label} must be ${choices.map((choice) => JSON.stringify(choice)).join(" or ")}, and is ${shown(value)}`);
}
