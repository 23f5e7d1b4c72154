/** Tokens over HTTP (sdk §9.4). */
import type { Token as WireToken } from "@helmr/protocol/api";
import { parseDurationMs } from "@helmr/protocol/shared";
import { DefinitionError } from "../errors.ts";
import type { DurationInput } from "../guest-duration.ts";
import { shown } from "../json-value.ts";
import { idOf, members, optional } from "./body-members.ts";
import { checkPublicToken } from "./session-streams.ts";
import type { ClientTokensApi, Token, TokenCompleteResult, TokenListOptions, TokensPage } from "./token-shapes.ts";
import type { Transport } from "./transport.ts";

export function tokenView(wire: WireToken): Token {
  return {
    id: wire.id,
    ...optional("status", wire.status),
    ...optional("callbackUrl", wire.callback_url),
    ...optional("publicAccessToken", wire.public_access_token),
    timeoutAt: wire.timeout_at ?? null,
    ...optional("data", wire.data),
    ...optional("tags", wire.tags),
    ...optional("metadata", wire.metadata),
  };
}

export function tokensApi(transport: Transport): ClientTokensApi {
  const pathOf = (token: string | { readonly id: string }): string => `/tokens/${encodeURIComponent(idOf(token, "a token"))}`;
  const listPage = async (options: TokenListOptions = {}): Promise<TokensPage> => {
    const query = [
      ["status", options.status],
      ["cursor", options.cursor],
      ["limit", options.limit],
    ] as const;
    const page = await transport.json<{ tokens: WireToken[]; next_cursor?: string }>({ method: "GET", path: "/tokens", query, options });
    return { tokens: page.tokens.map(tokenView), nextCursor: page.next_cursor ?? null };
  };
  return Object.freeze<ClientTokensApi>({
    async create(options = {}) {
      const { timeout, tags, metadata, idempotencyKey } = options;
      checkTimeout(timeout);
      const body = members({ timeout, tags: typeof tags === "string" ? [tags] : tags, metadata, idempotency_key: idempotencyKey });
      return tokenView(await transport.json<WireToken>({ method: "POST", path: "/tokens", body, options }));
    },
    async retrieve(token, options = {}) {
      return tokenView(await transport.json<WireToken>({ method: "GET", path: pathOf(token), options }));
    },
    listPage,
    list: async (options = {}) => (await listPage(options)).tokens,
    async complete(token, data, options = {}): Promise<TokenCompleteResult> {
      checkPublicToken(options);
      const publicToken =
        options.publicAccessToken ?? (typeof token === "object" && "publicAccessToken" in token ? token.publicAccessToken : undefined);
      const request = { method: "POST" as const, path: `${pathOf(token)}/complete`, body: members({ data }), options, publicToken };
      const answer = await transport.json<{ status: TokenCompleteResult["status"]; token: WireToken }>(request);
      return { status: answer.status, token: tokenView(answer.token) };
    },
    async cancel(token, options = {}) {
      return tokenView(await transport.json<WireToken>({ method: "POST", path: `${pathOf(token)}/cancel`, body: {}, options }));
    },
  });
}

const memberNames = ["milliseconds", "seconds", "minutes", "hours"] as const;

/** Here a number is milliseconds and the members of an object are added up (sdk §4.1); it is sent as it is and judged by the server again. */
function checkTimeout(timeout: DurationInput | undefined): void {
  if (timeout === undefined) return;
  let total: number | undefined;
  if (typeof timeout === "number") total = timeout;
  else if (typeof timeout === "string") total = parseDurationMs(timeout);
  else if (typeof timeout === "object" && timeout !== null) {
    const text = timeout.duration === undefined ? 0 : parseDurationMs(timeout.duration);
    total = text === undefined ? undefined : memberNames.reduce((sum, name) => sum + (timeout[name] ?? 0), text);
  }
  if (total !== undefined && Number.isFinite(total) && total > 0) return;
  throw new DefinitionError(
    `timeout of a token must be greater than zero: milliseconds, a text such as "1h30m", or { minutes: 5 }, and is ${shown(timeout)}`,
  );
}
