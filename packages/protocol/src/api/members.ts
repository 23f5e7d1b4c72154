/** Members and invitations of the organization (http §15.5). */
import * as z from "zod";
import { integer, oneOf, type Role, uuidParam } from "../shared/index.ts";
import { email } from "./auth.ts";
import { endpoint } from "./endpoint.ts";
import { exampleId, exampleTime, id, timestamp } from "./fields.ts";

export const roles = ["owner", "admin", "developer", "viewer"] as const satisfies readonly Role[];
export const memberStatuses = ["active", "disabled"] as const;

export const memberView = z
  .object({
    user_id: id,
    display_name: z.string(),
    email: z.string().optional(),
    role: z.enum(roles),
    status: z.enum(memberStatuses),
    created_at: timestamp,
    updated_at: timestamp,
    disabled_at: timestamp.optional(),
  })
  .meta({ id: "Member" });
export type Member = z.output<typeof memberView>;

/** Changes the role only if it still is `expected_role`. */
export const memberUpdateBody = z.strictObject({ role: oneOf(roles), expected_role: oneOf(roles) });
export type MemberUpdateBody = z.output<typeof memberUpdateBody>;

export const invitationStatuses = ["pending", "accepted", "revoked", "expired"] as const;

export const invitationView = z
  .object({
    id,
    email: z.string(),
    role: z.enum(roles),
    status: z.enum(invitationStatuses),
    invited_by_user_id: id.optional(),
    accepted_by_user_id: id.optional(),
    revoked_by_user_id: id.optional(),
    created_at: timestamp,
    expires_at: timestamp,
    accepted_at: timestamp.optional(),
    revoked_at: timestamp.optional(),
  })
  .meta({ id: "Invitation" });
export type Invitation = z.output<typeof invitationView>;

export const invitationCreatedView = invitationView.extend({ invite_url: z.string() }).meta({ id: "InvitationCreated" });
export type InvitationCreated = z.output<typeof invitationCreatedView>;

export const invitationCreateBody = z.strictObject({ email, role: oneOf(roles), expires_in_days: integer(1, 30).default(7) });
export type InvitationCreateBody = z.output<typeof invitationCreateBody>;
export type InvitationCreateInput = z.input<typeof invitationCreateBody>;

const exampleMember: Member = {
  user_id: exampleId.user,
  display_name: "Ada",
  email: "ada@example.com",
  role: "developer",
  status: "active",
  created_at: exampleTime,
  updated_at: exampleTime,
};
const exampleInvitation: Invitation = {
  id: exampleId.invitation,
  email: "grace@example.com",
  role: "developer",
  status: "pending",
  invited_by_user_id: exampleId.user,
  created_at: exampleTime,
  expires_at: "2026-06-13T09:30:00.125Z",
};

const memberParams = z.object({ userID: uuidParam("user") });
const manage = { family: "account", permission: "members.manage" } as const;

export const memberEndpoints = {
  list: endpoint({
    id: "members.list",
    method: "GET",
    path: "/members",
    ...manage,
    summary: "List the members of the organization",
    response: z.object({ members: z.array(memberView) }),
    statuses: [200],
    example: { response: { members: [exampleMember] } },
  }),
  update: endpoint({
    id: "members.update",
    method: "PATCH",
    path: "/members/{userID}",
    ...manage,
    summary: "Change the role of a member",
    params: memberParams,
    body: memberUpdateBody,
    response: memberView,
    statuses: [200],
    errorStatuses: [409],
    example: { body: { role: "developer", expected_role: "viewer" }, response: exampleMember },
  }),
  delete: endpoint({
    id: "members.delete",
    method: "DELETE",
    path: "/members/{userID}",
    ...manage,
    summary: "Remove a member",
    params: memberParams,
    statuses: [204],
    errorStatuses: [409],
  }),
};

export const invitationEndpoints = {
  list: endpoint({
    id: "invitations.list",
    method: "GET",
    path: "/invitations",
    ...manage,
    summary: "List invitations",
    response: z.object({ invitations: z.array(invitationView), has_more: z.boolean() }),
    statuses: [200],
    example: { response: { invitations: [exampleInvitation], has_more: false } },
  }),
  create: endpoint({
    id: "invitations.create",
    method: "POST",
    path: "/invitations",
    ...manage,
    summary: "Invite somebody by mail",
    body: invitationCreateBody,
    response: invitationCreatedView,
    statuses: [201],
    errorStatuses: [409],
    example: {
      body: { email: "grace@example.com", role: "developer" },
      response: { ...exampleInvitation, invite_url: "https://helmr.example.com/invite?token=hlmr_inv_0f1e2d" },
    },
  }),
  delete: endpoint({
    id: "invitations.delete",
    method: "DELETE",
    path: "/invitations/{id}",
    ...manage,
    summary: "Revoke an invitation",
    params: z.object({ id: uuidParam("invitation") }),
    statuses: [204],
  }),
};
