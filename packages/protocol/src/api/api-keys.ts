/** API keys of an environment (http §15.4). */
import * as z from "zod";
import { type ApiKeyScope, oneOf, permissionOfScope, permissionScopes, title, uuidParam } from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { exampleId, exampleTime, id, timestamp } from "./fields.ts";
import { scopeParams } from "./paths.ts";

export const apiKeyStatuses = ["active", "expired", "revoked"] as const;
export type ApiKeyStatus = (typeof apiKeyStatuses)[number];
export const apiKeyScopes = Object.values(permissionScopes);
export const apiKeyLifetimesDays = [30, 90, 365] as const;

export const apiKeyView = z
  .object({
    id,
    name: z.string(),
    key_prefix: z.string().meta({ description: "hlmr_sk_ and 8 characters" }),
    project_id: id,
    environment_id: id,
    permissions: z.array(z.object({ scopes: z.array(z.string()) })).optional(),
    status: z.enum(apiKeyStatuses),
    created_at: timestamp,
    last_used_at: timestamp.nullable(),
    expires_at: timestamp.nullable(),
    revoked_at: timestamp.nullable(),
  })
  .meta({ id: "ApiKey" });
export type ApiKey = z.output<typeof apiKeyView>;

const place = z.object({ id, slug: z.string(), name: z.string() });

/** What a key may know about itself: where it works and what it may do there now. */
export const apiKeySelfView = z
  .object({
    id,
    name: z.string(),
    project: place,
    environment: place,
    permissions: z.array(z.string()).meta({ description: "scopes, as far as the role of the key's creator still grants them" }),
  })
  .meta({ id: "ApiKeySelf" });
export type ApiKeySelf = z.output<typeof apiKeySelfView>;

export const apiKeyCreatedView = apiKeyView
  .extend({ raw_key: z.string().meta({ description: "shown once" }) })
  .meta({ id: "ApiKeyCreated" });
export type ApiKeyCreated = z.output<typeof apiKeyCreatedView>;

const scope = z
  .string()
  .superRefine((text, context) => {
    if (permissionOfScope(text) === undefined) context.addIssue({ code: "custom", message: `unknown scope ${JSON.stringify(text)}` });
  })
  .transform((text) => text as ApiKeyScope)
  .meta({ enum: apiKeyScopes });

export const apiKeyCreateBody = z.strictObject({
  name: title(64),
  expires_in_days: z.literal([...apiKeyLifetimesDays, null]).meta({ description: "null: never" }),
  permissions: z
    .array(z.strictObject({ scopes: z.array(scope) }))
    .refine((groups) => groups.some((group) => group.scopes.length > 0), "must hold at least one scope"),
});
export type ApiKeyCreateBody = z.output<typeof apiKeyCreateBody>;
export type ApiKeyCreateInput = z.input<typeof apiKeyCreateBody>;

const exampleKey: ApiKey = {
  id: exampleId.apiKey,
  name: "ci",
  key_prefix: "hlmr_sk_0f1e2d3c",
  project_id: exampleId.project,
  environment_id: exampleId.environment,
  permissions: [{ scopes: ["runs:create", "runs:read"] }],
  status: "active",
  created_at: exampleTime,
  last_used_at: null,
  expires_at: null,
  revoked_at: null,
};

const base = "/projects/{project}/environments/{environment}/api-keys";
const manage = { family: "account", permission: "api_keys.manage" } as const;

export const apiKeyEndpoints = {
  self: endpoint({
    id: "apiKeys.self",
    method: "GET",
    path: "/api-key",
    family: "unprefixed",
    permission: "none",
    summary: "Say which API key this is, where it works and what it may do",
    response: apiKeySelfView,
    statuses: [200],
    example: {
      response: {
        id: exampleId.apiKey,
        name: "ci",
        project: { id: exampleId.project, slug: "shop", name: "Shop" },
        environment: { id: exampleId.environment, slug: "production", name: "Production" },
        permissions: ["runs:create", "runs:read"],
      },
    },
  }),
  list: endpoint({
    id: "apiKeys.list",
    method: "GET",
    path: base,
    ...manage,
    summary: "List API keys, at most 200",
    params: scopeParams,
    query: z.object({ status: oneOf([...apiKeyStatuses, "all"]).default("all") }),
    response: z.object({ items: z.array(apiKeyView), has_more: z.boolean() }),
    statuses: [200],
    example: { response: { items: [exampleKey], has_more: false } },
  }),
  create: endpoint({
    id: "apiKeys.create",
    method: "POST",
    path: base,
    ...manage,
    summary: "Create an API key; the answer is the only one that holds it",
    params: scopeParams,
    body: apiKeyCreateBody,
    response: apiKeyCreatedView,
    statuses: [201],
    example: {
      body: { name: "ci", expires_in_days: null, permissions: [{ scopes: ["runs:create", "runs:read"] }] },
      response: { ...exampleKey, raw_key: "hlmr_sk_0f1e2d3c4b5a" },
    },
  }),
  delete: endpoint({
    id: "apiKeys.delete",
    method: "DELETE",
    path: `${base}/{id}`,
    ...manage,
    summary: "Revoke an API key",
    params: scopeParams.extend({ id: uuidParam("api key") }),
    statuses: [204],
  }),
};
