import { DefinitionError } from "../errors.ts";
import { shown } from "../json-value.ts";

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,255}$/;

/** A stream id, trimmed and checked (sdk §3.2). */
export function streamName(id: unknown, label: string): string {
  const name = typeof id === "string" ? id.trim() : "";
  if (!namePattern.test(name)) throw new DefinitionError(`${label} must match ${namePattern.source}, and is ${shown(id)}`);
  return name;
}

/** Blank counts as none. */
export function correlationIdOf(correlationId: string | undefined): string | undefined {
  return correlationId === undefined || correlationId.trim() === "" ? undefined : correlationId;
}
