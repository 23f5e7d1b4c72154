/**
 * Token buckets. One statement refills and takes, so that concurrent callers cannot take the same token; a bucket that is empty is left as it is
 * and the statement touches no row.
 */
import type { Queryable } from "./db.ts";
import { statement } from "./statement.ts";

export interface BucketRule {
  /** Tokens a full bucket holds. */
  burst: number;
  /** Time in which an empty bucket gets full again. */
  refill_ms: number;
}

const burst = "$burst::double precision";
const refilled = (row: string) =>
  `least(${burst}, ${row}.tokens + ${burst} * extract(epoch from now() - ${row}.updated_at) * 1000 / $refill_ms::double precision)`;

const take = statement<{ key: string } & BucketRule>(
  "rate_limit_take",
  `insert into rate_limits as bucket (key, tokens, updated_at) values ($key, ${burst} - 1, now())
   on conflict (key) do update
      set tokens = ${refilled("bucket")} - 1, updated_at = now()
    where ${refilled("bucket")} >= 1`,
);

const missing = statement<{ key: string } & BucketRule, { wait_ms: number }>(
  "rate_limit_wait",
  `select greatest(0, 1 - ${refilled("bucket")}) * $refill_ms::double precision / ${burst} as wait_ms from rate_limits bucket where key = $key`,
);

/** 0: taken. Otherwise the milliseconds until the next token. */
export async function rateLimitTake(on: Queryable, key: string, rule: BucketRule): Promise<number> {
  if ((await on.run(take, { key, ...rule })) > 0) return 0;
  const row = await on.one(missing, { key, ...rule });
  return Math.max(1, Math.ceil(row?.wait_ms ?? 1));
}
