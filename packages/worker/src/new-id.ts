/** Ids of what this worker makes: UUIDv7, so that rows of one capture lie together. */
import * as crypto from "node:crypto";

// Node 24.21 has it, @types/node 24.10 does not know it yet.
const { randomUUIDv7 } = crypto as unknown as { randomUUIDv7(this: void): string };

export function newId(): string {
  return randomUUIDv7();
}
