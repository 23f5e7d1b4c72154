import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Invitation } from "@helmr/protocol/api";
import { isRefusal } from "../outcome.ts";
import { type Accounts, type Tenant, addMember, addTenant, addUser, openAccounts } from "./accounts.fixture.ts";
import { type Admission, type Identity, admitUser } from "./admit-user.ts";
import { inviteMember } from "./invite-members.ts";

let accounts: Accounts;
beforeAll(async () => {
  accounts = await openAccounts();
});
beforeEach(() => accounts.sql("truncate organizations, users cascade"));
afterAll(() => accounts.close());

const admit = (identity: Identity, invitationId: string | null = null, settings = accounts.context.settings) =>
  accounts.context.db.tx((tx) => admitUser(tx, settings, identity, invitationId));
const invite = async (tenant: Tenant, email: string) =>
  (
    (await inviteMember(accounts.context, {
      orgId: tenant.orgId,
      inviterId: tenant.ownerId,
      email,
      role: "viewer",
      expiresInDays: 1,
    })) as Invitation
  ).id;
const github = { id: 4711, name: "Ada", imageUrl: "https://img.example.com/a" };

describe("without an organization", () => {
  test("anybody becomes a user, once", async () => {
    const first = (await admit({ email: "a@example.com" })) as Admission;
    expect(await admit({ email: "a@example.com" })).toEqual({ userId: first.userId, joined: false });
  });

  test("two logins of one new address at once make one user", async () => {
    const admissions = await Promise.all(Array.from({ length: 6 }, () => admit({ email: "a@example.com", github })));
    expect(new Set(admissions.map((admission) => (admission as Admission).userId)).size).toBe(1);
  });
});

describe("with an organization", () => {
  let tenant: Tenant;
  beforeEach(async () => {
    tenant = await addTenant(accounts.context);
  });

  test("an unknown address has no account, except in managed mode", async () => {
    expect(await admit({ email: "x@example.com" })).toMatchObject({ status: 403, errorKind: "no_account" });
    expect(await accounts.sql("select 1 from users where email = 'x@example.com'")).toEqual([]);
    expect(isRefusal(await admit({ email: "x@example.com" }, null, { ...accounts.context.settings, mode: "managed" }))).toBe(false);
  });

  test("an invitation makes user and membership", async () => {
    const invitationId = await invite(tenant, "new@example.com");
    const admission = (await admit({ email: "new@example.com" }, invitationId)) as Admission;
    expect(admission.joined).toBe(true);
    expect(await accounts.sql("select role, status from members where user_id = $1", [admission.userId])).toEqual([
      { role: "viewer", status: "active" },
    ]);
    expect(await accounts.sql("select status, accepted_by_user_id from invitations")).toEqual([
      { status: "accepted", accepted_by_user_id: admission.userId },
    ]);
  });

  test("an invitation is good for its address only, once, and in time", async () => {
    const invitationId = await invite(tenant, "new@example.com");
    expect(await admit({ email: "other@example.com" }, invitationId)).toMatchObject({ status: 403, errorKind: "wrong_account" });
    expect(await accounts.sql("select 1 from users where email = 'other@example.com'")).toEqual([]);
    await accounts.sql("update invitations set expires_at = now()");
    expect(await admit({ email: "new@example.com" }, invitationId)).toMatchObject({ errorKind: "invalid_token" });
    await accounts.sql("update invitations set expires_at = now() + interval '1 day'");
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => admit({ email: "new@example.com" }, invitationId)));
    expect(outcomes.filter((outcome) => !isRefusal(outcome))).toHaveLength(1);
    expect(outcomes.filter(isRefusal).every((outcome) => outcome.errorKind === "invalid_token")).toBe(true);
  });

  test("a member who is invited again is already_member and the invitation stays pending", async () => {
    await addMember(accounts, tenant, { email: "m@example.com", role: "viewer" });
    await accounts.sql("update users set email = 'm2@example.com' where email = 'm@example.com'");
    const invitationId = await invite(tenant, "m@example.com");
    await accounts.sql("update users set email = 'm@example.com' where email = 'm2@example.com'");
    expect(await admit({ email: "m@example.com" }, invitationId)).toMatchObject({ status: 409, errorKind: "already_member" });
    expect(await accounts.sql("select status from invitations")).toEqual([{ status: "pending" }]);
  });

  test("a removed member cannot log in and comes back by invitation", async () => {
    const userId = await addMember(accounts, tenant, { email: "m@example.com", role: "owner" });
    await accounts.sql("update members set status = 'disabled', disabled_at = now() where user_id = $1", [userId]);
    expect(await admit({ email: "m@example.com" })).toMatchObject({ status: 403, errorKind: "disabled_member" });
    const invitationId = await invite(tenant, "m@example.com");
    expect(await admit({ email: "m@example.com" }, invitationId)).toEqual({ userId, joined: true });
    expect(await accounts.sql("select role, status, disabled_at from members where user_id = $1", [userId])).toEqual([
      { role: "viewer", status: "active", disabled_at: null },
    ]);
  });
});

describe("a GitHub account", () => {
  const user = (id: string) => accounts.sql("select email, github_id::int, display_name, profile_image_url from users where id = $1", [id]);

  test("is linked to the user of its address and fills in what is missing", async () => {
    const id = await addUser(accounts.context, "a@example.com");
    expect(await admit({ email: "a@example.com", github })).toEqual({ userId: id, joined: false });
    expect(await user(id)).toEqual([{ email: "a@example.com", github_id: 4711, display_name: "Ada", profile_image_url: github.imageUrl }]);
    await accounts.sql("update users set display_name = 'Own name'");
    await admit({ email: "a@example.com", github: { ...github, name: "Other", imageUrl: "" } });
    expect(await user(id)).toMatchObject([{ display_name: "Own name", profile_image_url: github.imageUrl }]);
  });

  test("whose address changed is still the same person; the address of somebody else decides", async () => {
    const { userId } = (await admit({ email: "a@example.com", github })) as Admission;
    const other = await addUser(accounts.context, "b@example.com");
    await addTenant(accounts.context);
    expect(await admit({ email: "new@example.com", github })).toEqual({ userId, joined: false });
    expect(await admit({ email: "b@example.com", github })).toEqual({ userId: other, joined: false });
    expect(await user(userId)).toMatchObject([{ github_id: 4711 }]);
    expect(await user(other)).toMatchObject([{ github_id: null }]);
  });
});
