/** Tokens that an outside party completes (http §6). */
import { tokenEndpoints, tokenTimeoutMsDefault } from "@helmr/protocol/api";
import type { EngineContext } from "../../engine-context.ts";
import { cancelToken, type CompletedToken, completeToken } from "../../operations/complete-token.ts";
import { checkCallbackSecret, checkPublicToken, createToken } from "../../operations/create-token.ts";
import { listTokens, readToken } from "../../operations/read-tokens.ts";
import { isRefusal } from "../../outcome.ts";
import { limitPublicCalls } from "../public-calls.ts";
import { refuseScopeFields } from "../request-facts.ts";
import type { Routes } from "../route.ts";
import { bearerOf } from "./streams.ts";
import { createdTokenView, tokenView } from "./token-view.ts";

export function addTokenRoutes(routes: Routes, context: EngineContext, { publicUrl }: { publicUrl: string }): void {
  const addresses = { keys: context.keys, publicUrl };

  routes.add(tokenEndpoints.create, async ({ actor, scope, body }) => {
    const refused = refuseScopeFields(actor, body);
    if (refused) return refused;
    const created = await createToken(context, {
      environmentId: scope.environmentId,
      timeoutMs: body.timeout ?? tokenTimeoutMsDefault,
      tags: body.tags,
      metadata: body.metadata,
      idempotencyKey: body.idempotency_key,
    });
    return isRefusal(created) ? created : { status: created.created ? 201 : 200, body: createdTokenView(addresses, created.token) };
  });

  routes.add(tokenEndpoints.list, async ({ scope, query }) => {
    const page = await listTokens(context, {
      environmentId: scope.environmentId,
      status: query.status,
      cursor: query.cursor,
      limit: query.limit,
    });
    if (isRefusal(page)) return page;
    return { body: { tokens: page.tokens.map(tokenView), ...(page.next === undefined ? {} : { next_cursor: page.next }) } };
  });

  routes.add(tokenEndpoints.get, async ({ scope, params }) => {
    const token = await readToken(context, scope.environmentId, params.id);
    return isRefusal(token) ? token : { body: tokenView(token) };
  });

  routes.add(tokenEndpoints.complete, async ({ scope, params, body }) => {
    const address = { environmentId: scope.environmentId, tokenId: params.id };
    const completed = await completeToken(context, { ...address, data: body.data, byPublicToken: false });
    return isRefusal(completed) ? completed : { body: completedView(completed) };
  });

  routes.add(tokenEndpoints.cancel, async ({ scope, params }) => {
    const cancelled = await cancelToken(context, { environmentId: scope.environmentId, tokenId: params.id });
    return isRefusal(cancelled) ? cancelled : { body: tokenView(cancelled) };
  });

  addPublicRoutes(routes, context);
}

function addPublicRoutes(routes: Routes, context: EngineContext): void {
  routes.add(tokenEndpoints.publicComplete, async ({ request, params, body }) => {
    const refused = (await limitPublicCalls(context.db, request)) ?? checkPublicToken(context.keys, params.id, bearerOf(request));
    if (refused) return refused;
    const completed = await completeToken(context, { tokenId: params.id, data: body.data, byPublicToken: true });
    return isRefusal(completed) ? completed : { body: completedView(completed) };
  });

  routes.add(tokenEndpoints.callback, async ({ request, params, body }) => {
    const refused = (await limitPublicCalls(context.db, request)) ?? checkCallbackSecret(context.keys, params.id, params.secret);
    if (refused) return refused;
    const completed = await completeToken(context, { tokenId: params.id, data: body.data, byPublicToken: false });
    return isRefusal(completed) ? completed : { body: completedView(completed) };
  });
}

const completedView = ({ status, token }: CompletedToken) => ({ status, token: tokenView(token) });
