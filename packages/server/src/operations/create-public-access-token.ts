/** A token that lets a browser send to one input stream or read one output stream of a session (http §5.3). */
import type { PublicAccessScopeBody, PublicAccessScopeType } from "@helmr/protocol/api";
import { credentialPrefix } from "@helmr/protocol/shared";
import { issueCredential } from "../credentials.ts";
import type { StreamDirection } from "../domain/stream.ts";
import type { EngineContext } from "../engine-context.ts";
import { newId } from "../new-id.ts";
import { type Refusal, refuse } from "../outcome.ts";
import { sessionLimits } from "../session-limits.ts";
import { publicAccessTokenInsert } from "../store/public-access-token.ts";
import { sessionGet } from "../store/session.ts";
import { streamDeclared } from "../store/stream.ts";

const scopeDirection = {
  "session.input.send": "input",
  "session.output.read": "output",
} as const satisfies Record<PublicAccessScopeType, StreamDirection>;

export interface NewPublicAccess {
  environmentId: string;
  scope: PublicAccessScopeBody;
  expiresAt: string | undefined;
  maxUses: number | undefined;
}

export interface CreatedPublicAccess {
  id: string;
  /** Shown once; only its hash is stored. */
  text: string;
  sessionId: string;
  expiresAt: string;
  createdAt: string;
}

export async function createPublicAccessToken(
  { db }: EngineContext,
  { environmentId, scope, expiresAt, maxUses }: NewPublicAccess,
): Promise<CreatedPublicAccess | Refusal> {
  const { type, stream, session: ref } = scope;
  const key = ref.type === "id" ? { id: ref.id } : { externalId: ref.external_id ?? "" };
  const session = await sessionGet(db, environmentId, key);
  if (!session) return refuse("stream_not_found", "the session does not exist");
  const direction = scopeDirection[type];
  if (!(await streamDeclared(db, { deployment_id: session.active_deployment_id, direction, name: stream })))
    return refuse("stream_not_found", `the session's deployment declares no ${direction} stream "${stream}"`);
  const { text, hash } = issueCredential(credentialPrefix.publicStreamToken);
  const id = newId();
  const stored = await publicAccessTokenInsert(db, {
    id,
    environment_id: environmentId,
    token_hash: hash,
    kind: type,
    session_id: session.id,
    stream,
    correlation_id: scope.correlation_id ?? null,
    max_uses: maxUses ?? null,
    expires_at: expiresAt ?? null,
    ttl_ms: sessionLimits.publicAccessTokenTtlMs,
  });
  if (!stored) return refuse("token_expired", "expires_at has passed");
  return { id, text, sessionId: session.id, expiresAt: stored.expires_at, createdAt: stored.created_at };
}
