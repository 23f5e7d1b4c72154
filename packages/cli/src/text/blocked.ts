/** Why something does not run (http `blocked`): the sentence, its code, and what would change it. */
import type { Blocked } from "@helmr/protocol/api";

export function blockedText(blocked: Blocked): string {
  const releasedBy = blocked.details["released_by"];
  const until = typeof releasedBy === "string" && releasedBy !== "" ? `; ${releasedBy}` : "";
  return `${blocked.message} (${blocked.code})${until}`.replace(/\s+/g, " ");
}
