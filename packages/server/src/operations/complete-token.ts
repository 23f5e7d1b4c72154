/**
 * Decides a token: completed, cancelled, or expired, once (http §6). The token is locked alone; the waits on it are told to look in the same statement that
 * decides it, and are looked at after the commit (resolve-wait.ts), before the caller is answered. A token past its timeout is expired by whoever meets it.
 * Locks: token → waits.
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "@helmr/protocol/shared";
import { assertNever, required } from "../assert.ts";
import { decideCancelToken, decideComplete, type TokenFacts, tokenStatus } from "../domain/token.ts";
import type { EngineContext } from "../engine-context.ts";
import { type Refusal, refuse } from "../outcome.ts";
import type { Tx } from "../store/db.ts";
import { tokenComplete, tokenEnd, tokenGetById, tokenLock, type TokenRow } from "../store/token.ts";
import { lookAtWoken } from "./resolve-wait.ts";

export interface TokenAddress {
  tokenId: string;
  /** Absent: a secret of the token said that the caller may. */
  environmentId?: string;
}

export interface CompletedToken {
  status: "completed" | "already_completed";
  token: TokenRow;
}

interface Decided<T> {
  result: T | Refusal;
  woken: string[];
}

export async function completeToken(
  context: EngineContext,
  { data, byPublicToken, ...address }: TokenAddress & { data: unknown; byPublicToken: boolean },
): Promise<CompletedToken | Refusal> {
  const fingerprint = createHash("sha256").update(canonicalJson(data)).digest();
  return decide(context, address, async (tx, token): Promise<Decided<CompletedToken>> => {
    // What a public token is good for ends some time after the timeout, whatever became of the token.
    if (byPublicToken && token.secret_expired) return { result: refuse("token_expired", "the public access token has expired"), woken: [] };
    const decision = decideComplete(tokenFacts(token), token.data_fingerprint?.equals(fingerprint) ?? false);
    switch (decision) {
      case "complete": {
        const woken = await tokenComplete(tx, { id: token.id, data, fingerprint, byPublic: byPublicToken });
        return { result: { status: "completed", token: required(await tokenGetById(tx, token.id), "A locked token exists") }, woken };
      }
      case "already_completed":
        return { result: { status: "already_completed", token }, woken: [] };
      case "conflict":
        return { result: refuse("token_completion_conflict"), woken: [] };
      case "cancelled":
        return { result: refuse("token_cancelled"), woken: [] };
      case "expired":
        return { result: refuse("token_expired"), woken: await expire(tx, token) };
      default:
        return assertNever(decision);
    }
  });
}

export async function cancelToken(context: EngineContext, address: TokenAddress): Promise<TokenRow | Refusal> {
  return decide(context, address, async (tx, token): Promise<Decided<TokenRow>> => {
    const decision = decideCancelToken(tokenFacts(token));
    switch (decision) {
      case "cancel": {
        const woken = await tokenEnd(tx, token.id, "cancelled");
        return { result: { ...token, state: "cancelled" }, woken };
      }
      case "cancelled":
        return { result: refuse("token_cancelled"), woken: [] };
      case "completed":
        return { result: refuse("token_completed"), woken: [] };
      case "expired":
        return { result: refuse("token_expired"), woken: await expire(tx, token) };
      default:
        return assertNever(decision);
    }
  });
}

/** For the loop: true when the token was overdue and is expired now. */
export async function expireToken(context: EngineContext, tokenId: string): Promise<boolean> {
  const expired = await decide(context, { tokenId }, async (tx, token): Promise<Decided<boolean>> => {
    const isDue = token.state === "pending" && tokenStatus(tokenFacts(token)) === "expired";
    return isDue ? { result: true, woken: await expire(tx, token) } : { result: false, woken: [] };
  });
  return expired === true;
}

export const tokenFacts = (token: TokenRow): TokenFacts => ({ state: token.state, pastTimeout: token.past_timeout });

async function expire(tx: Tx, token: TokenRow): Promise<string[]> {
  return token.state === "pending" ? tokenEnd(tx, token.id, "expired") : [];
}

async function decide<T>(
  context: EngineContext,
  { tokenId, environmentId }: TokenAddress,
  body: (tx: Tx, token: TokenRow) => Promise<Decided<T>>,
): Promise<T | Refusal> {
  const decided = await context.db.tx(async (tx): Promise<Decided<T>> => {
    const token = await tokenLock(tx, { id: tokenId, environment_id: environmentId ?? null });
    return token ? body(tx, token) : { result: refuse("token_not_found"), woken: [] };
  });
  if (decided.woken.length > 0) await lookAtWoken(context, decided.woken);
  return decided.result;
}
