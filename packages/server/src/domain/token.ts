/**
 * A completion token: an outside party's promise to finish a wait (http §6). It is decided once and then never changes.
 *
 *   pending ──complete──▶ completed   with data; the same data again is fine, other data conflicts
 *     │ ─────cancel─────▶ cancelled
 *     └─────expire──────▶ expired     its timeout passed; by a sweep, or by whoever meets it first
 *
 * A token past its timeout that nobody has swept yet counts as expired everywhere: `tokenStatus` is what is shown and decided on, never the stored state
 * alone. Waits on the token are not its business: they look at it (wait.ts).
 */
import { can, type Transitions } from "./transitions.ts";

export const tokenStates = ["pending", "completed", "expired", "cancelled"] as const;
export type TokenState = (typeof tokenStates)[number];

export const tokenTransitions = {
  complete: { from: ["pending"], to: "completed" },
  cancel: { from: ["pending"], to: "cancelled" },
  expire: { from: ["pending"], to: "expired" },
} as const satisfies Transitions<TokenState>;

export interface TokenFacts {
  state: TokenState;
  /** Past its timeout by the database's clock. */
  pastTimeout: boolean;
}

export function tokenStatus({ state, pastTimeout }: TokenFacts): TokenState {
  return can(tokenTransitions.expire, state) && pastTimeout ? "expired" : state;
}

export type CompleteDecision = "complete" | "already_completed" | "conflict" | "cancelled" | "expired";

export function decideComplete(token: TokenFacts, sameData: boolean): CompleteDecision {
  const status = tokenStatus(token);
  if (status === "pending") return "complete";
  if (status === "completed") return sameData ? "already_completed" : "conflict";
  return status;
}

export type CancelTokenDecision = "cancel" | "cancelled" | "completed" | "expired";

export function decideCancelToken(token: TokenFacts): CancelTokenDecision {
  const status = tokenStatus(token);
  return status === "pending" ? "cancel" : status;
}
