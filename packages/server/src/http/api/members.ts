/** Members and invitations (http §15.5). */
import { invitationEndpoints, memberEndpoints } from "@helmr/protocol/api";
import type { AccountContext } from "../../account-context.ts";
import { changeMemberRole, listMembers, removeMember } from "../../operations/change-members.ts";
import { inviteMember, listInvitations, revokeInvitation } from "../../operations/invite-members.ts";
import { isRefusal } from "../../outcome.ts";
import { memberOf } from "../auth/authenticate.ts";
import { type Routes, answer, neverStored } from "../route.ts";

export function addMemberRoutes(routes: Routes, { db, hints }: AccountContext): void {
  routes.add(memberEndpoints.list, async ({ actor }) => {
    const member = memberOf(actor);
    return isRefusal(member) ? member : { body: { members: await listMembers(db, member.orgId) } };
  });
  routes.add(memberEndpoints.update, async ({ actor, params, body }) => {
    const member = memberOf(actor);
    if (isRefusal(member)) return member;
    const change = { orgId: member.orgId, userId: params.userID, role: body.role, expectedRole: body.expected_role };
    return answer(await changeMemberRole(db, hints, change));
  });
  routes.add(memberEndpoints.delete, async ({ actor, params }) => {
    const member = memberOf(actor);
    if (isRefusal(member)) return member;
    const removed = await removeMember(db, hints, member.orgId, params.userID);
    return isRefusal(removed) ? removed : {};
  });
}

export function addInvitationRoutes(routes: Routes, context: AccountContext): void {
  const { db } = context;
  routes.add(invitationEndpoints.list, async ({ actor }) => {
    const member = memberOf(actor);
    return isRefusal(member) ? member : { body: await listInvitations(db, member.orgId) };
  });
  routes.add(invitationEndpoints.create, async ({ actor, body }) => {
    const member = memberOf(actor);
    if (isRefusal(member)) return member;
    const invite = {
      orgId: member.orgId,
      inviterId: member.userId,
      email: body.email,
      role: body.role,
      expiresInDays: body.expires_in_days,
    };
    const invitation = await inviteMember(context, invite);
    return isRefusal(invitation) ? invitation : { body: invitation, headers: neverStored };
  });
  routes.add(invitationEndpoints.delete, async ({ actor, params }) => {
    const member = memberOf(actor);
    if (isRefusal(member)) return member;
    const revoked = await revokeInvitation(db, { orgId: member.orgId, id: params.id, userId: member.userId });
    return isRefusal(revoked) ? revoked : {};
  });
}
