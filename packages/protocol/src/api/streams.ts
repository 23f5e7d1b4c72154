/** Session streams (http §5.1, §5.2) and the public routes of a public access token (§5.3). */
import * as z from "zod";
import { cursorQuery, filledText, idempotencyKey, jsonValue, limitQuery, limits, plainText, textFilter } from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { exampleId, exampleTime, id, json, jsonMembers, timestamp } from "./fields.ts";
import { sessionParams } from "./sessions.ts";

export const streamDirections = ["input", "output"] as const;
export type StreamDirection = (typeof streamDirections)[number];

export const streamView = z
  .object({
    id,
    session_id: id,
    name: z.string(),
    direction: z.enum(streamDirections),
    sequence: z.int().min(0).meta({ description: "the last sequence, 0 when the stream is empty" }),
    metadata: jsonMembers.optional(),
    created_at: timestamp,
  })
  .meta({ id: "Stream" });
export type Stream = z.output<typeof streamView>;

export const streamRecordView = z
  .object({
    id,
    stream_id: id,
    sequence: z.int().min(1),
    data: json,
    correlation_id: z.string().optional(),
    content_type: z.string(),
    created_at: timestamp,
  })
  .meta({ id: "StreamRecord" });
export type StreamRecord = z.output<typeof streamRecordView>;

const exampleRecord: StreamRecord = {
  id: exampleId.record,
  stream_id: exampleId.stream,
  sequence: 1,
  data: { approved: true },
  correlation_id: "order-4711",
  content_type: "application/json",
  created_at: exampleTime,
};

export const streamAppendView = z
  .object({
    record: streamRecordView,
    idempotency_status: z.enum(["created", "duplicate"]),
    continuation_status: z.enum(["accepted_run_pending", "created", "duplicate"]).optional(),
  })
  .meta({ id: "StreamAppendResult" });
export type StreamAppendResult = z.output<typeof streamAppendView>;

export const streamReadView = z.object({ record: streamRecordView.nullable() }).meta({ id: "StreamReadResult" });
export type StreamReadResult = z.output<typeof streamReadView>;

export const defaultContentType = "application/json";

/** An empty correlation id counts as absent, as in queries. */
const correlationId = () => plainText().transform((text) => (text === "" ? undefined : text));

export const streamAppendBody = z.strictObject({
  data: jsonValue().default(null),
  content_type: filledText(limits.keyBytesMax).default(defaultContentType),
  correlation_id: correlationId().optional(),
  idempotency_key: idempotencyKey().optional(),
});
export type StreamAppendBody = z.output<typeof streamAppendBody>;
export type StreamAppendInput = z.input<typeof streamAppendBody>;

/** `after_sequence` and `cursor` mean the same; giving both with different values is refused. */
const after = { after_sequence: cursorQuery("after_sequence"), cursor: cursorQuery(), correlation_id: textFilter() };

function withAfter<T extends { after_sequence?: number; cursor?: number }>({ after_sequence, cursor, ...rest }: T) {
  return { ...rest, after: after_sequence ?? cursor ?? 0 };
}

const agree = (query: { after_sequence?: number; cursor?: number }) =>
  query.after_sequence === undefined || query.cursor === undefined || query.after_sequence === query.cursor;
const agreeText = "after_sequence and cursor mean the same and must be equal when both are given";

export const streamListQuery = z
  .object({ ...after, limit: limitQuery(500, 100) })
  .refine(agree, agreeText)
  .transform(withAfter);
export const streamReadQuery = z.object(after).refine(agree, agreeText).transform(withAfter);

/** The name is not checked here: a name that cannot exist is 404 `stream_not_found` like any other unknown one. */
export const streamParams = sessionParams.extend({ stream: plainText() });

const appendErrors = ["stream_not_found", "stream_direction_mismatch", "idempotency_fingerprint_mismatch"] as const;
const exampleAppend = { data: { approved: true }, correlation_id: "order-4711", idempotency_key: "approval-1" };
const exampleAppended = { record: exampleRecord, idempotency_status: "created" } as const;

export const streamEndpoints = {
  list: endpoint({
    id: "streams.list",
    method: "GET",
    path: "/sessions/{id}/streams",
    family: "environment",
    permission: "session.streams.read",
    summary: "List the streams that the session's deployment declares",
    params: sessionParams,
    response: z.object({ streams: z.array(streamView) }),
    statuses: [200],
    byExternalId: true,
    example: {
      response: {
        streams: [
          {
            id: exampleId.stream,
            session_id: exampleId.session,
            name: "approvals",
            direction: "input",
            sequence: 1,
            created_at: exampleTime,
          },
        ],
      },
    },
  }),
  appendInput: endpoint({
    id: "streams.appendInput",
    method: "POST",
    path: "/sessions/{id}/inputs/{stream}",
    family: "environment",
    permission: "session.input.send",
    summary: "Append a record to an input stream",
    params: streamParams,
    body: streamAppendBody,
    response: streamAppendView,
    statuses: [201],
    errors: [...appendErrors, "session_terminal", "session_expired"],
    byExternalId: true,
    example: { body: exampleAppend, response: { ...exampleAppended, continuation_status: "created" } },
  }),
  listInput: endpoint({
    id: "streams.listInput",
    method: "GET",
    path: "/sessions/{id}/inputs/{stream}",
    family: "environment",
    permission: "session.streams.read",
    summary: "List the records of an input stream",
    params: streamParams,
    query: streamListQuery,
    response: z.object({ records: z.array(streamRecordView) }),
    statuses: [200],
    errors: ["stream_not_found"],
    byExternalId: true,
    example: { response: { records: [exampleRecord] } },
  }),
  appendOutput: endpoint({
    id: "streams.appendOutput",
    method: "POST",
    path: "/sessions/{id}/outputs/{stream}",
    family: "environment",
    permission: "session.output.append",
    summary: "Append a record to an output stream",
    params: streamParams,
    body: streamAppendBody,
    response: streamAppendView,
    statuses: [201],
    errors: appendErrors,
    byExternalId: true,
    example: { body: exampleAppend, response: exampleAppended },
  }),
  listOutput: endpoint({
    id: "streams.listOutput",
    method: "GET",
    path: "/sessions/{id}/outputs/{stream}",
    family: "environment",
    permission: "session.streams.read",
    summary: "List the records of an output stream",
    params: streamParams,
    query: streamListQuery,
    response: z.object({ records: z.array(streamRecordView) }),
    statuses: [200],
    errors: ["stream_not_found"],
    byExternalId: true,
    example: { response: { records: [exampleRecord] } },
  }),
  readOutput: endpoint({
    id: "streams.readOutput",
    method: "GET",
    path: "/sessions/{id}/outputs/{stream}/read",
    family: "environment",
    permission: "session.streams.read",
    summary: "Read the first output record after a sequence, without waiting",
    params: streamParams,
    query: streamReadQuery,
    response: streamReadView,
    statuses: [200],
    errors: ["stream_not_found"],
    byExternalId: true,
    example: { response: { record: exampleRecord } },
  }),
  publicAppendInput: endpoint({
    id: "streams.publicAppendInput",
    method: "POST",
    path: "/v1/sessions/{id}/inputs/{stream}",
    family: "public",
    permission: "none",
    credential: "stream_token",
    summary: "Append an input record with a public access token",
    params: streamParams,
    body: streamAppendBody,
    response: streamAppendView,
    statuses: [201],
    errors: [...appendErrors, "session_terminal", "session_expired", "token_scope_denied", "token_expired"],
    byExternalId: true,
    example: { body: exampleAppend, response: { ...exampleAppended, continuation_status: "created" } },
  }),
  publicReadOutput: endpoint({
    id: "streams.publicReadOutput",
    method: "GET",
    path: "/v1/sessions/{id}/outputs/{stream}/read",
    family: "public",
    permission: "none",
    credential: "stream_token",
    summary: "Read an output record with a public access token",
    params: streamParams,
    query: streamReadQuery,
    response: streamReadView,
    statuses: [200],
    errors: ["stream_not_found", "token_scope_denied", "token_expired"],
    byExternalId: true,
    example: { response: { record: null } },
  }),
};
