/**
 * From a proven identity (an address that can be read, a GitHub account) to a user who may log in. Runs in the transaction of the login.
 *
 * Somebody is admitted when they are known, when they hold an invitation for their address, when there is no organization yet (the first user
 * signs in, then gives the setup token), or in managed mode. Lock order: invitation → user → members.
 */
import type { AccountSettings } from "../account-settings.ts";
import { required } from "../assert.ts";
import { newId } from "../new-id.ts";
import { type Refusal, isRefusal, refuseLogin } from "../outcome.ts";
import type { Queryable, Tx } from "../store/db.ts";
import { type InvitationRow, invitationAccept, invitationLock } from "../store/invitation.ts";
import { memberEnable, memberInsertNew, membershipsLock, organizationExists } from "../store/organization.ts";
import { type UserRow, userByEmail, userByGithub, userInsert, userLinkGithub } from "../store/user.ts";

export interface Identity {
  /** Lower case, proven. */
  email: string;
  github?: { id: number; name: string; imageUrl: string };
}

export interface Admission {
  userId: string;
  /** The user's membership changed: what processes remember of their credentials is stale. */
  joined: boolean;
}

export async function admitUser(
  tx: Tx,
  settings: AccountSettings,
  identity: Identity,
  invitationId: string | null,
): Promise<Admission | Refusal> {
  const invitation = invitationId === null ? undefined : await usableInvitation(tx, invitationId, identity);
  if (invitation && isRefusal(invitation)) return invitation;
  const user = (await findUser(tx, identity)) ?? (invitation || (await isOpen(tx, settings)) ? await createUser(tx, identity) : undefined);
  if (!user) return refuseLogin("no_account", `there is no account for ${identity.email}; ask an owner for an invitation`);
  if (identity.github) {
    const { id, name, imageUrl } = identity.github;
    await userLinkGithub(tx, { id: user.id, github_id: id, display_name: name, profile_image_url: imageUrl });
  }
  const memberships = await membershipsLock(tx, user.id);
  if (invitation) return join(tx, invitation, user, memberships);
  if (memberships.length > 0 && memberships.every((membership) => membership.status === "disabled")) {
    return refuseLogin("disabled_member", "this account was removed from the organization");
  }
  return { userId: user.id, joined: false };
}

/** Whether anybody may sign in: nobody is there yet who could invite. */
export async function isOpen(on: Queryable, settings: AccountSettings): Promise<boolean> {
  return settings.mode === "managed" || !(await organizationExists(on));
}

async function usableInvitation(tx: Tx, id: string, identity: Identity): Promise<InvitationRow | Refusal> {
  const invitation = await invitationLock(tx, id);
  if (invitation?.status !== "pending") return refuseLogin("invalid_token", "the invitation is no longer valid; ask for a new one");
  if (invitation.email !== identity.email) return refuseLogin("wrong_account", "the invitation is for another e-mail address");
  return invitation;
}

/** The address decides; a GitHub account that we know stays the same person when its address changed. */
async function findUser(tx: Tx, identity: Identity): Promise<UserRow | undefined> {
  return (await userByEmail(tx, identity.email)) ?? (identity.github ? await userByGithub(tx, identity.github.id) : undefined);
}

async function createUser(tx: Tx, identity: Identity): Promise<UserRow> {
  const created = await userInsert(tx, {
    id: newId(),
    email: identity.email,
    display_name: identity.github?.name ?? "",
    profile_image_url: identity.github?.imageUrl ?? "",
    github_id: identity.github?.id ?? null,
    local_user: false,
  });
  // Somebody else made the same user a moment ago.
  return created ?? required(await findUser(tx, identity), "An insert that conflicts has found a user");
}

/** The API knows one organization per user, so an active membership anywhere stands in the way. A removed member may come back by invitation. */
async function join(
  tx: Tx,
  invitation: InvitationRow,
  user: UserRow,
  memberships: { org_id: string; status: "active" | "disabled" }[],
): Promise<Admission | Refusal> {
  if (memberships.some((membership) => membership.status === "active")) {
    return refuseLogin("already_member", "this account already belongs to an organization");
  }
  const row = { org_id: invitation.org_id, user_id: user.id, role: invitation.role };
  if (memberships.some((membership) => membership.org_id === invitation.org_id)) await memberEnable(tx, row);
  else await memberInsertNew(tx, row);
  await invitationAccept(tx, invitation.id, user.id);
  return { userId: user.id, joined: true };
}
