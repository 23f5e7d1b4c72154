/**
 * Expected refusals are values (house §5). An operation returns its own union of results; what a caller must hear as an error is a `Refusal`:
 * a code of the catalogue, or a bare status with a sentence. `http/errors.ts` is the one place that turns it into an answer.
 */
import type { AuthFlowErrorBody } from "@helmr/protocol/api";
import { type ErrorCode, errorDefinitions } from "@helmr/protocol/shared";

export interface Refusal {
  readonly refused: true;
  readonly status: number;
  readonly code?: string;
  readonly message: string;
  /** Only of login flows: `error_kind` of http §1.2 takes the place of a code. */
  readonly errorKind?: AuthErrorKind;
  readonly retryAfterSeconds?: number;
}

export type AuthErrorKind = AuthFlowErrorBody["error_kind"];

const authStatus = {
  invalid_token: 401,
  unauthenticated: 401,
  wrong_account: 403,
  no_account: 403,
  disabled_member: 403,
  already_member: 409,
} as const satisfies Record<AuthErrorKind, number>;

/** A refusal of a login flow. */
export function refuseLogin(kind: AuthErrorKind, message: string): Refusal {
  return { refused: true, status: authStatus[kind], message, errorKind: kind };
}

/** A refusal of the catalogue; `message` replaces the catalogue's sentence where the caller can say more. */
export function refuse(code: ErrorCode, message?: string, status?: number): Refusal {
  const definition = errorDefinitions[code];
  return { refused: true, status: status ?? definition.status, code, message: message ?? definition.message };
}

/** 400 without a code: a request that breaks a rule of the contract (http §1.1 "Validation"). */
export function invalid(message: string): Refusal {
  return { refused: true, status: 400, message };
}

export function notFound(message: string): Refusal {
  return { refused: true, status: 404, message };
}

export function refusal(status: number, message: string, code?: string): Refusal {
  return { refused: true, status, message, ...(code === undefined ? {} : { code }) };
}

export function isRefusal(value: unknown): value is Refusal {
  return typeof value === "object" && value !== null && (value as { refused?: unknown }).refused === true;
}
