/** Session streams (http §5.1), and the public routes of a public access token (§5.3). */
import { streamEndpoints } from "@helmr/protocol/api";
import type { FastifyRequest } from "fastify";
import type { EngineContext } from "../../engine-context.ts";
import { appendInput, appendOutput } from "../../operations/append-stream-record.ts";
import { listRecords, listStreams, readRecord } from "../../operations/read-streams.ts";
import { appendPublicly, readPublicly } from "../../operations/use-public-access-token.ts";
import { isRefusal } from "../../outcome.ts";
import { bearerToken } from "../auth/authenticate.ts";
import { limitPublicCalls } from "../public-calls.ts";
import type { Routes } from "../route.ts";
import { appendView, recordView, streamView } from "./stream-view.ts";

export function addStreamRoutes(routes: Routes, context: EngineContext): void {
  routes.add(streamEndpoints.list, async ({ scope, address }) => {
    const streams = await listStreams(context, scope.environmentId, address);
    return isRefusal(streams) ? streams : { body: { streams: streams.map(streamView) } };
  });

  routes.add(streamEndpoints.appendInput, async ({ scope, address, params, body }) => {
    const appended = await appendInput(context, { environmentId: scope.environmentId, key: address, stream: params.stream, body });
    return isRefusal(appended) ? appended : { body: appendView(appended) };
  });

  routes.add(streamEndpoints.appendOutput, async ({ scope, address, params, body }) => {
    const appended = await appendOutput(context, { environmentId: scope.environmentId, key: address, stream: params.stream, body });
    return isRefusal(appended) ? appended : { body: appendView(appended) };
  });

  for (const [endpoint, direction] of [
    [streamEndpoints.listInput, "input"],
    [streamEndpoints.listOutput, "output"],
  ] as const) {
    routes.add(endpoint, async ({ scope, address, params, query }) => {
      const { after, correlation_id: correlationId, limit } = query;
      const subject = { environmentId: scope.environmentId, key: address, direction, stream: params.stream };
      const records = await listRecords(context, { ...subject, after, correlationId, limit });
      return isRefusal(records) ? records : { body: { records: records.map(recordView) } };
    });
  }

  routes.add(streamEndpoints.readOutput, async ({ scope, address, params, query }) => {
    const { after, correlation_id: correlationId } = query;
    const subject = { environmentId: scope.environmentId, key: address, direction: "output" as const, stream: params.stream };
    const record = await readRecord(context.db, { ...subject, after, correlationId });
    return isRefusal(record) ? record : { body: { record: record && recordView(record) } };
  });

  addPublicRoutes(routes, context);
}

function addPublicRoutes(routes: Routes, context: EngineContext): void {
  routes.add(streamEndpoints.publicAppendInput, async ({ request, address, params, body }) => {
    const limited = await limitPublicCalls(context.db, request);
    if (limited) return limited;
    const appended = await appendPublicly(context, { bearer: bearerOf(request), key: address, stream: params.stream }, body);
    return isRefusal(appended) ? appended : { body: appendView(appended) };
  });

  routes.add(streamEndpoints.publicReadOutput, async ({ request, address, params, query }) => {
    const limited = await limitPublicCalls(context.db, request);
    if (limited) return limited;
    const { after, correlation_id: correlationId } = query;
    const read = await readPublicly(context, { bearer: bearerOf(request), key: address, stream: params.stream }, { after, correlationId });
    return isRefusal(read) ? read : { body: { record: read.record && recordView(read.record) } };
  });
}

export const bearerOf = (request: FastifyRequest): string | undefined => bearerToken(request.headers.authorization ?? "");
