/**
 * Type-level promises of sdk §12, checked by the type checker alone: this file is never run.
 * `expectType<Expected>()(value)` fails to compile when the type of `value` is not exactly `Expected`.
 */
import type * as z from "zod";
import type { guestMessage, projectIndex, imageStep as imageStepSchema } from "@helmr/protocol/guest";
import type { waitOutcome } from "@helmr/protocol/worker";
import {
  type HelmrClient,
  type NoPayload,
  type RunHandle,
  type RunOutput,
  type RunSnapshot,
  type ScheduledTaskPayload,
  type SessionStartPayload,
  type StandardSchemaV1,
  type StreamRecord,
  type Task,
  type TaskConfig,
  type TaskContext,
  type TaskOutput,
  type TaskPayload,
  type WaitJson,
  type WaitResult,
  runs,
  sandbox,
  schedules,
  sessions,
  streams,
  task,
  timers,
  tokens,
  workspaces,
} from "./index.ts";
import type { ImageStep } from "./authoring/image-declaration.ts";
import type { ProjectIndex } from "./authoring/project-index.ts";
import type { ProgramCall, WaitOutcome } from "./running/port.ts";

/* oxlint-disable typescript/no-unnecessary-type-parameters -- helpers that look at types have no other use for them */
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function expectType<Expected>(): <Actual>(value: Actual, ...mismatch: Equal<Actual, Expected> extends true ? [] : [never]) => void;
declare function holds<Condition extends true>(): Condition;
/* oxlint-enable typescript/no-unnecessary-type-parameters */

const box = sandbox("box");
declare const countSchema: StandardSchemaV1<{ count: string }, { count: number }>;
declare const zodSchema: z.ZodObject<{ name: z.ZodString; times: z.ZodDefault<z.ZodNumber> }>;

// task({ payload }): run gets the schema's output, start takes its input, the output is awaited.
const counting = task({
  id: "counting",
  sandbox: box,
  payload: countSchema,
  run: async (payload, ctx) => {
    expectType<{ count: number }>()(payload);
    expectType<TaskContext>()(ctx);
    expectType<AbortSignal>()(ctx.signal);
    return { doubled: payload.count * 2 };
  },
});
holds<Equal<TaskPayload<typeof counting>, { count: number }>>();
holds<Equal<SessionStartPayload<typeof counting>, { count: string }>>();
holds<Equal<TaskOutput<typeof counting>, { doubled: number }>>();
holds<Equal<typeof counting, Task<{ count: number }, { doubled: number }, { count: string }>>>();

// The same with zod, whose schemas are classes with much more than the standard asks for.
const greeting = task({ id: "greeting", sandbox: box, payload: zodSchema, run: ({ name, times }) => `${name} ${times.toFixed()}` });
holds<Equal<TaskPayload<typeof greeting>, { name: string; times: number }>>();
holds<Equal<SessionStartPayload<typeof greeting>, { name: string; times?: number | undefined }>>();
holds<Equal<TaskOutput<typeof greeting>, string>>();

// Without payload: run gets the context alone.
const plain = task({
  id: "plain",
  sandbox: box,
  run: (ctx) => {
    expectType<TaskContext>()(ctx);
    return Promise.resolve(7);
  },
});
holds<Equal<TaskPayload<typeof plain>, NoPayload>>();
holds<Equal<TaskOutput<typeof plain>, number>>();

// Types written out.
const typed = task<{ a: number }, string>({
  id: "typed",
  sandbox: box,
  payload: {} as StandardSchemaV1<{ a: number }>,
  run: (payload) => String(payload.a),
});
holds<Equal<TaskOutput<typeof typed>, string>>();
const config: TaskConfig<{ count: number }, number, { count: string }> = {
  id: "c",
  sandbox: box,
  payload: countSchema,
  run: ({ count }) => count,
};
holds<Equal<TaskOutput<ReturnType<typeof fromConfig>>, number>>();
function fromConfig() {
  return task(config);
}

// @ts-expect-error unknown keys are refused
task({ id: "x", sandbox: box, streams: {}, run: () => 1 });
// @ts-expect-error a payload that run does not take
task({ id: "x", sandbox: box, payload: countSchema, run: (payload: { other: boolean }) => payload.other });
// @ts-expect-error a sandbox is needed
task({ id: "x", run: () => 1 });
task({ id: "x", sandbox: box, onConflict: "fork", onCheckpointLost: "restart", run: () => undefined });

// Starts: two arguments without payload, three with one; options are never optional.
async function starts(): Promise<void> {
  const started = await sessions.start(counting, { count: "1" }, {});
  holds<Equal<typeof started.run, RunHandle<{ doubled: number }>>>();
  holds<Equal<RunOutput<typeof started.run>, { doubled: number }>>();
  const ended = await runs.wait(started.run);
  holds<Equal<typeof ended, RunSnapshot<{ doubled: number }>>>();
  holds<Equal<typeof ended.output, { doubled: number } | undefined>>();
  holds<Equal<RunOutput<typeof ended>, { doubled: number }>>();
  const direct = await sessions.startAndWait(plain, { timeoutSeconds: 5 });
  holds<Equal<typeof direct.run.output, number | undefined>>();
  await sessions.start(plain, { externalId: "order-1", idempotencyKey: ["order", "1"] });
  await sessions.start("by-id", { anything: true }, { tags: ["x"] });
  await sessions.start("by-id", {});
  // @ts-expect-error options are never optional
  await sessions.start(plain);
  // @ts-expect-error nor with a payload
  await sessions.start(counting, { count: "1" });
  // @ts-expect-error a task without payload takes none
  await sessions.start(plain, { count: "1" }, {});
  // @ts-expect-error the schema's input, not its output
  await sessions.start(counting, { count: 1 }, {});
  // @ts-expect-error no such option
  await sessions.start(plain, { deploymentId: "x" });
  const retrieved = await runs.retrieve("id");
  holds<Equal<typeof retrieved.output, unknown>>();
  // @ts-expect-error there is no isExpired
  void retrieved.isExpired;
}

// Streams: wait by the schema's output, send by its input.
const approvals = streams.input("approvals", { schema: countSchema });
const untyped = streams.input("untyped");
const progress = streams.output("progress", { schema: countSchema });
async function inTask(): Promise<void> {
  const result = await approvals.wait({ timeout: "5m", correlationId: "a", tags: "one" });
  holds<Equal<typeof result, WaitResult<{ count: number }>>>();
  if (result.ok) expectType<{ count: number }>()(result.data);
  else expectType<Error>()(result.error);
  expectType<{ count: number }>()(await approvals.once().unwrap());
  expectType<StreamRecord<{ count: number }> | null>()(await approvals.peek());
  await approvals.on((data) => expectType<{ count: number }>()(data));
  expectType<unknown>()(await untyped.wait().unwrap());
  await progress.append({ count: "1" });
  // @ts-expect-error append takes the schema's input
  await progress.append({ count: 1 });
  await progress.pipe([{ count: "1" }]);

  const token = await tokens.create({ timeout: 60, metadata: { a: 1 } });
  expectType<{ count: number }>()(await token.wait({ schema: countSchema }).unwrap());
  expectType<WaitJson>()(await token.wait().unwrap());
  expectType<{ count: number }>()(await tokens.wait("id", { schema: countSchema, timeout: { minutes: 1 } }).unwrap());
  expectType<void>()(await timers.waitFor("10s"));
  expectType<void>()(await timers.waitUntil({ date: new Date() }).unwrap());
}

async function fromOutside(client: HelmrClient): Promise<void> {
  const session = client.sessions.open("id");
  await session.input(approvals).send({ count: "1" }, { correlationId: "a" });
  // @ts-expect-error send takes the schema's input
  await session.input(approvals).send({ count: 1 });
  const sent = await session.input("free").send({ any: "thing" });
  holds<Equal<typeof sent.data, unknown>>();
  const record = await session.output(progress).read();
  holds<Equal<typeof record, StreamRecord<{ count: number }> | null>>();
  // @ts-expect-error an output stream is no input stream
  session.input(progress);
  expectType<string>()(session.id);
  expectType<string>()(client.sessions.open({ externalId: "order" }).externalId);
  const token = await client.tokens.create();
  // @ts-expect-error waiting is for tokens of the namespace
  token.wait();

  // files.read: a version id only with source version, a materialization id only with source live.
  const { files } = workspaces.open("id");
  await files.read("a.txt");
  await files.read("a.txt", { source: "version", versionId: "v" });
  await files.read("a.txt", { source: "live", materializationId: "m" });
  // @ts-expect-error versionId needs source version
  await files.read("a.txt", { versionId: "v" });
  // @ts-expect-error versionId is needed
  await files.read("a.txt", { source: "version" });
  // @ts-expect-error materializationId needs source live
  await files.read("a.txt", { source: "current", materializationId: "m" });
}

// Scheduled tasks.
const nightly = schedules.task({
  id: "nightly",
  sandbox: box,
  cron: { pattern: "0 3 * * *", timezone: "Europe/Berlin" },
  run: (payload) => {
    expectType<ScheduledTaskPayload>()(payload);
    expectType<Date[]>()(payload.upcoming);
    return payload.scheduleType;
  },
});
holds<Equal<TaskOutput<typeof nightly>, "declarative" | "imperative">>();
holds<Equal<SessionStartPayload<typeof nightly>["timestamp"], string>>();
// @ts-expect-error the payload of a scheduled task is fixed
schedules.task({ id: "x", sandbox: box, payload: countSchema, run: () => 1 });

// What the SDK restates of the guest protocol, so that its declarations stand alone, is what the protocol says.
type WireCall = Extract<z.input<typeof guestMessage>, { type: "program.call" }>["call"];
declare const call: ProgramCall;
const wireCall: WireCall = call;
declare const wireIndex: z.input<typeof projectIndex>;
declare const index: ProjectIndex;
const sentIndex: typeof wireIndex = index;
declare const wireStep: z.output<typeof imageStepSchema>;
const readStep: ImageStep = wireStep;
declare const outcome: z.output<typeof waitOutcome>;
const readOutcome: WaitOutcome = outcome;

void [starts, inTask, fromOutside, wireCall, sentIndex, readStep, readOutcome];
