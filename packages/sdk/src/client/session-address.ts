/** How a session is named, and the URLs that follow from it (sdk §11, §13). */
import { DefinitionError } from "../errors.ts";
import { shown } from "../json-value.ts";
import type { SessionAddress } from "./session-shapes.ts";
import type { Query } from "./transport.ts";

export type ResolvedSession = { readonly id: string } | { readonly externalId: string };

export function resolveSession(address: SessionAddress): ResolvedSession {
  if (typeof address === "string") return { id: filled(address, "A session id") };
  if (typeof address === "object" && address !== null) {
    if ("id" in address && address.id !== undefined) return { id: filled(address.id, "A session id") };
    if ("externalId" in address && address.externalId !== undefined)
      return { externalId: filled(address.externalId, "The externalId of a session") };
  }
  throw new DefinitionError(`A session must be named by its id, an object with id, or { externalId }, and is ${shown(address)}`);
}

function filled(text: unknown, what: string): string {
  if (typeof text !== "string" || text.trim() === "") throw new DefinitionError(`${what} must not be blank`);
  return text;
}

/** `external_id` comes first in the query. */
export function sessionUrl(session: ResolvedSession, rest = "", query: Query = []): { path: string; query: Query } {
  if ("id" in session) return { path: `/sessions/${encodeURIComponent(session.id)}${rest}`, query };
  return { path: `/sessions/by-external-id${rest}`, query: [["external_id", session.externalId], ...query] };
}
