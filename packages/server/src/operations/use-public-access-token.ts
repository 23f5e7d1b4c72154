/**
 * A call with a public access token (http §5.3). The token's row is locked first, so that its uses are counted exactly, and counted in the transaction of what
 * was done with it: a refused call costs nothing. Locks: public access token → session → workspace → run → stream.
 */
import type { PublicAccessScopeType, StreamAppendBody } from "@helmr/protocol/api";
import { credentialPrefix } from "@helmr/protocol/shared";
import { credentialHash, isIssuedForm } from "../credentials.ts";
import type { EngineContext } from "../engine-context.ts";
import { isRefusal, type Refusal, refuse } from "../outcome.ts";
import type { Tx } from "../store/db.ts";
import { publicAccessTokenLock, type PublicAccessTokenRow, publicAccessTokenUse } from "../store/public-access-token.ts";
import type { SessionKey } from "../store/session.ts";
import type { RecordRow } from "../store/stream.ts";
import { type Appended, appendInputIn } from "./append-stream-record.ts";
import { readRecord } from "./read-streams.ts";

export interface PublicCall {
  bearer: string | undefined;
  key: SessionKey;
  stream: string;
}

export async function appendPublicly(context: EngineContext, call: PublicCall, body: StreamAppendBody): Promise<Appended | Refusal> {
  return withToken(context, { ...call, type: "session.input.send", correlationId: body.correlation_id }, (tx, token) =>
    appendInputIn(tx, context, { environmentId: token.environment_id, key: { id: token.session_id }, stream: token.stream, body }),
  );
}

export async function readPublicly(
  context: EngineContext,
  call: PublicCall,
  { after, correlationId }: { after: number; correlationId: string | undefined },
): Promise<{ record: RecordRow | null } | Refusal> {
  return withToken(context, { ...call, type: "session.output.read", correlationId }, async (tx, token) => {
    const { environment_id: environmentId, session_id: id, stream } = token;
    const record = await readRecord(tx, { environmentId, key: { id }, direction: "output", stream, after, correlationId });
    return isRefusal(record) ? record : { record };
  });
}

interface ScopedCall extends PublicCall {
  type: PublicAccessScopeType;
  correlationId: string | undefined;
}

async function withToken<T extends object>(
  context: EngineContext,
  call: ScopedCall,
  act: (tx: Tx, token: PublicAccessTokenRow) => Promise<T | Refusal>,
): Promise<T | Refusal> {
  const { bearer } = call;
  if (bearer === undefined || !isIssuedForm(bearer, credentialPrefix.publicStreamToken)) return unknown();
  return context.db.tx(async (tx) => {
    const token = await publicAccessTokenLock(tx, credentialHash(bearer));
    if (!token) return unknown();
    const refused = refuseCall(token, call);
    if (refused) return refused;
    const result = await act(tx, token);
    if (!isRefusal(result)) await publicAccessTokenUse(tx, token.id);
    return result;
  });
}

const unknown = (): Refusal => refuse("token_scope_denied", "a public access token is required");
const denied = (message: string): Refusal => refuse("token_scope_denied", message, 403);

function refuseCall(token: PublicAccessTokenRow, { key, stream, type, correlationId }: ScopedCall): Refusal | undefined {
  const sameSession = "id" in key ? key.id === token.session_id : key.externalId === token.external_id;
  if (!sameSession) return denied("the token is for another session");
  if (token.kind !== type || token.stream !== stream) return denied("the token is for another stream");
  if (token.correlation_id !== null && token.correlation_id !== correlationId) return denied("the token is for another correlation id");
  if (token.revoked) return denied("the token was revoked");
  if (token.expired) return refuse("token_expired", "the public access token has expired");
  if (token.max_uses !== null && token.uses >= token.max_uses) return denied("the uses of the token are exhausted");
  return undefined;
}
