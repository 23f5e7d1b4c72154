import type { Token } from "@helmr/protocol/api";
import { instant } from "../../text/instant.ts";

export function timeoutText(token: Token): string {
  return token.timeout_at === null || token.timeout_at === undefined ? "-" : instant(token.timeout_at);
}

/** The last two are known at creation only. */
export function tokenLines(token: Token): string[] {
  return [
    `Token:       ${token.id}`,
    `Status:      ${token.status}`,
    `Timeout:     ${timeoutText(token)}`,
    ...(token.callback_url === undefined ? [] : [`Callback:    ${token.callback_url}`]),
    ...(token.public_access_token === undefined ? [] : [`PublicToken: ${token.public_access_token}`]),
  ];
}
