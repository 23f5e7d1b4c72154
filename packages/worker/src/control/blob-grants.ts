/**
 * The blob port over short-lived grants (protocol/worker/blobs.ts). Grants are asked for together: what is wanted in the same turn of the
 * event loop goes in one call. Reads and writes are repeated with jitter until the lease ends; a grant that has run out or is refused is
 * asked for again once per attempt. Objects are written once, so a repeated PUT of the same bytes is the same PUT.
 */
import { createReadStream } from "node:fs";
import type { Grant } from "@helmr/protocol/worker";
import { type BlobBody, BlobError, type BlobPort } from "../chunks/blob-port.ts";
import type { ByteRange } from "../disks/byte-ranges.ts";
import { jitter, pause } from "../host/pause.ts";
import type { WorkerClient } from "./client.ts";
import { type Answer, type Exchange, ExchangeFailed } from "./http-exchange.ts";

export interface GrantHolder {
  leaseId: string;
  fence: number;
  /** When to give up, on the clock of `performance.now()`. */
  deadline: () => number;
}

const limits = {
  attemptMs: 60_000,
  firstPauseMs: 100,
  pauseMaxMs: 5_000,
  objectBytesMax: 256 * 1024 * 1024,
  /** A grant is not used in its last moments. */
  marginMs: 2_000,
  perCall: 500,
} as const;

interface Wanted {
  method: "GET" | "PUT";
  key: string;
  sizeBytes: number;
  resolve: (grant: Grant) => void;
  reject: (error: Error) => void;
}

export class GrantedBlobs implements BlobPort {
  private readonly client: WorkerClient;
  private readonly holder: GrantHolder;
  private readonly grants = new Map<string, { grant: Grant; until: number }>();
  private wanted: Wanted[] = [];

  constructor(client: WorkerClient, holder: GrantHolder) {
    this.client = client;
    this.holder = holder;
  }

  async get(objectKey: string, options: { range?: ByteRange; signal: AbortSignal }): Promise<Uint8Array> {
    const { range, signal } = options;
    const headers: Record<string, string> = range === undefined ? {} : { range: `bytes=${range.start}-${range.end - 1}` };
    const answer = await this.untilDone({ method: "GET", key: objectKey, sizeBytes: 0 }, { headers }, signal);
    if (range === undefined || answer.status === 206) return answer.body;
    // A store that ignores ranges gave everything.
    return answer.body.subarray(range.start, range.end);
  }

  async put(objectKey: string, body: BlobBody, options: { signal: AbortSignal }): Promise<void> {
    const inMemory = body instanceof Uint8Array;
    const sizeBytes = inMemory ? body.length : body.sizeBytes;
    const content = inMemory ? body : () => createReadStream(body.path);
    const headers = { "content-length": String(sizeBytes), "content-type": "application/octet-stream" };
    await this.untilDone({ method: "PUT", key: objectKey, sizeBytes }, { headers, body: content }, options.signal);
  }

  private async untilDone(
    wanted: Pick<Wanted, "method" | "key" | "sizeBytes">,
    part: Pick<Exchange, "headers" | "body">,
    signal: AbortSignal,
  ): Promise<Answer> {
    let last = "no attempt was made";
    for (let count = 0; ; count += 1) {
      signal.throwIfAborted();
      const left = this.holder.deadline() - performance.now();
      if (left <= 0) throw new BlobError("blob_unavailable", `Cannot ${wanted.method} ${wanted.key} before the lease ends: ${last}`);
      const grant = await this.grantFor(wanted, signal);
      const answer = await this.attempt(grant, part, { signal, timeoutMs: Math.min(left, limits.attemptMs) });
      if (typeof answer !== "string") {
        if (answer.status >= 200 && answer.status < 300) return answer;
        const refusal = finalRefusal(wanted, answer);
        if (refusal !== undefined) throw refusal;
        last = `status ${answer.status}`;
        this.grants.delete(grantName(wanted));
      } else last = answer;
      await pause(jitter(count, { firstMs: limits.firstPauseMs, maxMs: limits.pauseMaxMs }), signal);
    }
  }

  private async attempt(
    grant: Grant,
    part: Pick<Exchange, "headers" | "body">,
    bound: { signal: AbortSignal; timeoutMs: number },
  ): Promise<Answer | string> {
    try {
      return await this.client.exchanges.send({
        method: grant.method,
        url: new URL(grant.url),
        headers: { ...part.headers, ...grant.headers },
        body: part.body,
        ...bound,
        answerBytesMax: limits.objectBytesMax,
      });
    } catch (error) {
      bound.signal.throwIfAborted();
      if (error instanceof ExchangeFailed) return error.message;
      throw error;
    }
  }

  private grantFor(wanted: Pick<Wanted, "method" | "key" | "sizeBytes">, signal: AbortSignal): Promise<Grant> {
    const known = this.grants.get(grantName(wanted));
    if (known !== undefined && known.until > performance.now()) return Promise.resolve(known.grant);
    return new Promise((resolve, reject) => {
      this.wanted.push({ ...wanted, resolve, reject });
      if (this.wanted.length === 1) setImmediate(() => void this.ask(signal));
    });
  }

  /** One call for everything that is wanted by now. Never rejects: its failure is told to each who wants. */
  private async ask(signal: AbortSignal): Promise<void> {
    const batch = this.wanted;
    this.wanted = [];
    for (let at = 0; at < batch.length; at += limits.perCall) {
      const part = batch.slice(at, at + limits.perCall);
      const failure = await this.askFor(part, signal).catch((error: unknown) => error as Error);
      if (failure !== undefined) for (const one of part) one.reject(failure);
    }
  }

  private async askFor(batch: Wanted[], signal: AbortSignal): Promise<Error | undefined> {
    const askedAt = performance.now();
    const of = (method: string) => [...new Map(batch.filter((one) => one.method === method).map((one) => [one.key, one])).values()];
    const result = await this.client.call(
      "grants",
      {
        lease_id: this.holder.leaseId,
        fence: this.holder.fence,
        gets: of("GET").map((one) => one.key),
        puts: of("PUT").map((one) => ({ object_key: one.key, size_bytes: one.sizeBytes })),
      },
      // The signal is that of whoever asked first; the others ask again when it was aborted.
      { deadline: this.holder.deadline, signal },
    );
    if (result.kind === "stale") return new BlobError("lease_stale", "The lease is not held any more");
    if (result.kind === "lost") return new BlobError("blob_unavailable", `No grant: ${result.message}`);
    if (result.kind !== "ok") return new BlobError("blob_refused", `Grant was refused: ${JSON.stringify(result)}`);
    for (const grant of result.value.grants) {
      this.grants.set(grantName({ method: grant.method, key: grant.object_key }), {
        grant,
        until: askedAt + grant.ttl_ms - limits.marginMs,
      });
    }
    for (const one of batch) {
      const found = this.grants.get(grantName(one));
      if (found === undefined) one.reject(new BlobError("blob_refused", `No grant was given for ${one.key}`));
      else one.resolve(found.grant);
    }
    return undefined;
  }
}

function grantName(wanted: { method: string; key: string }): string {
  return `${wanted.method} ${wanted.key}`;
}

/** Undefined: worth another attempt with a fresh grant. */
function finalRefusal(wanted: { method: string; key: string }, answer: Answer): BlobError | undefined {
  const { status } = answer;
  if (status === 404) return new BlobError("blob_missing", `The store has no object ${wanted.key}`);
  const again = status >= 500 || [401, 403, 408, 410, 425, 429].includes(status);
  if (again) return undefined;
  const text = answer.body.subarray(0, 500).toString("utf8");
  return new BlobError("blob_refused", `${wanted.method} of ${wanted.key} was refused with status ${status}: ${text}`);
}
