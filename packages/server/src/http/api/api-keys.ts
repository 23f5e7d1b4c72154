/** API keys of an environment (http §15.4). */
import { apiKeyEndpoints } from "@helmr/protocol/api";
import type { AccountContext } from "../../account-context.ts";
import { resolveEnvironment } from "../../operations/change-environments.ts";
import { describeApiKey, issueApiKey, listApiKeys, revokeApiKey } from "../../operations/issue-api-keys.ts";
import { type Refusal, invalid, isRefusal, notFound } from "../../outcome.ts";
import type { Actor } from "../auth/actor.ts";
import { memberOf } from "../auth/authenticate.ts";
import { type Routes, neverStored } from "../route.ts";

export function addApiKeyRoutes(routes: Routes, { db, hints }: AccountContext): void {
  async function place(actor: Actor, params: { project: string; environment: string }) {
    const member = memberOf(actor);
    if (isRefusal(member)) return member;
    const scope = await resolveEnvironment(db, member.orgId, params);
    return scope ? { ...member, ...scope } : (notFound("environment not found") satisfies Refusal);
  }
  routes.add(apiKeyEndpoints.self, async ({ actor }) => {
    if (actor.kind !== "api_key") return invalid("this route tells about the API key it is called with; GET /api/me tells about a login");
    const described = await describeApiKey(db, actor);
    return isRefusal(described) ? described : { body: described, headers: neverStored };
  });
  routes.add(apiKeyEndpoints.list, async ({ actor, params, query }) => {
    const scope = await place(actor, params);
    return isRefusal(scope) ? scope : { body: await listApiKeys(db, scope.environmentId, query.status) };
  });
  routes.add(apiKeyEndpoints.create, async ({ actor, params, body }) => {
    const scope = await place(actor, params);
    if (isRefusal(scope)) return scope;
    const { orgId, projectId, environmentId, userId } = scope;
    const scopes = body.permissions.flatMap((group) => group.scopes);
    const key = { orgId, projectId, environmentId, name: body.name, scopes, expiresInDays: body.expires_in_days, creatorId: userId };
    return { body: await issueApiKey(db, key), headers: neverStored };
  });
  routes.add(apiKeyEndpoints.delete, async ({ actor, params }) => {
    const scope = await place(actor, params);
    if (isRefusal(scope)) return scope;
    const revoked = await revokeApiKey(db, hints, scope.environmentId, params.id);
    return isRefusal(revoked) ? revoked : {};
  });
}
