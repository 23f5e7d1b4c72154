/** Finds what an id belongs to. Ids are unique everywhere, addresses need their environment. */
import type { Project } from "@helmr/protocol/api";
import { paths } from "../util/paths.ts";
import { isStatus } from "./api-error.ts";
import { call } from "./call.ts";
import type { Scope } from "./scope.ts";

interface Kind {
  label: string;
  exists: (scope: Scope, id: string) => Promise<unknown>;
  href: (scope: Scope, id: string) => string;
}

export const kinds = {
  session: { label: "Session", exists: (scope, id) => call("sessions.get", { scope, params: { id } }), href: paths.session },
  run: { label: "Run", exists: (scope, id) => call("runs.get", { scope, params: { id } }), href: paths.run },
  workspace: { label: "Workspace", exists: (scope, id) => call("workspaces.get", { scope, params: { id } }), href: paths.workspace },
  token: { label: "Token", exists: (scope, id) => call("tokens.get", { scope, params: { id } }), href: paths.token },
  deployment: { label: "Deployment", exists: (scope, id) => call("deployments.get", { scope, params: { id } }), href: paths.deployment },
} as const satisfies Record<string, Kind>;

export type KindName = keyof typeof kinds;

export interface Found {
  label: string;
  href: string;
}

async function look(kind: Kind, scope: Scope, id: string): Promise<Found | undefined> {
  try {
    await kind.exists(scope, id);
    return { label: kind.label, href: kind.href(scope, id) };
  } catch (error) {
    // Not there, not readable with this role, or not offered by this server: no result either way.
    if (isStatus(error, 400, 403, 404, 405, 501)) return undefined;
    throw error;
  }
}

/** Everything in the environment that has this id: one thing or nothing. */
export async function findInScope(scope: Scope, id: string): Promise<Found[]> {
  const found = await Promise.all(Object.values(kinds).map((kind) => look(kind, scope, id)));
  return found.filter((item) => item !== undefined);
}

/** For addresses without an environment, as the command line prints them: the one looked at last first, then all others at once. */
export async function findAnywhere(
  name: KindName,
  id: string,
  projects: readonly Project[],
  first: Scope | undefined,
): Promise<Found | undefined> {
  const near = first ? await look(kinds[name], first, id) : undefined;
  if (near) return near;
  const scopes = projects.flatMap(({ slug, environments = [] }) => environments.map((item) => ({ project: slug, environment: item.slug })));
  const found = await Promise.all(scopes.map((scope) => look(kinds[name], scope, id)));
  return found.find((item) => item !== undefined);
}

export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text.trim());
}
