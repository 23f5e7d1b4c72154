/** What a program call may carry, and how one is refused: the program gets an error with a code and a sentence. */
import { limits, parseInput, tags as tagList } from "@helmr/protocol/shared";
import { storableText } from "../domain/storable.ts";
import type { Refusal } from "../outcome.ts";

export interface CallRefused {
  state: "refused";
  code: string;
  message: string;
}

export function refuseCall(message: string, code = "refused"): CallRefused {
  return { state: "refused", code, message };
}

/** The same refusal that a caller of the API would get. */
export const refusedAs = (refusal: Refusal): CallRefused => refuseCall(refusal.message, refusal.code);

const tagsOf = tagList(limits.tokenTagsMax);

/** Trimmed, without duplicates, sorted: as every other way to set them. */
export function parseTags(given: readonly string[]): { tags: string[] } | CallRefused {
  const parsed = parseInput(tagsOf, given.map(storableText));
  return parsed.ok ? { tags: parsed.value } : refuseCall(`tags ${parsed.text}`);
}
