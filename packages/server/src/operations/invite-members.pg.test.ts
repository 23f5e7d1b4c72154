import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InvitationCreated } from "@helmr/protocol/api";
import { type Accounts, type Tenant, addMember, addTenant, openAccounts } from "./accounts.fixture.ts";
import { findInvitation, inviteMember, listInvitations, revokeInvitation } from "./invite-members.ts";

let accounts: Accounts;
let tenant: Tenant;
beforeAll(async () => {
  accounts = await openAccounts();
  tenant = await addTenant(accounts.context);
});
afterAll(() => accounts.close());

const invite = async (email: string, expiresInDays = 7) =>
  (await inviteMember(accounts.context, {
    orgId: tenant.orgId,
    inviterId: tenant.ownerId,
    email,
    role: "developer",
    expiresInDays,
  })) as InvitationCreated;
const tokenOf = (invitation: InvitationCreated) => new URL(invitation.invite_url).searchParams.get("token") ?? "";
const revoke = (id: string, orgId = tenant.orgId) => revokeInvitation(accounts.context.db, { orgId, id, userId: tenant.ownerId });

describe("inviteMember()", () => {
  test("gives the link, mails it to the address, stores the hash only", async () => {
    const invitation = await invite("new@example.com", 3);
    expect(invitation).toMatchObject({
      email: "new@example.com",
      role: "developer",
      status: "pending",
      invited_by_user_id: tenant.ownerId,
    });
    expect(Date.parse(invitation.expires_at) - Date.parse(invitation.created_at)).toBe(3 * 86_400_000);
    expect(invitation.invite_url).toMatch(/^http:\/\/localhost:8787\/invite\?token=hlmr_inv_[0-9A-Za-z]{49}$/);
    await accounts.context.outbox.idle();
    expect(accounts.mails.at(-1)).toMatchObject({ to: "new@example.com", text: expect.stringContaining(invitation.invite_url) });
    const rows = await accounts.sql("select * from invitations");
    expect(JSON.stringify(rows)).not.toContain(tokenOf(invitation));
  });

  test("an active member is 409, a removed one may be invited again", async () => {
    const userId = await addMember(accounts, tenant, { email: "member@example.com", role: "viewer" });
    expect(await invite("member@example.com")).toMatchObject({ status: 409 });
    await accounts.sql("update members set status = 'disabled' where user_id = $1", [userId]);
    expect(await invite("member@example.com")).toMatchObject({ status: "pending" });
  });
});

describe("findInvitation()", () => {
  test("finds a pending one by its token", async () => {
    const invitation = await invite("find@example.com");
    expect(await findInvitation(accounts.context.db, tokenOf(invitation))).toMatchObject({ id: invitation.id, email: "find@example.com" });
  });

  test("expired, revoked, unknown and malformed tokens are invalid_token", async () => {
    const [expired, revoked] = [await invite("x@example.com"), await invite("y@example.com")];
    await accounts.sql("update invitations set expires_at = now() where id = $1", [expired.id]);
    await revoke(revoked.id);
    for (const token of [tokenOf(expired), tokenOf(revoked), "", "hlmr_inv_", `${tokenOf(expired).slice(0, -1)}x`]) {
      expect(await findInvitation(accounts.context.db, token)).toMatchObject({ status: 401, errorKind: "invalid_token" });
    }
  });
});

describe("revokeInvitation()", () => {
  test("ends a pending one, twice is the same, foreign and accepted ones are 404", async () => {
    const invitation = await invite("r@example.com");
    const foreign = await addTenant(accounts.context, "beta");
    expect(await revoke(invitation.id, foreign.orgId)).toMatchObject({ status: 404 });
    expect(await revoke(invitation.id)).toBe("revoked");
    expect(await revoke(invitation.id)).toBe("revoked");
    const accepted = await invite("s@example.com");
    await accounts.sql("update invitations set status = 'accepted' where id = $1", [accepted.id]);
    expect(await revoke(accepted.id)).toMatchObject({ status: 404 });
  });
});

test("listInvitations() shows every status, newest first, at most 200", async () => {
  const { invitations, has_more } = await listInvitations(accounts.context.db, tenant.orgId);
  expect(new Set(invitations.map((invitation) => invitation.status))).toEqual(new Set(["pending", "expired", "revoked", "accepted"]));
  expect(has_more).toBe(false);
  expect(invitations.map((invitation) => invitation.created_at)).toEqual(
    invitations
      .map((invitation) => invitation.created_at)
      .sort()
      .reverse(),
  );
  expect(invitations.some((invitation) => "invite_url" in invitation)).toBe(false);
  await accounts.sql(
    `insert into invitations (id, org_id, token_hash, email, role, status, expires_at)
     select gen_random_uuid(), $1, sha256(n::text::bytea), 'm@example.com', 'viewer', 'pending', now() from generate_series(1, 200) n`,
    [tenant.orgId],
  );
  const many = await listInvitations(accounts.context.db, tenant.orgId);
  expect(many.invitations).toHaveLength(200);
  expect(many.has_more).toBe(true);
});
