/** A start whose idempotency key another request is using (sdk §10): 202 with code `idempotency_pending` is asked again for a while. */
import { HelmrApiError } from "../errors.ts";
import { pause } from "./sse-follow.ts";
import { type ApiRequest, type Transport, answerError, jsonAnswer } from "./transport.ts";

const pendingMsMax = 10_000;
const retryMsDefault = 250;

export async function sendUntilDecided<T>(transport: Transport, request: ApiRequest): Promise<T> {
  const deadline = Date.now() + pendingMsMax;
  for (;;) {
    const response = await transport.send(request);
    if (!response.ok) throw await answerError(response);
    if (response.status !== 202) return await jsonAnswer<T>(response);
    const body = await response.text();
    const waitMs = retryAfterMs(response.headers.get("retry-after"));
    if (!isPending(body) || Date.now() + waitMs > deadline) throw new HelmrApiError(202, body);
    await pause(waitMs, request.options?.signal);
  }
}

export function isPending(body: string): boolean {
  try {
    return (JSON.parse(body) as { code?: unknown } | null)?.code === "idempotency_pending";
  } catch {
    return false;
  }
}

/** Seconds or an HTTP date. */
export function retryAfterMs(header: string | null): number {
  const text = header?.trim() ?? "";
  if (text === "") return retryMsDefault;
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return ms > 0 ? ms : retryMsDefault;
}
