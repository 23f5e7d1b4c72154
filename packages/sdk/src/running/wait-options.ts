/** Options that all waits share, checked and in the form of the port (sdk §8.5, §11). */
import { DefinitionError } from "../errors.ts";
import { type DurationInput, guestSeconds } from "../guest-duration.ts";
import { type JsonObject, isPlainObject, jsonText, utf8Bytes, shown } from "../json-value.ts";

export interface WaitOptions {
  readonly metadata?: JsonObject;
  readonly tags?: string | readonly string[];
  /** Seconds when it is a number. */
  readonly timeout?: DurationInput;
  /** Shortens the time a wait stays live before the machine is parked. */
  readonly idleTimeout?: DurationInput;
}

export interface WaitFields {
  timeoutSeconds?: number;
  idleTimeoutSeconds?: number;
  metadata?: JsonObject;
  tags?: string[];
}

const metadataBytesMax = 64 * 1024;
const tagsMax = 32;
const tagBytesMax = 128;

export function waitFields(options: WaitOptions, label: string): WaitFields {
  const { timeout, idleTimeout } = options;
  return {
    ...(timeout === undefined ? {} : { timeoutSeconds: guestSeconds(timeout, `timeout of ${label}`) }),
    ...(idleTimeout === undefined ? {} : { idleTimeoutSeconds: guestSeconds(idleTimeout, `idleTimeout of ${label}`) }),
    ...metadataAndTags(options, label),
  };
}

export function metadataAndTags(
  options: { metadata?: unknown; tags?: string | readonly string[] | undefined },
  label: string,
): { metadata?: JsonObject; tags?: string[] } {
  const { metadata, tags } = options;
  return {
    ...(metadata === undefined ? {} : { metadata: metadataObject(metadata, label) }),
    ...(tags === undefined ? {} : { tags: tagList(tags, label) }),
  };
}

function metadataObject(metadata: unknown, label: string): JsonObject {
  if (!isPlainObject(metadata)) throw new DefinitionError(`metadata of ${label} must be a JSON object`);
  return JSON.parse(jsonText(metadata, { label: `metadata of ${label}`, bytesMax: metadataBytesMax })) as JsonObject;
}

function tagList(tags: string | readonly string[], label: string): string[] {
  const list = typeof tags === "string" ? [tags] : [...tags];
  if (list.length > tagsMax) throw new DefinitionError(`${label} must have at most ${tagsMax} tags, and has ${list.length}`);
  for (const tag of list) {
    const bytes = typeof tag === "string" ? utf8Bytes(tag.trim()) : 0;
    if (bytes < 1 || bytes > tagBytesMax)
      throw new DefinitionError(`each tag of ${label} must have 1 to ${tagBytesMax} bytes, and one is ${shown(tag)}`);
  }
  return list;
}
