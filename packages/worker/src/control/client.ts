/**
 * The worker API as functions. Nothing else in the worker talks to the control plane.
 *
 * Every call is repeated with full jitter until it is answered or its deadline, which for the holder of a lease is the lease's own and moves
 * with each renewal (engine §2). A lost answer, a restarting server and a database failover look the same: they are retried, and the receiver
 * takes an identical repeat for the same call. What the server decided comes back as a value:
 *
 *   ok        the validated answer
 *   stale     409 stale_lease: stop what the lease covers and say nothing more about it
 *   gap       409 report_gap with the item that is expected next
 *   refused   another 4xx: repeating it would change nothing
 *   lost      no answer before the deadline, or the caller gave up
 */
import type { IncomingMessage } from "node:http";
import { reportGapResponse, type WorkerBody, type WorkerResponse, type WorkerRoute, workerRoutes } from "@helmr/protocol/worker";
import { jitter, pause } from "../host/pause.ts";
import { type Answer, type Exchange, ExchangeFailed, HttpExchanges } from "./http-exchange.ts";

export type CallResult<T> =
  | { kind: "ok"; value: T }
  | { kind: "stale" }
  | { kind: "gap"; expected: number }
  | { kind: "refused"; status: number; code: string; message: string }
  | { kind: "lost"; message: string };

export interface CallOptions {
  /** `{id}` of the path. */
  id?: string;
  /** When to give up, on the clock of `performance.now()`; asked before every attempt. */
  deadline: () => number;
  signal?: AbortSignal;
  /** Time for one attempt; more for long polls. */
  attemptMs?: number;
}

export interface ClientLimits {
  attemptMs: number;
  firstPauseMs: number;
  pauseMaxMs: number;
  answerBytesMax: number;
}

export const clientLimits: ClientLimits = {
  attemptMs: 15_000,
  firstPauseMs: 100,
  pauseMaxMs: 5_000,
  // A lease carries the payload of its run: an API body (128 MiB) with room for the rest.
  answerBytesMax: 160 * 1024 * 1024,
};

export interface UnansweredCall {
  path: string;
  attempts: number;
  reason: string;
}

export interface WorkerClientOptions {
  url: string;
  credential: string;
  limits?: Partial<ClientLimits>;
  /** A call goes on without an answer: told at its third attempt and at every tenth. */
  onUnanswered?: (call: UnansweredCall) => void;
}

export class WorkerClient {
  readonly exchanges = new HttpExchanges();
  private readonly baseUrl: string;
  private readonly limits: ClientLimits;
  private readonly onUnanswered: (call: UnansweredCall) => void;
  private credential: string;

  constructor(options: WorkerClientOptions) {
    this.baseUrl = `${options.url.replace(/\/+$/, "")}/api/worker`;
    this.credential = options.credential;
    this.limits = { ...clientLimits, ...options.limits };
    this.onUnanswered = options.onUnanswered ?? (() => {});
  }

  close(): void {
    this.exchanges.close();
  }

  /** Where the channel is, and what opens it. */
  channel(path: string): { url: string; headers: Record<string, string> } {
    return { url: `${this.baseUrl}${path}`.replace(/^http/, "ws"), headers: this.authorization() };
  }

  async call<K extends WorkerRoute>(route: K, body: WorkerBody<K>, options: CallOptions): Promise<CallResult<WorkerResponse<K>>> {
    const { path, response } = workerRoutes[route];
    const text = JSON.stringify(body);
    const exchange: Exchange = {
      method: "POST",
      url: new URL(this.baseUrl + path.replace("{id}", encodeURIComponent(options.id ?? ""))),
      headers: { ...this.authorization(), "content-type": "application/json", "content-length": String(Buffer.byteLength(text)) },
      body: text,
      timeoutMs: 0,
      signal: options.signal,
      answerBytesMax: this.limits.answerBytesMax,
    };
    return this.untilAnswered(path, options, async (timeoutMs) => {
      const answer = await this.exchanges.send({ ...exchange, timeoutMs });
      const said = verdict(answer);
      if (said !== "ok") return said;
      const parsed = response.safeParse(parseJson(answer.body));
      if (!parsed.success) return { retry: `Answer to ${route} is not what the protocol says: ${parsed.error.message.slice(0, 500)}` };
      return { kind: "ok", value: parsed.data as WorkerResponse<K> };
    });
  }

  /** GET of raw bytes, as a stream. The caller reads or destroys it. */
  async stream(pathAndQuery: string, options: CallOptions): Promise<CallResult<IncomingMessage>> {
    const exchange: Exchange = {
      method: "GET",
      url: new URL(this.baseUrl + pathAndQuery),
      headers: this.authorization(),
      timeoutMs: 0,
      signal: options.signal,
      answerBytesMax: this.limits.answerBytesMax,
    };
    return this.untilAnswered(pathAndQuery.replace(/\?.*/, ""), options, async (timeoutMs) => {
      const message = await this.exchanges.open({ ...exchange, timeoutMs });
      const { statusCode: status = 0, headers } = message;
      if (status === 200) return { kind: "ok", value: message };
      const parts: Buffer[] = [];
      for await (const part of message as AsyncIterable<Buffer>) parts.push(part);
      const said = verdict({ status, headers, body: Buffer.concat(parts) });
      return said === "ok" ? { retry: `Status ${status} has no bytes` } : said;
    });
  }

  private authorization(): Record<string, string> {
    return { authorization: `Bearer ${this.credential}` };
  }

  private async untilAnswered<T>(
    path: string,
    options: CallOptions,
    attempt: (timeoutMs: number) => Promise<CallResult<T> | { retry: string; afterMs?: number }>,
  ): Promise<CallResult<T>> {
    let last = "no attempt was made";
    for (let count = 0; ; count += 1) {
      const left = options.deadline() - performance.now();
      if (options.signal?.aborted === true) return { kind: "lost", message: `Given up by the caller; ${last}` };
      if (left <= 0) return { kind: "lost", message: last };
      const outcome = await attemptOnce(attempt, Math.min(options.attemptMs ?? this.limits.attemptMs, left));
      if ("kind" in outcome) return outcome;
      last = outcome.retry;
      if (count === 2 || count % 10 === 9) this.onUnanswered({ path, attempts: count + 1, reason: last });
      // The first repeat comes nearly at once: a kept-alive connection that the server had closed is the usual reason.
      const wait = outcome.afterMs ?? jitter(count, { firstMs: this.limits.firstPauseMs, maxMs: this.limits.pauseMaxMs });
      await pause(Math.min(wait, Math.max(0, options.deadline() - performance.now())), options.signal);
    }
  }
}

async function attemptOnce<T>(
  attempt: (timeoutMs: number) => Promise<CallResult<T> | { retry: string; afterMs?: number }>,
  timeoutMs: number,
): Promise<CallResult<T> | { retry: string; afterMs?: number }> {
  try {
    return await attempt(timeoutMs);
  } catch (error) {
    if (error instanceof ExchangeFailed) return { retry: error.message };
    if ((error as Error).name === "AbortError") return { retry: "the caller gave up" };
    throw error;
  }
}

type Verdict = Exclude<CallResult<never>, { kind: "ok" } | { kind: "lost" }> | { retry: string; afterMs?: number } | "ok";

function verdict(answer: Answer): Verdict {
  const { status } = answer;
  if (status >= 200 && status < 300) return "ok";
  const body = parseJson(answer.body) as { error?: unknown; code?: unknown } | undefined;
  const message = typeof body?.error === "string" ? body.error : `HTTP status ${status}`;
  if (status >= 500 || status === 408 || status === 425 || status === 429) {
    const seconds = Number(answer.headers["retry-after"]);
    return { retry: message, ...(seconds > 0 && seconds <= 60 ? { afterMs: seconds * 1000 } : {}) };
  }
  if (status === 409 && body?.code === "stale_lease") return { kind: "stale" };
  const gap = status === 409 ? reportGapResponse.safeParse(body) : undefined;
  if (gap?.success === true) return { kind: "gap", expected: gap.data.expected };
  return { kind: "refused", status, code: typeof body?.code === "string" ? body.code : "", message };
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}
