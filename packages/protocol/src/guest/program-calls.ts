/**
 * What the program asks of the control plane, relayed by the supervisor.
 *
 *   1. guest → host `program.call`    `callId` is unique in an attempt. It is sent again after every `hello` and every resuming `attach`
 *                                     until it is answered, so the host takes a repeat of an id it knows for the same call.
 *   2. host → guest `program.answer`  exactly one is used per call; a later one for the same id is ignored.
 *
 * A `wait` is answered when its condition is decided, with a WaitOutcome (worker/runs.ts); nothing is said in between. `metadata` and
 * `wait.cancel` need no answer from the control plane, but one from the host as soon as they are in its spool. Stream `logger` (bytes) holds
 * one line of JSON per entry: `{"level","message","fields"?,"at"}` with `at` in RFC 3339, at most `loggerLineBytesMax` bytes.
 */
import * as z from "zod";
import { callJsonCharactersMax } from "./bounds.ts";
import { text } from "./handshake.ts";

const callId = z.number().int().nonnegative();
const json = z.string().max(callJsonCharactersMax);
const sequence = z.number().int().nonnegative();
const waitMetadata = z.record(z.string(), z.unknown());
const tags = z.array(text(128)).max(32);

export const waitCondition = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("token"), tokenId: text(64) }),
  z.object({
    kind: z.literal("stream"),
    stream: text(256),
    afterSequence: sequence.optional(),
    correlationId: text(512).optional(),
  }),
  z.object({ kind: z.literal("timer"), delayMs: z.number().int().nonnegative() }),
]);

export const programCallBody = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("wait"),
    on: waitCondition,
    /** false: once() and on(), which read live and never park. */
    parkable: z.boolean(),
    timeoutSeconds: z.number().int().positive().optional(),
    idleTimeoutSeconds: z.number().int().positive().optional(),
    metadata: waitMetadata.optional(),
    tags: tags.optional(),
  }),
  z.object({
    kind: z.literal("stream.peek"),
    stream: text(256),
    afterSequence: sequence.optional(),
    correlationId: text(512).optional(),
  }),
  z.object({
    kind: z.literal("stream.append"),
    stream: text(256),
    json,
    contentType: text(256).optional(),
  }),
  z.object({
    kind: z.literal("token.create"),
    timeoutMs: z.number().int().positive().optional(),
    tags: tags.optional(),
    metadata: waitMetadata.optional(),
    idempotencyKey: text(512).optional(),
  }),
  z.object({
    kind: z.literal("metadata"),
    operation: z.discriminatedUnion("op", [
      z.object({ op: z.literal("set"), key: text(1024), json }),
      z.object({ op: z.literal("patch"), json }),
      z.object({ op: z.literal("increment"), key: text(1024), amount: z.number() }),
    ]),
  }),
  /** The program gave up a wait (its promise lost a race): the condition is cancelled, the wait's own answer still comes. */
  z.object({ kind: z.literal("wait.cancel"), waitCallId: callId }),
]);
export type ProgramCallBody = z.output<typeof programCallBody>;

export const programCall = z.object({
  type: z.literal("program.call"),
  attemptId: text(64),
  callId,
  call: programCallBody,
});
export type ProgramCallMessage = z.output<typeof programCall>;

/** `code` of a refusal is an ErrorCode of the public API or `refused`. */
export const programAnswer = z.object({
  type: z.literal("program.answer"),
  callId,
  outcome: z.union([
    z.object({ ok: z.literal(true), value: z.unknown() }),
    z.object({ ok: z.literal(false), code: text(64), message: text(65_536) }),
  ]),
});
export type ProgramAnswer = z.output<typeof programAnswer>;
