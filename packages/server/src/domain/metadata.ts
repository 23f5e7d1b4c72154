import { assertNever } from "../assert.ts";

/** What a task does to the metadata of its run (sdk §3.6). */
export type MetadataOperation =
  | { op: "set"; key: string; value: unknown }
  | { op: "patch"; value: Record<string, unknown> }
  | { op: "increment"; key: string; amount: number };

export function applyMetadata(metadata: Readonly<Record<string, unknown>>, operation: MetadataOperation): Record<string, unknown> {
  switch (operation.op) {
    case "set":
      return { ...metadata, [operation.key]: operation.value };
    case "patch":
      return { ...metadata, ...operation.value };
    case "increment": {
      const present = Object.hasOwn(metadata, operation.key) ? metadata[operation.key] : 0;
      return { ...metadata, [operation.key]: (typeof present === "number" ? present : 0) + operation.amount };
    }
    default:
      return assertNever(operation);
  }
}
