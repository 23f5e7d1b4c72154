/**
 * Mails leave after the answer to whoever caused them: a slow mail server must not slow a login, and the time of an answer must not tell whether
 * an address is known. The outbox holds a bounded number of mails in memory, sends a few at once and tries each a few times. A crash loses what is
 * in it; whoever waits for a mail asks again.
 */
export interface Mail {
  to: string;
  subject: string;
  text: string;
}

/** Where mails go: `log.ts` or `smtp.ts`. */
export interface MailTransport {
  send(mail: Mail): Promise<void>;
  close(): Promise<void>;
}

export type MailEvent =
  | { kind: "sent"; subject: string; attempts: number }
  | { kind: "failed"; subject: string; attempts: number; error: unknown }
  | { kind: "dropped"; subject: string };

export interface Outbox {
  add(mail: Mail): void;
  /** Resolves when nothing is on its way. */
  idle(): Promise<void>;
  /** Waits for what is on its way, at most so long; what is left then is lost. */
  close(timeoutMs: number): Promise<void>;
}

export interface OutboxOptions {
  transport: MailTransport;
  report: (event: MailEvent) => void;
  waitingMax?: number;
  attemptsMax?: number;
  retryMs?: number;
}

const concurrency = 4;

export function openOutbox(options: OutboxOptions): Outbox {
  const { transport, report } = options;
  const waitingMax = options.waitingMax ?? 1_000;
  const attemptsMax = options.attemptsMax ?? 4;
  const retryMs = options.retryMs ?? 2_000;
  const waiting: Mail[] = [];
  const closing = new AbortController();
  let active = 0;
  let idleWaiters: (() => void)[] = [];

  async function deliver(mail: Mail): Promise<void> {
    for (let attempts = 1; ; attempts += 1) {
      try {
        await transport.send(mail);
        report({ kind: "sent", subject: mail.subject, attempts });
        return;
      } catch (error) {
        if (attempts >= attemptsMax || closing.signal.aborted) {
          report({ kind: "failed", subject: mail.subject, attempts, error });
          return;
        }
      }
      await pause(retryMs * 2 ** (attempts - 1), closing.signal);
    }
  }

  function pump(): void {
    while (active < concurrency) {
      const mail = waiting.shift();
      if (!mail) break;
      active += 1;
      void deliver(mail).finally(() => {
        active -= 1;
        pump();
      });
    }
    if (active > 0) return;
    for (const resolve of idleWaiters) resolve();
    idleWaiters = [];
  }

  const idle = () => (active === 0 ? Promise.resolve() : new Promise<void>((resolve) => idleWaiters.push(resolve)));
  return {
    add(mail) {
      if (waiting.length >= waitingMax || closing.signal.aborted) {
        report({ kind: "dropped", subject: mail.subject });
        return;
      }
      waiting.push(mail);
      pump();
    },
    idle,
    async close(timeoutMs) {
      const enough = new AbortController();
      await Promise.race([idle(), pause(timeoutMs, enough.signal)]);
      enough.abort();
      closing.abort();
      waiting.length = 0;
      await transport.close();
    },
  };
}

/** Ends early when aborted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
