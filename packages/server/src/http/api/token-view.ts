/** Tokens as the API shows them (http §6). The two secrets are in the answer of create alone. */
import type { Token } from "@helmr/protocol/api";
import type { Json, JsonObject } from "@helmr/protocol/shared";
import { tokenStatus } from "../../domain/token.ts";
import { tokenSecrets } from "../../operations/create-token.ts";
import { tokenFacts, type TokenRow } from "../../operations/read-tokens.ts";
import type { Keys } from "../../secrets.ts";

export interface TokenAddresses {
  keys: Keys;
  /** Base of callback URLs. */
  publicUrl: string;
}

export function tokenView(row: TokenRow): Token {
  const status = tokenStatus(tokenFacts(row));
  return {
    id: row.id,
    status,
    timeout_at: row.timeout_at,
    ...(status === "completed" ? { data: row.data as Json } : {}),
    tags: row.tags,
    metadata: row.metadata as JsonObject,
  };
}

export function createdTokenView({ keys, publicUrl }: TokenAddresses, row: TokenRow): Token {
  const { callback, publicToken } = tokenSecrets(keys, row);
  return {
    ...tokenView(row),
    callback_url: `${publicUrl.replace(/\/+$/, "")}/api/v1/tokens/${row.id}/callback/${callback}`,
    public_access_token: publicToken,
  };
}
