import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Role } from "@helmr/protocol/shared";
import { isRefusal } from "../outcome.ts";
import { type Accounts, type Tenant, addMember, addTenant, openAccounts } from "./accounts.fixture.ts";
import { changeMemberRole, listMembers, removeMember } from "./change-members.ts";
import { findLoginSession } from "./find-credential.ts";
import { openLoginSession } from "./open-login-session.ts";

let accounts: Accounts;
let tenant: Tenant;
beforeAll(async () => {
  accounts = await openAccounts();
});
beforeEach(async () => {
  await accounts.sql("truncate organizations, users cascade");
  tenant = await addTenant(accounts.context);
  accounts.hinted.length = 0;
});
afterAll(() => accounts.close());

const member = (email: string, role: Role) => addMember(accounts, tenant, { email, role });
const change = (userId: string, expectedRole: Role, role: Role, orgId = tenant.orgId) =>
  changeMemberRole(accounts.context.db, accounts.context.hints, { orgId, userId, role, expectedRole });
const remove = (userId: string, orgId = tenant.orgId) => removeMember(accounts.context.db, accounts.context.hints, orgId, userId);
const activeOwners = async () => (await accounts.sql("select 1 from members where role = 'owner' and status = 'active'")).length;

test("listMembers() shows everybody of the organization, removed ones too", async () => {
  const userId = await member("dev@example.com", "developer");
  await remove(userId);
  expect(await listMembers(accounts.context.db, tenant.orgId)).toEqual([
    {
      user_id: tenant.ownerId,
      display_name: "",
      email: "owner@acme.example.com",
      role: "owner",
      status: "active",
      created_at: expect.any(String),
      updated_at: expect.any(String),
    },
    {
      user_id: userId,
      display_name: "",
      email: "dev@example.com",
      role: "developer",
      status: "disabled",
      created_at: expect.any(String),
      updated_at: expect.any(String),
      disabled_at: expect.any(String),
    },
  ]);
});

describe("changeMemberRole()", () => {
  test("changes a role that is still the expected one, and tells everybody", async () => {
    const userId = await member("dev@example.com", "developer");
    expect(await change(userId, "developer", "viewer")).toMatchObject({ user_id: userId, role: "viewer" });
    expect(accounts.hinted).toEqual(["credentials"]);
    expect(await change(userId, "developer", "admin")).toMatchObject({ status: 409 });
  });

  test("of two who change from the same role one succeeds", async () => {
    const userId = await member("dev@example.com", "developer");
    const outcomes = await Promise.all([change(userId, "developer", "viewer"), change(userId, "developer", "admin")]);
    expect(outcomes.filter(isRefusal)).toMatchObject([{ status: 409 }]);
  });

  test("the last owner stays, a second one may go", async () => {
    expect(await change(tenant.ownerId, "owner", "admin")).toMatchObject({ status: 409 });
    expect(await change(tenant.ownerId, "owner", "owner")).toMatchObject({ role: "owner" });
    await member("second@example.com", "owner");
    expect(await change(tenant.ownerId, "owner", "admin")).toMatchObject({ role: "admin" });
  });

  test("a removed owner does not count", async () => {
    await remove(await member("second@example.com", "owner"));
    expect(await change(tenant.ownerId, "owner", "viewer")).toMatchObject({ status: 409 });
  });

  test("somebody of another organization, or nobody, is 404", async () => {
    const foreign = await addTenant(accounts.context, "beta");
    expect(await change(foreign.ownerId, "owner", "admin")).toMatchObject({ status: 404 });
    expect(await change(tenant.projectId, "owner", "admin")).toMatchObject({ status: 404 });
  });
});

describe("removeMember()", () => {
  test("ends the membership and every login session at once; twice is the same", async () => {
    const { db } = accounts.context;
    const userId = await member("dev@example.com", "developer");
    const token = await openLoginSession(db, userId, "browser");
    expect(await findLoginSession(db, token)).toMatchObject({ membership: { role: "developer" } });
    expect(await remove(userId)).toBe("removed");
    expect(accounts.hinted).toEqual(["credentials"]);
    expect(await findLoginSession(db, token)).toBeUndefined();
    expect(await remove(userId)).toBe("removed");
  });

  test("the last owner stays; a foreign member is 404", async () => {
    expect(await remove(tenant.ownerId)).toMatchObject({ status: 409 });
    expect(await activeOwners()).toBe(1);
    const foreign = await addTenant(accounts.context, "beta");
    expect(await remove(foreign.ownerId)).toMatchObject({ status: 404 });
  });
});

test("whatever owners do to each other at once, one is left", async () => {
  for (let round = 0; round < 6; round += 1) {
    await accounts.sql("truncate organizations, users cascade");
    tenant = await addTenant(accounts.context);
    const owners = [tenant.ownerId, ...(await Promise.all(["b", "c", "d"].map((name) => member(`${name}@example.com`, "owner"))))];
    const outcomes = await Promise.all(
      owners.map((userId, index) => (index % 2 === round % 2 ? change(userId, "owner", "viewer") : remove(userId))),
    );
    expect(outcomes.filter(isRefusal)).toMatchObject([{ status: 409 }]);
    expect(await activeOwners()).toBe(1);
  }
});
