/**
 * Input streams inside a task (sdk §3.2).
 *
 * `wait` is durable and remembers, inside this process only, the last sequence per (stream, correlation id); the memory lives beside the
 * runtime so that all copies of the SDK share it. `once`, `peek` and `on` start from `afterSequence ?? 0` and remember nothing.
 * A record counts as received before its schema is checked: one that fails is not delivered for ever.
 */
import { recordStream } from "../authoring/definition-registry.ts";
import { DefinitionError, WaitCancelledError, WaitTimeoutError } from "../errors.ts";
import { type PayloadSchema, checkSchema, parseWithSchema } from "../schema.ts";
import { blocking } from "./blocking.ts";
import { type InstalledRuntime, type WaitOutcome, activeRuntime } from "./port.ts";
import { correlationIdOf, streamName } from "./stream-name.ts";
import { type StreamRecord, type WireStreamRecord, streamRecord } from "./stream-record.ts";
import { type WaitHandle, type WaitResult, completed, failed, waitHandle } from "./wait-handle.ts";
import { type WaitFields, type WaitOptions, waitFields } from "./wait-options.ts";
import { shown } from "../json-value.ts";

export interface InputStreamPeekOptions {
  /** Only records with this correlation id; blank counts as none. */
  readonly correlationId?: string;
  /** Only records with a greater sequence. */
  readonly afterSequence?: number;
}

export interface InputStreamWaitOptions extends WaitOptions, InputStreamPeekOptions {}

/** What a task does with an input stream. Outside a task these throw. */
export interface InputStreamHandle<T = unknown> {
  /** Durable: the run may be parked while it waits. */
  wait(options?: InputStreamWaitOptions): WaitHandle<T>;
  /** Reads live and never parks; a repeated call gives the same first record. */
  once(options?: InputStreamWaitOptions): WaitHandle<T>;
  /** The first record, or null, at once. */
  peek(options?: InputStreamPeekOptions): Promise<StreamRecord<T> | null>;
  /** Gives the data of each record to the handler, one after the other, without end; throw from the handler to stop. */
  on(handler: (data: T) => unknown, options?: InputStreamWaitOptions): Promise<never>;
}

/** `T`: data as the task gets it; `I`: data as a sender writes it. */
export interface InputStreamDefinition<T = unknown, I = T> extends InputStreamHandle<T> {
  readonly id: string;
  readonly direction: "input";
  readonly schema?: PayloadSchema<I, T>;
}

export function inputStream<T, I>(id: string, options: { readonly schema?: PayloadSchema<I, T> } = {}): InputStreamDefinition<T, I> {
  const name = streamName(id, "the id of an input stream");
  const { schema } = options;
  if (schema !== undefined) checkSchema(schema, `schema of input stream "${name}"`);
  recordStream({ direction: "input", name, schema: schema ? { kind: "standard", vendor: schema["~standard"].vendor } : { kind: "none" } });
  const reader: Reader<T> = { name, parse: (data) => parseData<T>(schema, data, name) };
  return Object.freeze({
    id: name,
    direction: "input" as const,
    ...(schema === undefined ? {} : { schema }),
    wait: (waitOptions: InputStreamWaitOptions = {}) => waitForRecord(reader, waitOptions),
    once: (waitOptions: InputStreamWaitOptions = {}) => onceForRecord(reader, waitOptions),
    peek: (peekOptions: InputStreamPeekOptions = {}) => peekRecord(reader, peekOptions),
    on: (handler: (data: T) => unknown, onOptions: InputStreamWaitOptions = {}) => onRecords(reader, handler, onOptions),
  });
}

interface Reader<T> {
  name: string;
  parse: (data: unknown) => Promise<T>;
}

async function parseData<T>(schema: PayloadSchema<unknown, T> | undefined, data: unknown, name: string): Promise<T> {
  if (schema === undefined || data === null) return data as T;
  return await parseWithSchema(schema, data, `record of input stream "${name}"`);
}

interface ReadFrom {
  afterSequence?: number;
  correlationId?: string;
}

function readFrom(name: string, options: InputStreamPeekOptions): ReadFrom {
  const { afterSequence } = options;
  if (afterSequence !== undefined && !(Number.isSafeInteger(afterSequence) && afterSequence >= 0)) {
    throw new DefinitionError(
      `afterSequence of input stream "${name}" must be a whole number that is not negative, and is ${shown(afterSequence)}`,
    );
  }
  const correlationId = correlationIdOf(options.correlationId);
  return { ...(afterSequence === undefined ? {} : { afterSequence }), ...(correlationId === undefined ? {} : { correlationId }) };
}

function waitForRecord<T>(reader: Reader<T>, options: InputStreamWaitOptions): WaitHandle<T> {
  activeRuntime();
  const { name } = reader;
  const from = readFrom(name, options);
  const fields = waitFields(options, `a wait on input stream "${name}"`);
  const cursorKey = JSON.stringify([name, from.correlationId ?? null]);
  return waitHandle(() =>
    blocking(`a wait on input stream "${name}"`, async (installed): Promise<WaitResult<T>> => {
      const afterSequence = from.afterSequence ?? installed.cursors.get(cursorKey);
      const read = await readStream(installed, {
        name,
        from: { ...from, ...(afterSequence === undefined ? {} : { afterSequence }) },
        fields,
        parkable: true,
      });
      if (read.status === "timed_out") return failed(new WaitTimeoutError(fields.timeoutSeconds, `wait on input stream "${name}"`));
      installed.cursors.set(cursorKey, read.record.sequence);
      return completed(await reader.parse(read.record.data));
    }),
  );
}

function onceForRecord<T>(reader: Reader<T>, options: InputStreamWaitOptions): WaitHandle<T> {
  activeRuntime();
  const { name } = reader;
  const from = { afterSequence: 0, ...readFrom(name, options) };
  const fields = waitFields(options, `once() on input stream "${name}"`);
  return waitHandle(() =>
    blocking(`once() on input stream "${name}"`, async (installed): Promise<WaitResult<T>> => {
      const read = await readStream(installed, { name, from, fields, parkable: false });
      if (read.status === "timed_out") return failed(new WaitTimeoutError(fields.timeoutSeconds, `once() on input stream "${name}"`));
      return completed(await reader.parse(read.record.data));
    }),
  );
}

async function peekRecord<T>(reader: Reader<T>, options: InputStreamPeekOptions): Promise<StreamRecord<T> | null> {
  const { name } = reader;
  const from = readFrom(name, options);
  return await blocking(`peek() on input stream "${name}"`, async ({ runtime }) => {
    const answer = await runtime.call({
      kind: "stream.peek",
      stream: name,
      afterSequence: from.afterSequence ?? 0,
      ...withCorrelation(from),
    }).answer;
    if (answer === null || answer === undefined) return null;
    const record = streamRecord(answer as WireStreamRecord);
    return { ...record, data: await reader.parse(record.data) };
  });
}

async function onRecords<T>(reader: Reader<T>, handler: (data: T) => unknown, options: InputStreamWaitOptions): Promise<never> {
  activeRuntime();
  const { name } = reader;
  const from = readFrom(name, options);
  const { timeoutSeconds, ...fields } = waitFields(options, `on() of input stream "${name}"`);
  let afterSequence = from.afterSequence ?? 0;
  for (let first = true; ; first = false) {
    const timeout = first && timeoutSeconds !== undefined ? { timeoutSeconds } : {};
    const data = await blocking(`on() of input stream "${name}"`, async (installed) => {
      const read = await readStream(installed, {
        name,
        from: { ...from, afterSequence },
        fields: { ...fields, ...timeout },
        parkable: false,
      });
      if (read.status === "timed_out") throw new WaitTimeoutError(timeoutSeconds, `first record of input stream "${name}"`);
      afterSequence = read.record.sequence;
      return await reader.parse(read.record.data);
    });
    await handler(data);
  }
}

type StreamRead = { status: "timed_out" } | { status: "completed"; record: StreamRecord };

async function readStream(
  installed: InstalledRuntime,
  read: { name: string; from: ReadFrom; fields: WaitFields; parkable: boolean },
): Promise<StreamRead> {
  const { name, from, fields, parkable } = read;
  const condition = {
    kind: "stream" as const,
    stream: name,
    ...(from.afterSequence === undefined ? {} : { afterSequence: from.afterSequence }),
    ...withCorrelation(from),
  };
  const outcome = (await installed.runtime.call({ kind: "wait", on: condition, parkable, ...fields }).answer) as WaitOutcome;
  if (outcome.kind !== "stream") throw new DefinitionError(`A wait on input stream "${name}" was decided as a ${outcome.kind} wait`);
  if (outcome.status === "cancelled") throw new WaitCancelledError(`The wait on input stream "${name}" was cancelled`);
  if (outcome.status === "timed_out") return { status: "timed_out" };
  return { status: "completed", record: streamRecord(outcome.record as WireStreamRecord) };
}

function withCorrelation({ correlationId }: ReadFrom): { correlationId?: string } {
  return correlationId === undefined ? {} : { correlationId };
}
