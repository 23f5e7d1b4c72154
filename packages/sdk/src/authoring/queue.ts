/** Queues bound how many runs of their tasks are active at once (sdk §2.4). */
import { brand, hasBrand } from "../brand.ts";
import { DefinitionError } from "../errors.ts";
import { recordQueue } from "./definition-registry.ts";
import { shown } from "../json-value.ts";

export interface QueueConfig {
  readonly id: string;
  /** Absent or null: no limit. */
  readonly concurrencyLimit?: number | null;
}

export interface QueueDefinition {
  readonly id: string;
  readonly concurrencyLimit?: number | null;
}

const idPattern = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,255}$/;

export function queue(config: QueueConfig): QueueDefinition {
  const { id, concurrencyLimit } = config;
  checkQueueId(id, "queue id");
  if (concurrencyLimit !== undefined && concurrencyLimit !== null && (!Number.isSafeInteger(concurrencyLimit) || concurrencyLimit < 1)) {
    throw new DefinitionError(
      `concurrencyLimit of queue "${id}" must be a positive whole number, null or absent, and is ${shown(concurrencyLimit)}`,
    );
  }
  const definition: QueueDefinition = Object.freeze(
    brand("QueueDefinition", { id, ...(concurrencyLimit === undefined ? {} : { concurrencyLimit }) }),
  );
  recordQueue({ id, concurrencyLimit: concurrencyLimit ?? null });
  return definition;
}

export function checkQueueId(id: unknown, label: string): void {
  if (typeof id !== "string" || !idPattern.test(id)) {
    throw new DefinitionError(`${label} must match ${idPattern.source}, and is ${shown(id)}`);
  }
}

export function isQueueDefinition(value: unknown): value is QueueDefinition {
  return hasBrand("QueueDefinition", value);
}
