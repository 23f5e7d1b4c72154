/** Outcome → status and body: the one place that maps (house §2). Bugs become a short 500; their cause goes to the log, never to the caller. */
import type { FastifyReply } from "fastify";
import type { errorDefinitions } from "@helmr/protocol/shared";
import type { Refusal } from "../outcome.ts";
import { DatabaseUnavailable } from "../database-unavailable.ts";

export function sendRefusal(reply: FastifyReply, refusal: Refusal): FastifyReply {
  if (refusal.retryAfterSeconds !== undefined) reply.header("retry-after", String(refusal.retryAfterSeconds));
  const body = {
    error: refusal.message,
    ...(refusal.code === undefined ? {} : { code: refusal.code }),
    ...(refusal.errorKind === undefined ? {} : { error_kind: refusal.errorKind }),
  };
  return sendJson(reply, refusal.status, body);
}

/** One JSON value and a newline (http §1.1). Bytes, because the framework adds a charset to texts. */
export function sendJson(reply: FastifyReply, status: number, body: unknown): FastifyReply {
  return reply
    .code(status)
    .type("application/json")
    .send(Buffer.from(`${JSON.stringify(body)}\n`));
}

/** A fault while handling. A lost database is 503: the request may be repeated, and nobody is told that it was our bug. */
export function faultAnswer(error: unknown): { status: number; body: { error: string; code?: string } } {
  if (error instanceof DatabaseUnavailable) {
    return {
      status: 503,
      body: { error: "the database is unavailable", code: "coordination_unavailable" satisfies keyof typeof errorDefinitions },
    };
  }
  return { status: 500, body: { error: "internal error" } };
}
