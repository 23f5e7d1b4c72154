/** Tokens: an outside party's promise to finish a wait (sdk §3.5, §9.4, §11). */
import type { DurationInput } from "../guest-duration.ts";
import type { Json, JsonObject } from "../json-value.ts";
import type { PayloadSchema } from "../schema.ts";
import type { WaitHandle, WaitJson } from "../running/wait-handle.ts";
import type { WaitOptions } from "../running/wait-options.ts";
import type { RequestOptions } from "./request-options.ts";

type TokenStatus = "pending" | "completed" | "expired" | "cancelled";

export interface Token {
  readonly id: string;
  readonly status?: TokenStatus;
  /** Only on a token that was just created, like the next. */
  readonly callbackUrl?: string;
  readonly publicAccessToken?: string;
  readonly timeoutAt: string | null;
  readonly data?: Json;
  readonly tags?: readonly string[];
  readonly metadata?: JsonObject;
}

export interface TokenRef {
  readonly id: string;
}

export interface TokenWaitOptions<T = unknown, I = T> extends WaitOptions {
  readonly schema?: PayloadSchema<I, T>;
}

/** As `tokens.create` and the other calls of the namespace give it: it can be waited for inside a task. */
export interface WaitableToken extends Token {
  wait<T, I>(options: TokenWaitOptions<T, I> & { readonly schema: PayloadSchema<I, T> }): WaitHandle<T>;
  wait(options?: TokenWaitOptions): WaitHandle<WaitJson>;
}

/** Inside a task: a number is seconds. */
export interface RuntimeTokenCreateOptions {
  readonly timeout?: DurationInput;
  readonly tags?: string | readonly string[];
  readonly metadata?: JsonObject;
  /** A retried attempt that uses it gets the same token. */
  readonly idempotencyKey?: string;
}

/** From outside: a number is milliseconds, and the members of an object are added up. */
export interface TokenCreateOptions extends RuntimeTokenCreateOptions, RequestOptions {}

export interface TokenRetrieveOptions extends RequestOptions {}

export interface TokenListOptions extends RequestOptions {
  readonly status?: TokenStatus;
  readonly cursor?: string;
  readonly limit?: number;
}

export interface TokensPage<T extends Token = Token> {
  readonly tokens: readonly T[];
  readonly nextCursor: string | null;
}

export interface TokenCompleteOptions extends RequestOptions {
  /** Completes with this token in place of the key; not together with projectId and environmentId. */
  readonly publicAccessToken?: string;
}

export interface TokenCompleteResult<T extends Token = Token> {
  readonly status: "completed" | "already_completed";
  readonly token: T;
}

/** Of a client. */
export interface ClientTokensApi<T extends Token = Token> {
  create(options?: TokenCreateOptions): Promise<T>;
  retrieve(token: string | TokenRef, options?: TokenRetrieveOptions): Promise<T>;
  listPage(options?: TokenListOptions): Promise<TokensPage<T>>;
  /** One page. */
  list(options?: TokenListOptions): Promise<readonly T[]>;
  complete(token: string | TokenRef | Token, data?: unknown, options?: TokenCompleteOptions): Promise<TokenCompleteResult<T>>;
  cancel(token: string | TokenRef, options?: RequestOptions): Promise<T>;
}

/** The namespace: inside a task `create` and `wait` are the task's own; everything else is the default client's. */
export interface TokensApi extends ClientTokensApi<WaitableToken> {
  wait<T, I>(token: string | TokenRef | Token, options: TokenWaitOptions<T, I> & { readonly schema: PayloadSchema<I, T> }): WaitHandle<T>;
  wait(token: string | TokenRef | Token, options?: TokenWaitOptions): WaitHandle<WaitJson>;
}
