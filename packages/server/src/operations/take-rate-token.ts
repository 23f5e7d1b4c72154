/**
 * Rate limits of unauthenticated routes (engine §7). The bucket's key is a hash of rule and subject, so the table holds no addresses. A caller over
 * the limit hears 503 with Retry-After: 429 is not among the statuses of http §1.2, and clients repeat a 503 anyway.
 */
import { createHash } from "node:crypto";
import { isIPv6 } from "node:net";
import { type Refusal, refusal } from "../outcome.ts";
import type { Queryable } from "../store/db.ts";
import { rateLimitTake } from "../store/rate-limit.ts";

export interface RateRule {
  name: string;
  burst: number;
  refillMs: number;
}

const minute = 60_000;

export const rateRules = {
  /** Starts of logins by mail or GitHub, per address block. */
  loginStart: { name: "login_start", burst: 300, refillMs: 15 * minute },
  /** Exchanges of tokens and codes for a session, per address block. */
  loginFinish: { name: "login_finish", burst: 300, refillMs: 15 * minute },
  deviceStart: { name: "device_start", burst: 120, refillMs: 10 * minute },
  /** A device polls every five seconds; one block may hold a few dozen of them. */
  devicePoll: { name: "device_poll", burst: 600, refillMs: minute },
  /** Cheap reads such as the ways to log in. */
  openRead: { name: "open_read", burst: 600, refillMs: minute },
  logout: { name: "logout", burst: 300, refillMs: minute },
  /** Guesses of the setup token, per user. */
  setupToken: { name: "setup_token", burst: 20, refillMs: 15 * minute },
  /** Look-ups of user codes by somebody who is signed in, per user. */
  userCode: { name: "user_code", burst: 120, refillMs: 10 * minute },
  /** Public /api/v1 routes, per address block. */
  publicToken: { name: "public_token", burst: 3_000, refillMs: minute },
} as const satisfies Record<string, RateRule>;

/** `undefined`: go on. */
export async function takeRateToken(db: Queryable, rule: RateRule, subject: string): Promise<Refusal | undefined> {
  const key = createHash("sha256").update(`${rule.name}\0${subject}`).digest("base64url");
  const waitMs = await rateLimitTake(db, key, { burst: rule.burst, refill_ms: rule.refillMs });
  if (waitMs === 0) return undefined;
  const seconds = Math.ceil(waitMs / 1_000);
  return { ...refusal(503, `too many requests; repeat this one in ${seconds} s`), retryAfterSeconds: seconds };
}

/** One subscriber: an IPv4 address, or the first 64 bits of an IPv6 address, of which anybody has 2^64. */
export function addressBlock(address: string): string {
  const plain = address.replace(/%.*$/, "").toLowerCase();
  if (!isIPv6(plain)) return plain;
  const groups = ipv6Groups(plain);
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (mapped) return [groups[6] ?? 0, groups[7] ?? 0].flatMap((group) => [group >> 8, group & 0xff]).join(".");
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":")}::/64`;
}

/** Eight numbers of a valid IPv6 text. */
function ipv6Groups(text: string): number[] {
  const [head = "", tail] = withoutDottedTail(text).split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  const first = groups(head);
  const last = tail === undefined ? [] : groups(tail);
  return [...first, ...Array.from({ length: Math.max(0, 8 - first.length - last.length) }, () => 0), ...last];
}

/** `::ffff:192.0.2.1` as `::ffff:c000:201`. */
function withoutDottedTail(text: string): string {
  const at = text.lastIndexOf(":") + 1;
  const parts = text.slice(at).split(".").map(Number);
  if (parts.length !== 4) return text;
  const [a = 0, b = 0, c = 0, d = 0] = parts;
  return `${text.slice(0, at)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}
