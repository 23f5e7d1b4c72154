import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { type Accounts, addUser, openAccounts } from "./accounts.fixture.ts";
import { createOrganization, readMe } from "./create-organization.ts";

let accounts: Accounts;
beforeAll(async () => {
  accounts = await openAccounts();
});
afterEach(() => accounts.sql("truncate organizations, users cascade"));
afterAll(() => accounts.close());

const create = (userId: string, setupToken: string | undefined, slug = "acme") =>
  createOrganization(accounts.context, { userId, slug, name: "Acme", setupToken });

describe("createOrganization() in self-hosted mode", () => {
  test("makes the caller the owner", async () => {
    const userId = await addUser(accounts.context, "a@example.com");
    const organization = await create(userId, "s3tup-token");
    expect(organization).toEqual({ id: expect.any(String), slug: "acme", name: "Acme", created_at: expect.stringMatching(/Z$/) });
    expect(await accounts.sql("select role, status from members where user_id = $1", [userId])).toEqual([
      { role: "owner", status: "active" },
    ]);
    expect(accounts.hinted).toContain("credentials");
  });

  test.each([undefined, "", "s3tup-tokeN", "s3tup-token "])("refuses the setup token %j", async (token) => {
    const userId = await addUser(accounts.context, "a@example.com");
    expect(await create(userId, token)).toMatchObject({ status: 403 });
    expect(await accounts.sql("select 1 from organizations")).toEqual([]);
  });

  test("there is one: a second is 409, whatever token comes with it", async () => {
    const userId = await addUser(accounts.context, "a@example.com");
    await create(userId, "s3tup-token");
    expect(await create(userId, "s3tup-token", "other")).toMatchObject({ status: 409 });
    expect(await create(userId, "wrong", "other")).toMatchObject({ status: 409 });
  });

  test("of twenty who try at once exactly one succeeds", async () => {
    const users = await Promise.all(Array.from({ length: 20 }, (_, index) => addUser(accounts.context, `u${index}@example.com`)));
    const outcomes = await Promise.all(users.map((userId, index) => create(userId, "s3tup-token", `org-${index}`)));
    expect(outcomes.filter((outcome) => !isRefusal(outcome))).toHaveLength(1);
    expect(outcomes.filter((outcome) => isRefusal(outcome) && outcome.status === 409)).toHaveLength(19);
    expect(await accounts.sql("select 1 from organizations")).toHaveLength(1);
    expect(await accounts.sql("select 1 from members")).toHaveLength(1);
  });

  test("without a configured token nobody can", async () => {
    const userId = await addUser(accounts.context, "a@example.com");
    const context = { ...accounts.context, settings: { ...accounts.context.settings, setupToken: undefined } };
    expect(await createOrganization(context, { userId, slug: "acme", name: "Acme", setupToken: "" })).toMatchObject({ status: 403 });
  });
});

describe("createOrganization() in managed mode", () => {
  const managed = () => ({ ...accounts.context, settings: { ...accounts.context.settings, mode: "managed" as const } });

  test("needs no token, one per person, slugs are unique", async () => {
    const [one, two] = [await addUser(accounts.context, "a@example.com"), await addUser(accounts.context, "b@example.com")];
    const input = { slug: "acme", name: "Acme", setupToken: undefined };
    expect(await createOrganization(managed(), { ...input, userId: one })).toMatchObject({ slug: "acme" });
    expect(await createOrganization(managed(), { ...input, userId: one, slug: "second" })).toMatchObject({ status: 409 });
    expect(await createOrganization(managed(), { ...input, userId: two })).toMatchObject({
      status: 400,
      message: 'slug "acme" is already in use',
    });
    expect(await createOrganization(managed(), { ...input, userId: two, slug: "other" })).toMatchObject({ slug: "other" });
  });
});

describe("readMe()", () => {
  const me = (userId: string) => readMe(accounts.context.db, accounts.context.settings, userId);

  test("says what is missing: organization, then project, for others access", async () => {
    const [owner, other] = [await addUser(accounts.context, "a@example.com"), await addUser(accounts.context, "b@example.com")];
    expect(await me(owner)).toEqual({
      user_id: owner,
      display_name: "",
      profile_image_url: "",
      public_url: "http://localhost:8787",
      permissions: [],
      organization_required: true,
      project_required: false,
      access_required: false,
      setup_token_required: true,
    });
    await create(owner, "s3tup-token");
    expect(await me(owner)).toMatchObject({
      org_slug: "acme",
      org_name: "Acme",
      role: "owner",
      organization_required: false,
      project_required: true,
    });
    expect(await me(other)).toMatchObject({
      permissions: [],
      organization_required: false,
      access_required: true,
      setup_token_required: false,
    });
  });

  test("a disabled member has no role and no organization", async () => {
    const owner = await addUser(accounts.context, "a@example.com");
    await create(owner, "s3tup-token");
    await accounts.sql("update members set status = 'disabled'");
    const view = await me(owner);
    expect(view).toMatchObject({ permissions: [], access_required: true });
    expect(view).not.toHaveProperty("role");
    expect(view).not.toHaveProperty("org_id");
  });

  test("an unknown user is not found", async () => {
    expect(await me("01980a00-0000-7000-8000-000000000001")).toMatchObject({ status: 404 });
  });
});
