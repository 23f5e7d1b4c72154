/** The one-time login link of a single-machine install (http §15.2). Each start of the server prints a new one, which takes the place of the last. */
import { credentialPrefix } from "@helmr/protocol/shared";
import { credentialHash, isIssuedForm, issueCredential } from "../credentials.ts";
import { newId } from "../new-id.ts";
import { type Refusal, refuseLogin } from "../outcome.ts";
import type { Db, Tx } from "../store/db.ts";
import { localLinkDeleteAll, localLinkInsert, localLinkUse } from "../store/login-link.ts";
import { userLocal } from "../store/user.ts";
import { accountLimits } from "../account-limits.ts";
import { openLoginSession } from "./open-login-session.ts";

/** Returns the token of the new link. */
export async function issueLocalLink(tx: Tx): Promise<string> {
  const { text, hash } = issueCredential(credentialPrefix.localLogin);
  await localLinkDeleteAll(tx);
  await localLinkInsert(tx, { id: newId(), token_hash: hash, lifetime_ms: accountLimits.localLinkMs });
  return text;
}

/** The token of a new session of the local user. */
export async function useLocalLink(db: Db, token: string): Promise<string | Refusal> {
  const invalidLink = refuseLogin("invalid_token", "the login link is wrong, used or too old; restart the server to get a new one");
  if (!isIssuedForm(token, credentialPrefix.localLogin)) return invalidLink;
  return db.tx(async (tx) => {
    const user = await userLocal(tx);
    if (!user || !(await localLinkUse(tx, credentialHash(token)))) return invalidLink;
    return openLoginSession(tx, user.id, "browser");
  });
}
