/** A token that an outside party completes (http §6), and its two secrets, which are computed from its id and stored nowhere. */
import { createHash } from "node:crypto";
import { canonicalJson, credentialPrefix } from "@helmr/protocol/shared";
import { required } from "../assert.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { newId } from "../new-id.ts";
import { type Refusal, refuse } from "../outcome.ts";
import type { Keys } from "../secrets.ts";
import { sessionLimits } from "../session-limits.ts";
import { json, type Tx } from "../store/db.ts";
import { tokenByKey, tokenInsert, type TokenRow } from "../store/token.ts";

export interface NewToken {
  environmentId: string;
  timeoutMs: number;
  tags: string[];
  metadata: Record<string, unknown>;
  keyHash: Buffer | null;
  runId: string | null;
}

export interface CreatedToken {
  token: TokenRow;
  created: boolean;
}

export async function createToken(
  context: EngineContext,
  token: Omit<NewToken, "keyHash" | "runId"> & { idempotencyKey: string | undefined },
): Promise<CreatedToken | Refusal> {
  const { idempotencyKey, ...rest } = token;
  const keyHash = idempotencyKey === undefined ? null : createHash("sha256").update(idempotencyKey).digest();
  return context.db.tx((tx) => createTokenIn(tx, context, { ...rest, keyHash, runId: null }));
}

export async function createTokenIn(tx: Tx, context: EngineContext, token: NewToken): Promise<CreatedToken | Refusal> {
  const { environmentId, timeoutMs, tags, metadata, keyHash, runId } = token;
  const fingerprint = createHash("sha256")
    .update(canonicalJson({ timeout_ms: timeoutMs, tags, metadata }))
    .digest();
  const inserted = await tokenInsert(tx, {
    id: newId(),
    environment_id: environmentId,
    timeout_ms: timeoutMs,
    tags,
    metadata: json(metadata),
    secret_key_id: context.keys.currentKeyId("tokens"),
    idempotency_key_hash: keyHash,
    idempotency_fingerprint: keyHash && fingerprint,
    run_id: runId,
  });
  if (inserted) {
    if (timeoutMs <= sessionLimits.loopPeriodMs) tx.afterCommit(() => context.hints.send(topic.reconcile("expire-tokens")));
    return { token: inserted, created: true };
  }
  const known = required(keyHash && (await tokenByKey(tx, environmentId, keyHash)), "What stood in the way of the insert is there");
  return known.idempotency_fingerprint?.equals(fingerprint) ? { token: known, created: false } : refuse("idempotency_fingerprint_mismatch");
}

/** Only whoever creates a token gets them. The public one names its token, so that one that is known but of another token can be told from noise. */
export function tokenSecrets(
  keys: Keys,
  { id, secret_key_id }: Pick<TokenRow, "id" | "secret_key_id">,
): { callback: string; publicToken: string } {
  return {
    callback: keys.deriveToken(credentialPrefix.callbackSecret, id, secret_key_id),
    publicToken: keys.deriveToken(credentialPrefix.publicCompletionToken, id, secret_key_id) + idText(id),
  };
}

export function checkCallbackSecret(keys: Keys, tokenId: string, secret: string): Refusal | undefined {
  return keys.isDerivedToken(secret, credentialPrefix.callbackSecret, tokenId) ? undefined : refuse("token_scope_denied");
}

const idCharacters = 22;

/** 401: a text that is no secret of ours. 403: one of another token. */
export function checkPublicToken(keys: Keys, tokenId: string, bearer: string | undefined): Refusal | undefined {
  const denied = refuse("token_scope_denied", "a public access token of this completion token is required");
  if (bearer === undefined) return denied;
  const named = idOf(bearer.slice(-idCharacters));
  if (named === undefined || !keys.isDerivedToken(bearer.slice(0, -idCharacters), credentialPrefix.publicCompletionToken, named))
    return denied;
  return named === tokenId ? undefined : refuse("token_scope_denied", "the public access token belongs to another token", 403);
}

const idText = (id: string): string => Buffer.from(id.replaceAll("-", ""), "hex").toString("base64url");

function idOf(text: string): string | undefined {
  const bytes = Buffer.from(text, "base64url");
  // One text per id: base64 has several for the same bytes.
  if (bytes.length !== 16 || bytes.toString("base64url") !== text) return undefined;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
