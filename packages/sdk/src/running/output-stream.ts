/** Output streams inside a task (sdk §3.3). A schema parses first, and the parsed value is sent. */
import { recordStream } from "../authoring/definition-registry.ts";
import { UnsupportedTransportError } from "../errors.ts";
import { jsonText } from "../json-value.ts";
import { orderedWriter } from "../ordered-writer.ts";
import { type PayloadSchema, checkSchema, parseWithSchema } from "../schema.ts";
import { boundedCall } from "./bounded-calls.ts";
import { activeRuntime } from "./port.ts";
import { streamName } from "./stream-name.ts";
import type { StreamRecord } from "./stream-record.ts";

export interface StreamAppendOptions {
  /** Default `application/json`. */
  readonly contentType?: string;
}

export interface StreamListOptions {
  /** Only records with a greater sequence. */
  readonly cursor?: number;
  readonly limit?: number;
  readonly correlationId?: string;
}

export interface StreamReadOptions {
  readonly cursor?: number;
  readonly correlationId?: string;
}

export interface StreamWriter<T = unknown> {
  write(data: T): Promise<void>;
  /** Waits for what was written; later writes are refused. */
  close(): Promise<void>;
}

/** What a task does with an output stream. Outside a task these throw. */
export interface OutputStreamHandle<T = unknown, I = T> {
  append(data: I, options?: StreamAppendOptions): Promise<void>;
  /** Appends what the source yields, one after the other. */
  pipe(source: Iterable<I> | AsyncIterable<I>, options?: StreamAppendOptions): Promise<void>;
  writer(options?: StreamAppendOptions): StreamWriter<I>;
  /** Reads are for clients: in a task this throws. */
  read(options?: StreamReadOptions): Promise<StreamRecord<T> | null>;
  list(options?: StreamListOptions): Promise<readonly StreamRecord<T>[]>;
}

/** `T`: data as a reader gets it; `I`: data as a writer gives it. */
export interface OutputStreamDefinition<T = unknown, I = T> extends OutputStreamHandle<T, I> {
  readonly id: string;
  readonly direction: "output";
  readonly schema?: PayloadSchema<I, T>;
}

const dataBytesMax = 256 * 1024;

export function outputStream<T, I>(id: string, options: { readonly schema?: PayloadSchema<I, T> } = {}): OutputStreamDefinition<T, I> {
  const name = streamName(id, "the id of an output stream");
  const { schema } = options;
  if (schema !== undefined) checkSchema(schema, `schema of output stream "${name}"`);
  recordStream({ direction: "output", name, schema: schema ? { kind: "standard", vendor: schema["~standard"].vendor } : { kind: "none" } });
  const appender: Appender = { name, schema };
  return Object.freeze({
    id: name,
    direction: "output" as const,
    ...(schema === undefined ? {} : { schema }),
    append: (data: I, appendOptions: StreamAppendOptions = {}) => append(appender, data, appendOptions),
    pipe: (source: Iterable<I> | AsyncIterable<I>, appendOptions: StreamAppendOptions = {}) => pipe(appender, source, appendOptions),
    writer: (appendOptions: StreamAppendOptions = {}) => {
      activeRuntime();
      return orderedWriter<I>(name, (data) => append(appender, data, appendOptions));
    },
    read: () => readUnsupported(name),
    list: () => readUnsupported(name),
  });
}

interface Appender {
  name: string;
  schema: PayloadSchema<never, unknown> | PayloadSchema | undefined;
}

async function append({ name, schema }: Appender, data: unknown, options: StreamAppendOptions): Promise<void> {
  activeRuntime();
  const { contentType } = options;
  const parsed = schema === undefined ? data : await parseWithSchema(schema as PayloadSchema, data, `data of output stream "${name}"`);
  const json = jsonText(parsed, { label: `data of output stream "${name}"`, bytesMax: dataBytesMax });
  await boundedCall({ kind: "stream.append", stream: name, json, ...(contentType === undefined ? {} : { contentType }) });
}

async function pipe(appender: Appender, source: Iterable<unknown> | AsyncIterable<unknown>, options: StreamAppendOptions): Promise<void> {
  activeRuntime();
  for await (const data of source) await append(appender, data, options);
}

function readUnsupported(name: string): Promise<never> {
  activeRuntime();
  return Promise.reject(
    new UnsupportedTransportError(
      `Reading output stream "${name}" in a task requires runtime stream read support; read it from outside with a HelmrClient`,
    ),
  );
}
