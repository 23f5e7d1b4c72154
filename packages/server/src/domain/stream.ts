/**
 * Streams of a session: numbered records of one name and direction (http §5). Sequences begin at 1 and have no gaps; a record never changes. A stream
 * exists as soon as the session's deployment declares it, used or not, so its id is computed from what it is; its row is made with the first record.
 */
import { createHash } from "node:crypto";
import { mustExpire, type SessionFacts } from "./session.ts";

export type StreamDirection = "input" | "output";

export interface StreamName {
  sessionId: string;
  direction: StreamDirection;
  name: string;
}

/** UUIDv7 form: the time of its session, the rest from a hash. */
export function streamId({ sessionId, direction, name }: StreamName): string {
  const bytes = createHash("sha256").update(`${sessionId}\0${direction}\0${name}`).digest();
  const time = sessionId.replaceAll("-", "").slice(0, 12);
  const hex = bytes.toString("hex");
  const variant = ((Number.parseInt(hex[3] as string, 16) & 0x3) | 0x8).toString(16);
  return [time.slice(0, 8), time.slice(8), `7${hex.slice(0, 3)}`, variant + hex.slice(4, 7), hex.slice(7, 19)].join("-");
}

/** Which records a reader wants: the first that fits is the one it gets. */
export interface RecordFilter {
  afterSequence: number;
  /** null: any. */
  correlationId: string | null;
}

export function fits(filter: RecordFilter, record: { sequence: number; correlationId: string | null }): boolean {
  return record.sequence > filter.afterSequence && (filter.correlationId === null || filter.correlationId === record.correlationId);
}

export type InputDecision = "append" | "terminal" | "expired" | "expire";

/** Whether a session takes input now. `expire`: it is due, and this access ends it. */
export function decideInput(session: SessionFacts): InputDecision {
  if (session.state === "expired") return "expired";
  if (session.state !== "open") return "terminal";
  if (!session.pastExpiry) return "append";
  return mustExpire(session) ? "expire" : "expired";
}
