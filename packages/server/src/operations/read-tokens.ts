/** Tokens as they are read (http §6): without their secrets; one past its timeout reads as expired, swept or not. */
import type { TokenStatus } from "@helmr/protocol/api";
import type { EngineContext } from "../engine-context.ts";
import { invalid, type Refusal, refuse } from "../outcome.ts";
import { tokenGet, tokenList, type TokenRow } from "../store/token.ts";

export type { TokenRow };
export { tokenFacts } from "./complete-token.ts";

export async function readToken({ db }: EngineContext, environmentId: string, id: string): Promise<TokenRow | Refusal> {
  return (await tokenGet(db, environmentId, id)) ?? refuse("token_not_found");
}

export interface TokensQuery {
  environmentId: string;
  status: TokenStatus | undefined;
  /** The last token of the page before. */
  cursor: string | undefined;
  limit: number;
}

export async function listTokens(
  { db }: EngineContext,
  { environmentId, status, cursor, limit }: TokensQuery,
): Promise<{ tokens: TokenRow[]; next: string | undefined } | Refusal> {
  const last = cursor === undefined ? undefined : await tokenGet(db, environmentId, cursor);
  if (cursor !== undefined && !last) return invalid("cursor must be the id of a token of this environment");
  const after = last && { createdAt: last.created_at, id: last.id };
  const rows = await tokenList(db, { environmentId, status, after, limit: limit + 1 });
  const tokens = rows.slice(0, limit);
  return { tokens, next: rows.length > limit ? tokens.at(-1)?.id : undefined };
}
