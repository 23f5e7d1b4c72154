/** Projects and environments (http §15.3). Management routes need UUIDs, not slugs. */
import * as z from "zod";
import { slug, title, uuidParam } from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { exampleId, exampleTime, id, timestamp } from "./fields.ts";

export const environmentView = z
  .object({
    id,
    project_id: id,
    slug: z.string(),
    name: z.string(),
    color_hex: z.string(),
    is_default: z.boolean(),
    created_at: timestamp,
    updated_at: timestamp,
  })
  .meta({ id: "Environment" });
export type Environment = z.output<typeof environmentView>;

export const projectView = z
  .object({
    id,
    slug: z.string(),
    name: z.string(),
    is_default: z.boolean(),
    created_at: timestamp,
    updated_at: timestamp,
    environments: z.array(environmentView).optional(),
  })
  .meta({ id: "Project" });
export type Project = z.output<typeof projectView>;

const nameCharactersMax = 80;

/** Both fields are required, for create and for update. */
export const projectBody = z.strictObject({ slug: slug(), name: title(nameCharactersMax) });
export type ProjectBody = z.output<typeof projectBody>;
export type ProjectInput = z.input<typeof projectBody>;

/** All fields are required, for create and for update. The colour is stored in upper case. */
export const environmentBody = z.strictObject({
  slug: slug(),
  name: title(nameCharactersMax),
  color_hex: z
    .string()
    .regex(/^#[0-9a-fA-F]{6}$/, "must be a colour such as #1F6FEB")
    .transform((text) => text.toUpperCase()),
});
export type EnvironmentBody = z.output<typeof environmentBody>;
export type EnvironmentInput = z.input<typeof environmentBody>;

const exampleEnvironment: Environment = {
  id: exampleId.environment,
  project_id: exampleId.project,
  slug: "production",
  name: "Production",
  color_hex: "#1F6FEB",
  is_default: true,
  created_at: exampleTime,
  updated_at: exampleTime,
};
const exampleProject: Project = {
  id: exampleId.project,
  slug: "shop",
  name: "Shop",
  is_default: true,
  created_at: exampleTime,
  updated_at: exampleTime,
  environments: [exampleEnvironment],
};
const exampleEnvironmentBody = { slug: "preview", name: "Preview", color_hex: "#1F6FEB" };
const examplePreview: Environment = { ...exampleEnvironment, ...exampleEnvironmentBody, is_default: false };

const projectParams = z.object({ project: uuidParam("project") });
const environmentParams = projectParams.extend({ environment: uuidParam("environment") });
const member = { family: "account", permission: "none" } as const;
const manage = { family: "account", permission: "projects.manage" } as const;

export const projectEndpoints = {
  list: endpoint({
    id: "projects.list",
    method: "GET",
    path: "/projects",
    ...member,
    summary: "List projects with their environments",
    response: z.object({ projects: z.array(projectView) }),
    statuses: [200],
    example: { response: { projects: [exampleProject] } },
  }),
  get: endpoint({
    id: "projects.get",
    method: "GET",
    path: "/projects/{project}",
    ...member,
    summary: "Get a project with its environments",
    params: projectParams,
    response: projectView,
    statuses: [200],
    example: { response: exampleProject },
  }),
  create: endpoint({
    id: "projects.create",
    method: "POST",
    path: "/projects",
    ...manage,
    summary: "Create a project with the environments production and staging",
    body: projectBody,
    response: projectView,
    statuses: [201],
    example: { body: { slug: "shop", name: "Shop" }, response: exampleProject },
  }),
  update: endpoint({
    id: "projects.update",
    method: "PATCH",
    path: "/projects/{project}",
    ...manage,
    summary: "Rename a project",
    params: projectParams,
    body: projectBody,
    response: projectView,
    statuses: [200],
    example: { body: { slug: "shop", name: "Shop" }, response: exampleProject },
  }),
  delete: endpoint({
    id: "projects.delete",
    method: "DELETE",
    path: "/projects/{project}",
    ...manage,
    summary: "Delete a project",
    params: projectParams,
    statuses: [204],
  }),
};

export const environmentEndpoints = {
  get: endpoint({
    id: "environments.get",
    method: "GET",
    path: "/projects/{project}/environments/{environment}",
    ...member,
    summary: "Get an environment",
    params: environmentParams,
    response: environmentView,
    statuses: [200],
    example: { response: exampleEnvironment },
  }),
  create: endpoint({
    id: "environments.create",
    method: "POST",
    path: "/projects/{project}/environments",
    ...manage,
    summary: "Create an environment",
    params: projectParams,
    body: environmentBody,
    response: environmentView,
    statuses: [201],
    example: { body: exampleEnvironmentBody, response: examplePreview },
  }),
  update: endpoint({
    id: "environments.update",
    method: "PATCH",
    path: "/projects/{project}/environments/{environment}",
    ...manage,
    summary: "Change an environment; production and staging keep their names",
    params: environmentParams,
    body: environmentBody,
    response: environmentView,
    statuses: [200],
    example: { body: exampleEnvironmentBody, response: examplePreview },
  }),
  delete: endpoint({
    id: "environments.delete",
    method: "DELETE",
    path: "/projects/{project}/environments/{environment}",
    ...manage,
    summary: "Delete an environment; production and staging cannot be deleted",
    params: environmentParams,
    statuses: [204],
  }),
};
