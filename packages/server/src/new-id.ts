/** Ids of rows: UUIDv7, so that index pages fill in order of time. */
import * as crypto from "node:crypto";

// Node 24.21 has it, @types/node 24.10 does not know it yet.
const { randomUUIDv7 } = crypto as unknown as { randomUUIDv7: () => string };

export function newId(): string {
  return randomUUIDv7();
}
