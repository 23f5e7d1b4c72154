/** The streams and queues of a project, from what its modules defined while they were loaded. */
import { DefinitionError } from "../errors.ts";
import { sha256Hex } from "../sha256.ts";
import type { DefinitionRegistry, StreamEntry } from "./definition-registry.ts";

export interface StreamDeclaration {
  direction: "input" | "output";
  name: string;
  /** Of what is known about the schema: kind, vendor, direction and name, not its shape. */
  fingerprint: string;
}

export function streamDeclarations(registry: DefinitionRegistry): StreamDeclaration[] {
  const byName = new Map<string, StreamDeclaration>();
  for (const entry of registry.streams) {
    const declaration = { direction: entry.direction, name: entry.name, fingerprint: streamFingerprint(entry) };
    const key = `${entry.direction} ${entry.name}`;
    const earlier = byName.get(key);
    if (earlier === undefined) byName.set(key, declaration);
    else if (earlier.fingerprint !== declaration.fingerprint) {
      throw new DefinitionError(
        `conflicting deployment catalog schema for ${entry.direction} stream "${entry.name}": it is defined twice with different schemas`,
      );
    }
  }
  return [...byName.values()];
}

function streamFingerprint({ direction, name, schema }: StreamEntry): string {
  const vendor = schema.kind === "standard" ? schema.vendor : null;
  return `sha256:${sha256Hex(JSON.stringify({ direction, kind: schema.kind, name, vendor }))}`;
}

export function queueDeclarations(registry: DefinitionRegistry): { id: string; concurrencyLimit: number | null }[] {
  const limits = new Map<string, number | null>();
  for (const { id, concurrencyLimit } of registry.queues) {
    const earlier = limits.get(id);
    if (earlier !== undefined && earlier !== concurrencyLimit) {
      throw new DefinitionError(`queue "${id}" is declared with two limits: ${earlier ?? "none"} and ${concurrencyLimit ?? "none"}`);
    }
    limits.set(id, concurrencyLimit);
  }
  return Array.from(limits, ([id, concurrencyLimit]) => ({ id, concurrencyLimit }));
}
