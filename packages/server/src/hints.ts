/**
 * "Look now": wakes followers, long polls and reconcilers. A hint carries no data and may be lost; whoever waits for one also looks on a
 * period of its own (house §2, reconcilers). Topics are `run:<id>`, `logs:<id>`, `deployment:<id>`, `dispatch:<group>`, `worker:<id>`,
 * `session:<id>`, `exec:<id>`, `mount:<workspace id>`, `schedules`, `timers`, `credentials`
 * (a credential, role or membership ended), `reconcile:<loop>`.
 *
 * Within this process a hint is delivered at once; to other processes it travels through NOTIFY, collected for a millisecond and sent outside of
 * any transaction: NOTIFY inside a transaction takes a lock that serializes every commit of the server (measured in docs/adr).
 */
import { EventEmitter } from "node:events";

export interface Hints {
  /** Tells everybody, here and in other processes. */
  send(topic: string): void;
  /** Calls `listener` on every hint of the topic until the returned function is called. */
  subscribe(topic: string, listener: () => void): () => void;
  close(): Promise<void>;
}

export interface HintTransport {
  /** Sends topics to the other processes; failing is allowed. */
  publish(topics: string[]): Promise<void>;
  /** Calls back with topics that other processes sent; resubscribes by itself. */
  listen(deliver: (topic: string) => void): Promise<() => Promise<void>>;
}

export async function openHints(transport: HintTransport | null): Promise<Hints> {
  const emitter = new EventEmitter();
  emitter.setMaxListeners(0);
  const outgoing = new Set<string>();
  let flushing: NodeJS.Timeout | undefined;
  const deliver = (topic: string) => emitter.emit(topic);
  const stop = transport ? await transport.listen(deliver) : async () => undefined;

  async function flush(): Promise<void> {
    flushing = undefined;
    const topics = [...outgoing];
    outgoing.clear();
    // Other processes lose a moment, not the truth.
    await transport?.publish(topics).catch(() => undefined);
  }

  return {
    send(topic) {
      deliver(topic);
      if (!transport) return;
      outgoing.add(topic);
      flushing ??= setTimeout(() => void flush(), 1);
    },
    subscribe(topic, listener) {
      emitter.on(topic, listener);
      return () => emitter.off(topic, listener);
    },
    async close() {
      if (flushing) {
        clearTimeout(flushing);
        await flush();
      }
      await stop();
      emitter.removeAllListeners();
    },
  };
}
