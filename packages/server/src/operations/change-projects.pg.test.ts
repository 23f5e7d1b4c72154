import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Project } from "@helmr/protocol/api";
import { isRefusal } from "../outcome.ts";
import { type Accounts, type Tenant, addTenant, openAccounts } from "./accounts.fixture.ts";
import { createProject, deleteProject, getProject, listProjects, updateProject } from "./change-projects.ts";

let accounts: Accounts;
let tenant: Tenant;
beforeAll(async () => {
  accounts = await openAccounts();
});
beforeEach(async () => {
  await accounts.sql("truncate organizations, users cascade");
  tenant = await addTenant(accounts.context);
});
afterAll(() => accounts.close());

const create = (slug: string, orgId = tenant.orgId) => createProject(accounts.context.db, orgId, { slug, name: slug.toUpperCase() });
const project = async (slug: string) => (await create(slug)) as Project;

describe("createProject()", () => {
  test("brings production and staging, production first and default; the first project is the default", async () => {
    const [first] = await listProjects(accounts.context.db, tenant.orgId);
    expect(first).toMatchObject({ slug: "shop", is_default: true });
    expect(first?.environments).toMatchObject([
      {
        slug: "production",
        name: "Production",
        is_default: true,
        project_id: tenant.projectId,
        color_hex: expect.stringMatching(/^#[0-9A-F]{6}$/),
      },
      { slug: "staging", name: "Staging", is_default: false },
    ]);
    expect(await project("other")).toMatchObject({ is_default: false });
  });

  test("a slug conflict is 400 inside an organization and none across", async () => {
    expect(await create("shop")).toMatchObject({ status: 400, message: 'slug "shop" is already in use' });
    const other = await addTenant(accounts.context, "beta");
    expect(await getProject(accounts.context.db, other.orgId, other.projectId)).toMatchObject({ slug: "shop" });
  });

  test("of several first projects at once one becomes the default", async () => {
    await accounts.sql("truncate projects cascade");
    const made = await Promise.all(["a", "b", "c", "d", "e", "f"].map((slug) => create(slug)));
    expect(made.every((outcome) => !isRefusal(outcome))).toBe(true);
    expect(await accounts.sql("select 1 from projects where is_default")).toHaveLength(1);
  });

  test("of several with one slug at once one succeeds", async () => {
    const made = await Promise.all(Array.from({ length: 6 }, () => create("same")));
    expect(made.filter((outcome) => !isRefusal(outcome))).toHaveLength(1);
    expect(made.filter((outcome) => isRefusal(outcome) && outcome.status === 400)).toHaveLength(5);
  });
});

test("updateProject() renames; a taken slug is 400, a foreign project 404", async () => {
  const { db } = accounts.context;
  const other = await project("other");
  expect(await updateProject(db, tenant.orgId, { id: other.id, slug: "renamed", name: "New" })).toMatchObject({
    slug: "renamed",
    name: "New",
    environments: [{}, {}],
  });
  expect(await updateProject(db, tenant.orgId, { id: other.id, slug: "shop", name: "New" })).toMatchObject({ status: 400 });
  const beta = await addTenant(accounts.context, "beta");
  expect(await updateProject(db, beta.orgId, { id: other.id, slug: "x", name: "x" })).toMatchObject({ status: 404 });
});

describe("deleteProject()", () => {
  test("hides it at once, frees its slug, hands the default on and says so to others", async () => {
    const { db, hints } = accounts.context;
    const other = await project("other");
    accounts.hinted.length = 0;
    expect(await deleteProject(db, hints, tenant.orgId, tenant.projectId)).toBe("deleted");
    expect(accounts.hinted).toEqual(["credentials", "reconcile:purge-environments"]);
    expect(await getProject(db, tenant.orgId, tenant.projectId)).toMatchObject({ status: 404 });
    expect(await listProjects(db, tenant.orgId)).toMatchObject([{ id: other.id, is_default: true }]);
    expect(await project("shop")).toMatchObject({ slug: "shop", is_default: false });
    expect(await deleteProject(db, hints, tenant.orgId, tenant.projectId)).toMatchObject({ status: 404 });
  });

  test("a foreign project is 404 and stays", async () => {
    const beta = await addTenant(accounts.context, "beta");
    const { db, hints } = accounts.context;
    expect(await deleteProject(db, hints, beta.orgId, tenant.projectId)).toMatchObject({ status: 404 });
    expect(await getProject(db, tenant.orgId, tenant.projectId)).toMatchObject({ slug: "shop" });
  });
});
