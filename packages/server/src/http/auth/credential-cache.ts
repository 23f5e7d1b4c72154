/**
 * Remembers for a moment who a credential belongs to, so that a busy key costs one look-up per second and process and not one per request.
 *
 * - Only what was found is kept; refused credentials cost their sender the look-up each time.
 * - `clear()` (a credential, role or membership ended) forgets everything, and whatever was being looked up at that moment is not kept: it may
 *   have been read before the change.
 * - An entry that outlives a lost hint is gone after `ttlMs` anyway.
 * - Requests that come while a look-up is on its way share it.
 */
export interface CredentialCache<T> {
  get(credential: string, find: () => Promise<T | undefined>): Promise<T | undefined>;
  clear(): void;
}

export interface CredentialCacheOptions {
  ttlMs: number;
  entriesMax: number;
  /** A monotonic clock. */
  now?: () => number;
}

export function createCredentialCache<T>(options: CredentialCacheOptions): CredentialCache<T> {
  const now = options.now ?? (() => performance.now());
  const entries = new Map<string, { value: T; until: number }>();
  const pending = new Map<string, Promise<T | undefined>>();

  async function look(credential: string, find: () => Promise<T | undefined>): Promise<T | undefined> {
    const search = find();
    pending.set(credential, search);
    try {
      const value = await search;
      // Not ours any more: the cache was cleared while we were looking.
      if (value !== undefined && pending.get(credential) === search) keep(credential, value);
      return value;
    } finally {
      if (pending.get(credential) === search) pending.delete(credential);
    }
  }

  function keep(credential: string, value: T): void {
    entries.delete(credential);
    if (entries.size >= options.entriesMax) {
      const [oldest] = entries.keys();
      if (oldest !== undefined) entries.delete(oldest);
    }
    entries.set(credential, { value, until: now() + options.ttlMs });
  }

  return {
    async get(credential, find) {
      const entry = entries.get(credential);
      if (entry && entry.until > now()) return entry.value;
      return pending.get(credential) ?? look(credential, find);
    },
    clear() {
      entries.clear();
      pending.clear();
    },
  };
}
