/** Streams of an open session, from outside (sdk §9.2, §13). */
import type { StreamAppendResult, StreamRecord as WireStreamRecord } from "@helmr/protocol/api";
import { DefinitionError, UnsupportedTransportError } from "../errors.ts";
import { orderedWriter } from "../ordered-writer.ts";
import { streamName } from "../running/stream-name.ts";
import { streamRecord } from "../running/stream-record.ts";
import { members } from "./body-members.ts";
import type { RequestOptions } from "./request-options.ts";
import { type ResolvedSession, sessionUrl } from "./session-address.ts";
import type {
  SessionInputSendOptions,
  SessionInputStreamApi,
  SessionOutputAppendOptions,
  SessionOutputStreamApi,
  SessionStreamListOptions,
  SessionStreamReadOptions,
} from "./session-shapes.ts";
import { sendResult } from "./session-views.ts";
import type { Transport } from "./transport.ts";

export type StreamReference = string | { readonly id: string; readonly direction: "input" | "output" };

/** The name, after the direction of a definition was checked. */
export function streamReferenceName(reference: StreamReference, direction: "input" | "output"): string {
  if (typeof reference === "string") return streamName(reference, `the name of an ${direction} stream`);
  if (reference.direction !== direction) {
    throw new DefinitionError(`Stream "${reference.id}" is an ${reference.direction} stream and is used as an ${direction} stream`);
  }
  return reference.id;
}

interface StreamPlace {
  transport: Transport;
  session: ResolvedSession;
  rest: string;
}

export function inputStreamApi(transport: Transport, session: ResolvedSession, reference: StreamReference): SessionInputStreamApi {
  const name = streamReferenceName(reference, "input");
  const place: StreamPlace = { transport, session, rest: `/inputs/${encodeURIComponent(name)}` };
  const inTaskOnly = (method: string) => (): never => {
    throw new UnsupportedTransportError(
      `${method}() of input stream "${name}" works inside a task only; from outside use send() and list()`,
    );
  };
  return Object.freeze<SessionInputStreamApi>({
    async send(data, options: SessionInputSendOptions = {}) {
      const { correlationId, idempotencyKey, publicAccessToken } = options;
      const body = members({ data, correlation_id: correlationId, idempotency_key: idempotencyKey });
      checkPublicToken(options);
      const request = { method: "POST" as const, ...sessionUrl(session, place.rest), body, options, publicToken: publicAccessToken };
      return sendResult(await transport.json<StreamAppendResult>(request));
    },
    list: (options = {}) => listRecords(place, options),
    wait: inTaskOnly("wait"),
    once: inTaskOnly("once"),
    on: inTaskOnly("on"),
    peek: inTaskOnly("peek"),
  });
}

export function outputStreamApi(transport: Transport, session: ResolvedSession, reference: StreamReference): SessionOutputStreamApi {
  const name = streamReferenceName(reference, "output");
  const place: StreamPlace = { transport, session, rest: `/outputs/${encodeURIComponent(name)}` };
  const append = async (data: unknown, options: SessionOutputAppendOptions = {}) => {
    const { contentType, correlationId, idempotencyKey } = options;
    const body = members({ data, content_type: contentType, correlation_id: correlationId, idempotency_key: idempotencyKey });
    return sendResult(await transport.json<StreamAppendResult>({ method: "POST", ...sessionUrl(session, place.rest), body, options }));
  };
  return Object.freeze<SessionOutputStreamApi>({
    append,
    async pipe(source, options = {}) {
      for await (const data of source) await append(data, options);
    },
    writer: (options = {}) => orderedWriter(name, (data) => append(data, options)),
    read: (options = {}) => readRecord(place, options),
    list: (options = {}) => listRecords(place, options),
  });
}

async function listRecords({ transport, session, rest }: StreamPlace, options: SessionStreamListOptions) {
  const query = [
    ["after_sequence", options.cursor],
    ["limit", options.limit],
    ["correlation_id", options.correlationId],
  ] as const;
  const { records } = await transport.json<{ records: WireStreamRecord[] }>({
    method: "GET",
    ...sessionUrl(session, rest, query),
    options,
  });
  return records.map(streamRecord);
}

async function readRecord({ transport, session, rest }: StreamPlace, options: SessionStreamReadOptions) {
  checkPublicToken(options);
  const query = [
    ["after_sequence", options.cursor],
    ["correlation_id", options.correlationId],
  ] as const;
  const request = {
    method: "GET" as const,
    ...sessionUrl(session, `${rest}/read`, query),
    options,
    publicToken: options.publicAccessToken,
  };
  const { record } = await transport.json<{ record: WireStreamRecord | null }>(request);
  return record === null ? null : streamRecord(record);
}

export function checkPublicToken(options: RequestOptions & { readonly publicAccessToken?: string | undefined }): void {
  if (options.publicAccessToken !== undefined && (options.projectId !== undefined || options.environmentId !== undefined)) {
    throw new DefinitionError(
      "publicAccessToken cannot be combined with projectId and environmentId: the token names its environment itself",
    );
  }
}
