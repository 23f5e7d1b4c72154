/** Creating public access tokens (http §5.3): the one route that exists only un-prefixed, so a user session names the scope in the body. */
import { publicAccessPermission, type PublicAccessTokenCreateBody, publicAccessTokenEndpoints } from "@helmr/protocol/api";
import type { Permission } from "@helmr/protocol/shared";
import type { EngineContext } from "../../engine-context.ts";
import { resolveEnvironment } from "../../operations/change-environments.ts";
import { createPublicAccessToken } from "../../operations/create-public-access-token.ts";
import { invalid, isRefusal, notFound, type Refusal, refusal } from "../../outcome.ts";
import type { Actor } from "../auth/actor.ts";
import type { Routes } from "../route.ts";

export function addPublicAccessTokenRoutes(routes: Routes, context: EngineContext): void {
  routes.add(publicAccessTokenEndpoints.create, async ({ actor, body }) => {
    const needed = publicAccessPermission[body.scope.type];
    if (!permissionsOf(actor).has(needed)) return refusal(403, `${needed} permission is required`);
    const environmentId = await environmentOf(context, actor, body);
    if (isRefusal(environmentId)) return environmentId;
    const created = await createPublicAccessToken(context, {
      environmentId,
      scope: body.scope,
      expiresAt: body.expires_at,
      maxUses: body.max_uses,
    });
    if (isRefusal(created)) return created;
    const { type, stream, correlation_id: correlationId } = body.scope;
    return {
      body: {
        id: created.id,
        public_access_token: created.text,
        scope: {
          type,
          stream,
          ...(correlationId === undefined ? {} : { correlation_id: correlationId }),
          session: { type: "id" as const, id: created.sessionId },
        },
        expires_at: created.expiresAt,
        ...(body.max_uses === undefined ? {} : { max_uses: body.max_uses }),
        created_at: created.createdAt,
      },
    };
  });
}

function permissionsOf(actor: Actor): ReadonlySet<Permission> {
  if (actor.kind === "api_key") return actor.permissions;
  return (actor.kind === "user" ? actor.membership?.permissions : undefined) ?? new Set();
}

/** A key has its own; the route layer has refused one that names another. */
async function environmentOf(context: EngineContext, actor: Actor, body: PublicAccessTokenCreateBody): Promise<string | Refusal> {
  if (actor.kind === "api_key") return actor.environmentId;
  const { project_id: project = "", environment_id: environment = "" } = body;
  if (project.trim() === "" || environment.trim() === "") return invalid("project_id and environment_id are required with a user session");
  const orgId = actor.kind === "user" ? actor.membership?.orgId : undefined;
  const scope =
    orgId === undefined
      ? undefined
      : await resolveEnvironment(context.db, orgId, { project: project.trim(), environment: environment.trim() });
  return scope?.environmentId ?? notFound("environment not found");
}
