/** Invitations (http §15.5). The link is in the answer and in a mail to the invited address; accepting it is part of a login (`admit-user.ts`). */
import type { Invitation, InvitationCreated } from "@helmr/protocol/api";
import { type Role, credentialPrefix } from "@helmr/protocol/shared";
import { required } from "../assert.ts";
import { credentialHash, isIssuedForm, issueCredential } from "../credentials.ts";
import { invitationMail } from "../mail/texts.ts";
import { newId } from "../new-id.ts";
import { type Refusal, notFound, refusal, refuseLogin } from "../outcome.ts";
import type { Db, Queryable } from "../store/db.ts";
import {
  type InvitationRow,
  invitationByToken,
  invitationInsert,
  invitationList,
  invitationLock,
  invitationRevoke,
} from "../store/invitation.ts";
import { memberActiveByEmail, organizationGet } from "../store/organization.ts";
import type { AccountContext } from "../account-context.ts";
import { accountLimits } from "../account-limits.ts";

export interface Invite {
  orgId: string;
  inviterId: string;
  email: string;
  role: Role;
  expiresInDays: number;
}

export async function listInvitations(db: Queryable, orgId: string): Promise<{ invitations: Invitation[]; has_more: boolean }> {
  const rows = await invitationList(db, orgId, accountLimits.listMax + 1);
  return { invitations: rows.slice(0, accountLimits.listMax).map(invitationView), has_more: rows.length > accountLimits.listMax };
}

export async function inviteMember(
  { db, outbox, settings }: Pick<AccountContext, "db" | "outbox" | "settings">,
  invite: Invite,
): Promise<InvitationCreated | Refusal> {
  if (await memberActiveByEmail(db, invite.orgId, invite.email)) return refusal(409, `${invite.email} is already a member`);
  const { text, hash } = issueCredential(credentialPrefix.invitation);
  const inserted = await invitationInsert(db, {
    id: newId(),
    org_id: invite.orgId,
    token_hash: hash,
    email: invite.email,
    role: invite.role,
    invited_by_user_id: invite.inviterId,
    expires_in_days: invite.expiresInDays,
  });
  const row = required(inserted, "An insert returns its row");
  const url = `${settings.publicUrl}/invite?token=${text}`;
  const organization = await organizationGet(db, invite.orgId);
  outbox.add(invitationMail({ to: invite.email, url, organization: organization?.name ?? "Helmr", expiresInDays: invite.expiresInDays }));
  return { ...invitationView(row), invite_url: url };
}

/** Revoking twice changes nothing; one that was accepted cannot be revoked, the member is removed instead. */
export async function revokeInvitation(db: Db, revoke: { orgId: string; id: string; userId: string }): Promise<Refusal | "revoked"> {
  return db.tx(async (tx) => {
    const row = await invitationLock(tx, revoke.id);
    if (row?.org_id !== revoke.orgId) return notFound("invitation not found");
    if (row.status === "accepted") return notFound("the invitation was accepted; remove the member instead");
    if (row.status !== "revoked") await invitationRevoke(tx, row.id, revoke.userId);
    return "revoked" as const;
  });
}

/** The pending invitation of a token, for the start of a login. */
export async function findInvitation(db: Queryable, token: string): Promise<InvitationRow | Refusal> {
  const row = isIssuedForm(token, credentialPrefix.invitation) ? await invitationByToken(db, credentialHash(token)) : undefined;
  return row?.status === "pending" ? row : refuseLogin("invalid_token", "the invitation is not valid (any more); ask for a new one");
}

function invitationView(row: InvitationRow): Invitation {
  return {
    id: row.id,
    email: row.email,
    role: row.role,
    status: row.status,
    ...(row.invited_by_user_id === null ? {} : { invited_by_user_id: row.invited_by_user_id }),
    ...(row.accepted_by_user_id === null ? {} : { accepted_by_user_id: row.accepted_by_user_id }),
    ...(row.revoked_by_user_id === null ? {} : { revoked_by_user_id: row.revoked_by_user_id }),
    created_at: row.created_at,
    expires_at: row.expires_at,
    ...(row.accepted_at === null ? {} : { accepted_at: row.accepted_at }),
    ...(row.revoked_at === null ? {} : { revoked_at: row.revoked_at }),
  };
}
