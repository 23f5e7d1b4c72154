/** Secrets (http §10). Values go in and never come out. */
import * as z from "zod";
import { plainText, secretName } from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { exampleId, exampleTime, id, timestamp } from "./fields.ts";

export const secretView = z
  .object({ project_id: id, environment_id: id, name: z.string(), created_at: timestamp, updated_at: timestamp })
  .meta({ id: "Secret" });
export type Secret = z.output<typeof secretView>;

const exampleSecret: Secret = {
  project_id: exampleId.project,
  environment_id: exampleId.environment,
  name: "GITHUB_TOKEN",
  created_at: exampleTime,
  updated_at: exampleTime,
};

/** Stored encrypted as bytes, so NUL is allowed; halves of surrogate pairs have no bytes. */
export const secretPutBody = z.strictObject({
  value: z.string().refine((text) => text.isWellFormed(), "must not contain halves of surrogate pairs"),
});
export type SecretPutBody = z.output<typeof secretPutBody>;
export type SecretPutInput = z.input<typeof secretPutBody>;

/** Reading a name that cannot exist is 404, writing it is 400. */
const anyName = z.object({ name: plainText() });

export const secretEndpoints = {
  list: endpoint({
    id: "secrets.list",
    method: "GET",
    path: "/secrets",
    family: "environment",
    permission: "secrets.write",
    summary: "List the names of secrets",
    response: z.object({ secrets: z.array(secretView) }),
    statuses: [200],
    example: { response: { secrets: [exampleSecret] } },
  }),
  get: endpoint({
    id: "secrets.get",
    method: "GET",
    path: "/secrets/{name}",
    family: "environment",
    permission: "secrets.write",
    summary: "Get a secret, without its value",
    params: anyName,
    response: secretView,
    statuses: [200],
    example: { response: exampleSecret },
  }),
  put: endpoint({
    id: "secrets.put",
    method: "PUT",
    path: "/secrets/{name}",
    family: "environment",
    permission: "secrets.write",
    summary: "Create or replace a secret",
    params: z.object({ name: secretName() }),
    body: secretPutBody,
    response: secretView,
    statuses: [200],
    example: { body: { value: "ghp_example" }, response: exampleSecret },
  }),
  delete: endpoint({
    id: "secrets.delete",
    method: "DELETE",
    path: "/secrets/{name}",
    family: "environment",
    permission: "secrets.write",
    summary: "Delete a secret",
    params: anyName,
    statuses: [204],
  }),
};
