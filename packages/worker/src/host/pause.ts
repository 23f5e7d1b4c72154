/** Waits, or less when the signal is aborted; never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true || ms <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal?.addEventListener("abort", finish, { once: true });
  });
}

/** Full jitter: any pause from nothing to the exponential bound, so that many workers do not come back together. */
export function jitter(attempt: number, limits: { firstMs: number; maxMs: number }): number {
  return Math.random() * Math.min(limits.maxMs, limits.firstMs * 2 ** Math.min(attempt, 20));
}
