/**
 * Login by a link in a mail (http §15.2). A start answers the same for every address, after the same work: whether somebody is known here is
 * nobody's business. The mail leaves after the answer (`outbox.ts`).
 */
import type { MagicLinkSent } from "@helmr/protocol/api";
import { credentialPrefix } from "@helmr/protocol/shared";
import type { AccountSettings } from "../account-settings.ts";
import { credentialHash, isIssuedForm, issueCredential } from "../credentials.ts";
import { magicLinkMail } from "../mail/texts.ts";
import { newId } from "../new-id.ts";
import { type Refusal, isRefusal, refuseLogin } from "../outcome.ts";
import { magicLinkCountRecent, magicLinkInsert, magicLinkLockAddress, magicLinkUse } from "../store/login-link.ts";
import { userByEmail } from "../store/user.ts";
import type { AccountContext } from "../account-context.ts";
import { accountLimits, credentialsTopic } from "../account-limits.ts";
import { admitUser, isOpen } from "./admit-user.ts";
import { findInvitation } from "./invite-members.ts";
import { openLoginSession } from "./open-login-session.ts";

type MagicLinks = Pick<AccountContext, "db" | "hints" | "outbox" | "settings">;

export interface LoggedIn {
  sessionToken: string;
  redirectAfter: string;
}

export async function startMagicLink(context: MagicLinks, start: { email: string; next: string | undefined }): Promise<MagicLinkSent> {
  const { db, settings } = context;
  const [user, open] = [await userByEmail(db, start.email), await isOpen(db, settings)];
  const known = user !== undefined || open;
  const url = await sendLink(context, { ...start, invitationId: null, known });
  return sent(settings, start.email, url);
}

export async function startMagicLinkByInvitation(context: MagicLinks, token: string): Promise<MagicLinkSent | Refusal> {
  const invitation = await findInvitation(context.db, token);
  if (isRefusal(invitation)) return invitation;
  const url = await sendLink(context, { email: invitation.email, next: undefined, invitationId: invitation.id, known: true });
  return sent(context.settings, invitation.email, url);
}

/** Uses the link up. The token is good once, whatever comes of the login. */
export async function finishMagicLink({ db, hints, settings }: MagicLinks, token: string): Promise<LoggedIn | Refusal> {
  const invalidLink = refuseLogin("invalid_token", "the login link is not valid (any more); ask for a new one");
  if (!isIssuedForm(token, credentialPrefix.magicLink)) return invalidLink;
  return db.tx(async (tx) => {
    const link = await magicLinkUse(tx, credentialHash(token));
    if (!link) return invalidLink;
    const admission = await admitUser(tx, settings, { email: link.email }, link.invitation_id);
    if (isRefusal(admission)) return admission;
    if (admission.joined) tx.afterCommit(() => hints.send(credentialsTopic));
    const sessionToken = await openLoginSession(tx, admission.userId, "browser");
    return { sessionToken, redirectAfter: link.next_path ?? "/" };
  });
}

/** The link, or nothing when the address is unknown or has had its share for now. Every case costs the same statements. */
async function sendLink(
  { db, outbox, settings }: MagicLinks,
  link: { email: string; next: string | undefined; invitationId: string | null; known: boolean },
): Promise<string | undefined> {
  const { text, hash } = issueCredential(credentialPrefix.magicLink);
  const stored = await db.tx(async (tx) => {
    await magicLinkLockAddress(tx, link.email);
    const recent = await magicLinkCountRecent(tx, link.email, accountLimits.magicLinkWindowMs);
    if (recent >= accountLimits.magicLinksPerWindow) return false;
    await magicLinkInsert(tx, {
      id: newId(),
      token_hash: hash,
      email: link.email,
      next_path: link.next ?? null,
      invitation_id: link.invitationId,
      usable: link.known,
      lifetime_ms: accountLimits.magicLinkMs,
    });
    return true;
  });
  if (!stored || !link.known) return undefined;
  const url = `${settings.publicUrl}/auth/magic-link/callback?token=${text}`;
  outbox.add(magicLinkMail({ to: link.email, url }));
  return url;
}

function sent(settings: AccountSettings, email: string, url: string | undefined): MagicLinkSent {
  return { sent: true, email, ...(settings.magicLinkDebug && url !== undefined ? { debug_url: url } : {}) };
}
