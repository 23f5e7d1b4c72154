import { DefinitionError } from "../errors.ts";
import { shown } from "../json-value.ts";

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,255}$/;

/** A stream id, trimmed and checked (sdk §3.2). */
export function streamName(id: unknown, label: string): string {
  const name = typeof id === "string" ? id.trim() : "";
  if (!namePattern.test(name)) throw new DefinitionError(`${label} must match ${namePattern.source}, and is ${shown(id)}`);
  return name;
}

const correlationIdCharactersMax = 512;

/** Blank counts as none. */
export function correlationIdOf(correlationId: string | undefined): string | undefined {
  if (correlationId === undefined || correlationId.trim() === "") return undefined;
  if (correlationId.length <= correlationIdCharactersMax) return correlationId;
  throw new DefinitionError(`A correlationId must have at most ${correlationIdCharactersMax} characters, and has ${correlationId.length}`);
}
