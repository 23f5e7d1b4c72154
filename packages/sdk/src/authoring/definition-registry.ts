/**
 * What user modules define while a project is indexed: streams and queues count as declared when their definition is executed, wherever it
 * stands and through whichever copy of the SDK (sdk §3.2).
 *
 * The registry exists only between `startDiscovery()` and `stop()`; in an application or a running task definitions are recorded nowhere.
 * It holds plain data in the order of execution; conflicts are found by whoever reads it.
 */
import { sharedSlot } from "../brand.ts";

export interface StreamEntry {
  readonly direction: "input" | "output";
  readonly name: string;
  /** What is known of the schema: none, or who made it. Never its shape. */
  readonly schema: { readonly kind: "none" } | { readonly kind: "standard"; readonly vendor: string };
}

export interface QueueEntry {
  readonly id: string;
  readonly concurrencyLimit: number | null;
}

export interface DefinitionRegistry {
  readonly streams: StreamEntry[];
  readonly queues: QueueEntry[];
}

const slot = sharedSlot<DefinitionRegistry>("DefinitionRegistry");

export interface Discovery {
  readonly registry: DefinitionRegistry;
  stop(): void;
}

/** Call before the first user module is loaded. */
export function startDiscovery(): Discovery {
  const registry: DefinitionRegistry = { streams: [], queues: [] };
  slot.set(registry);
  return {
    registry,
    stop: () => {
      if (slot.get() === registry) slot.set(undefined);
    },
  };
}

export function recordStream(entry: StreamEntry): void {
  slot.get()?.streams.push(entry);
}

export function recordQueue(entry: QueueEntry): void {
  slot.get()?.queues.push(entry);
}
