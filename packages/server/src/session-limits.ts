/** Bounds of streams, waits, tokens and schedules. Times in milliseconds; what both sides of a wire must agree on is in protocol/shared/limits.ts. */
const second = 1_000;
const day = 86_400 * second;
const MiB = 1024 * 1024;

export const sessionLimits = {
  /** Longest sleep of the loops of waits, tokens and schedules. What is due sooner than that sends a hint when it is stored. */
  loopPeriodMs: 30 * second,
  /** Of one run; a program has one at a time, what a hostile one can hold is bounded. */
  openWaitsMax: 32,
  /** Waits on one token that its completion resolves before it is answered; the others follow at once, by the loop that wakes waits. */
  resolveInlineMax: 32,
  /** Rows that such a loop takes side by side. */
  wakeConcurrency: 4,
  /** Of the outcomes of one attempt that are pushed, the latest: a program waits for one thing at a time. */
  pushedOutcomesMax: 16,
  /** How long an outcome is pushed; a worker that missed it asks with its next renewal. */
  pushOutcomeMs: 15 * second,
  /** A payload above this is named in the timeline, not repeated there. */
  eventPayloadBytesMax: 1 * MiB,
  /** One page of stream records holds at most so many bytes of data, but always one record. */
  recordPageBytesMax: 64 * MiB,
  schedulesListMax: 200,
  /** Fires of many schedules at one instant are spread over this. */
  scheduleJitterMsMax: 2 * second,
  /** An occurrence that is being fired elsewhere is looked at again after this. */
  scheduleBusyRetryMs: 1 * second,
  /** How long a public access token lives when nothing is said (http §5.3), and how long an expired one is remembered as such. */
  publicAccessTokenTtlMs: 30 * day,
  publicAccessTokenRememberMs: 30 * day,
  /** A public completion token outlives the timeout of its token by so much (http §6). */
  publicCompletionTtlMs: 30 * day,
} as const;

/** How long the key of a fire is kept (http §8). */
export const fireKeyTtl = "30d";
