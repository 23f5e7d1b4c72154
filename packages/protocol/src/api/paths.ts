/** Where an endpoint is reachable (http §1.3, §3) and how its path is filled in. */
import * as z from "zod";
import { externalId, isUuid, namePattern } from "../shared/index.ts";
import type { Endpoint, Family } from "./endpoint.ts";

export const apiPrefix = "/api";
export const environmentPrefix = "/api/projects/{project}/environments/{environment}";

/** A project or environment in the prefix of a user session's route: UUID or slug. */
function scopePart(what: string) {
  const message = `invalid ${what} id`;
  return z.string({ error: message }).refine((text) => isUuid(text) || namePattern.slug.test(text), message);
}

export const scopeParams = z.object({ project: scopePart("project"), environment: scopePart("environment") });

/** The query of every by-external-id route; a blank id is 400. */
export const externalIdQuery = z.object({
  external_id: externalId().refine((id) => id !== undefined, "is required"),
});

export interface RoutePath {
  /** Whole path with placeholders. */
  path: string;
  /** Who may call it there. */
  caller: "api_key" | "user_session" | "either" | "public";
  /** True for the form with `by-external-id` in the place of `{id}`. */
  byExternalId: boolean;
}

const placesOf: Record<Family, readonly Omit<RoutePath, "byExternalId">[]> = {
  environment: [
    { path: apiPrefix, caller: "api_key" },
    { path: environmentPrefix, caller: "user_session" },
  ],
  account: [{ path: apiPrefix, caller: "user_session" }],
  unprefixed: [{ path: apiPrefix, caller: "either" }],
  public: [{ path: apiPrefix, caller: "public" }],
  root: [{ path: "", caller: "public" }],
};

/** Every path an endpoint is registered under, the un-prefixed one first. */
export function routePaths(endpoint: Pick<Endpoint, "path" | "family" | "byExternalId">): RoutePath[] {
  const forms = [{ path: endpoint.path, byExternalId: false }];
  if (endpoint.byExternalId) forms.push({ path: endpoint.path.replace("{id}", "by-external-id"), byExternalId: true });
  return forms.flatMap((form) =>
    placesOf[endpoint.family].map((place) => ({ path: place.path + form.path, caller: place.caller, byExternalId: form.byExternalId })),
  );
}

/** Names of the placeholders in a path, in order. */
export function pathParams(path: string): string[] {
  return [...path.matchAll(/\{([A-Za-z]+)\}/g)].map((match) => match[1] as string);
}

/** Puts percent-encoded values in the place of the placeholders. A missing value is a bug of the caller: the placeholder stays. */
export function fillPath(path: string, values: Readonly<Record<string, string>>): string {
  return path.replace(/\{([A-Za-z]+)\}/g, (placeholder, name: string) => {
    const value = values[name];
    return value === undefined ? placeholder : encodeURIComponent(value);
  });
}
