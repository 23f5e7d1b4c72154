import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Environment } from "@helmr/protocol/api";
import { isRefusal } from "../outcome.ts";
import { type Accounts, type Tenant, addTenant, openAccounts } from "./accounts.fixture.ts";
import { createEnvironment, deleteEnvironment, getEnvironment, resolveEnvironment, updateEnvironment } from "./change-environments.ts";

let accounts: Accounts;
let tenant: Tenant;
let foreign: Tenant;
beforeAll(async () => {
  accounts = await openAccounts();
  tenant = await addTenant(accounts.context);
  foreign = await addTenant(accounts.context, "beta");
});
afterAll(() => accounts.close());

const text = (slug: string) => ({ slug, name: "Preview", color_hex: "#1F6FEB" });
const create = (slug: string) => createEnvironment(accounts.context.db, tenant, text(slug));
const environment = async (slug: string) => (await create(slug)) as Environment;
const key = (environmentId: string) => ({ ...tenant, environmentId });

test("createEnvironment() adds one that is no default; a slug conflict is 400, a foreign project 404", async () => {
  expect(await create("preview")).toMatchObject({ slug: "preview", is_default: false, project_id: tenant.projectId });
  expect(await create("preview")).toMatchObject({ status: 400, message: 'slug "preview" is already in use' });
  expect(await createEnvironment(accounts.context.db, { orgId: foreign.orgId, projectId: tenant.projectId }, text("x"))).toMatchObject({
    status: 404,
  });
});

describe("updateEnvironment()", () => {
  test("changes all three fields of an own one", async () => {
    const { id } = await environment("to-change");
    const changed = await updateEnvironment(accounts.context.db, key(id), { slug: "changed", name: "Changed", color_hex: "#000000" });
    expect(changed).toMatchObject({ id, slug: "changed", name: "Changed", color_hex: "#000000" });
    expect(await updateEnvironment(accounts.context.db, key(id), text("production"))).toMatchObject({ status: 400 });
  });

  test("production and staging keep slug and name and may change colour", async () => {
    const { db } = accounts.context;
    for (const [id, slug, name] of [
      [tenant.environmentId, "production", "Production"],
      [tenant.stagingId, "staging", "Staging"],
    ] as const) {
      expect(await updateEnvironment(db, key(id), { slug: "live", name, color_hex: "#111111" })).toMatchObject({
        status: 400,
        message: `environment "${slug}" cannot be renamed`,
      });
      expect(await updateEnvironment(db, key(id), { slug, name: "Live", color_hex: "#111111" })).toMatchObject({ status: 400 });
      expect(await updateEnvironment(db, key(id), { slug, name, color_hex: "#111111" })).toMatchObject({
        slug,
        name,
        color_hex: "#111111",
      });
    }
  });

  test("a foreign one is 404", async () => {
    expect(await updateEnvironment(accounts.context.db, { ...tenant, orgId: foreign.orgId }, text("x"))).toMatchObject({ status: 404 });
    expect(await updateEnvironment(accounts.context.db, key(foreign.environmentId), text("x"))).toMatchObject({ status: 404 });
  });
});

describe("deleteEnvironment()", () => {
  test("removes an own one, not production or staging", async () => {
    const { db, hints } = accounts.context;
    const { id } = await environment("short-lived");
    expect(await deleteEnvironment(db, hints, key(id))).toBe("deleted");
    expect(await getEnvironment(db, key(id))).toMatchObject({ status: 404 });
    expect(await deleteEnvironment(db, hints, key(id))).toMatchObject({ status: 404 });
    expect(isRefusal(await create("short-lived"))).toBe(false);
    expect(await deleteEnvironment(db, hints, key(tenant.environmentId))).toMatchObject({
      status: 400,
      message: 'environment "production" cannot be deleted',
    });
    expect(await deleteEnvironment(db, hints, key(tenant.stagingId))).toMatchObject({ status: 400 });
    expect(await deleteEnvironment(db, hints, key(foreign.stagingId))).toMatchObject({ status: 404 });
  });
});

describe("resolveEnvironment()", () => {
  const resolve = (project: string, name: string, orgId = tenant.orgId) =>
    resolveEnvironment(accounts.context.db, orgId, { project, environment: name });
  const own = () => ({ projectId: tenant.projectId, environmentId: tenant.stagingId });

  test("takes a UUID or a slug for either part", async () => {
    for (const project of ["shop", tenant.projectId, tenant.projectId.toUpperCase()]) {
      for (const name of ["staging", tenant.stagingId]) expect(await resolve(project, name)).toEqual(own());
    }
  });

  test("finds nothing of another organization, of another project, or unknown", async () => {
    expect(await resolve(foreign.projectId, "staging")).toBeUndefined();
    expect(await resolve(tenant.projectId, foreign.stagingId)).toBeUndefined();
    expect(await resolve("shop", "staging", foreign.orgId)).toEqual({ projectId: foreign.projectId, environmentId: foreign.stagingId });
    expect(await resolve("none", "staging")).toBeUndefined();
    expect(await resolve("shop", "none")).toBeUndefined();
  });

  test("an id wins over a slug that looks like it", async () => {
    await create(tenant.stagingId);
    expect(await resolve("shop", tenant.stagingId)).toEqual(own());
  });
});
