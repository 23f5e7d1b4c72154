/** Every way to log in ends here: a row with the hash of a token that its owner gets once. */
import { credentialPrefix } from "@helmr/protocol/shared";
import { credentialHash, issueCredential } from "../credentials.ts";
import type { Hints } from "../hints.ts";
import { newId } from "../new-id.ts";
import type { Db, Queryable } from "../store/db.ts";
import { loginSessionInsert, loginSessionRevoke } from "../store/login-session.ts";
import { accountLimits, credentialsTopic } from "../account-limits.ts";

/** Returns the token. Runs on the transaction of the login, so that a used link and its session are made together. */
export async function openLoginSession(on: Queryable, userId: string, kind: "browser" | "device"): Promise<string> {
  const { text, hash } = issueCredential(credentialPrefix.loginSession);
  await loginSessionInsert(on, { id: newId(), token_hash: hash, user_id: userId, kind, lifetime_ms: accountLimits.loginSessionMs });
  return text;
}

/** Unknown tokens are ignored: whoever logs out is logged out afterwards. */
export async function closeLoginSessions(db: Db, hints: Hints, tokens: readonly string[]): Promise<void> {
  for (const token of tokens) await loginSessionRevoke(db, credentialHash(token));
  if (tokens.length > 0) hints.send(credentialsTopic);
}
