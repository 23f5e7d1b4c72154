import { readFile } from "node:fs/promises";
import { Validator } from "@seriousme/openapi-schema-validator";
import { beforeAll, describe, expect, test } from "vitest";
import type { JsonObject } from "../shared/index.ts";
import { apiEndpointList, routePaths } from "./index.ts";
import { openApiDocument } from "./openapi.ts";
import { SchemaComponents } from "./openapi-schemas.ts";

type Operation = {
  operationId: string;
  tags: string[];
  security: unknown[];
  parameters?: { $ref: string }[];
  responses: Record<string, unknown>;
};

describe("the OpenAPI document", () => {
  let document: JsonObject;
  let operations: [route: string, operation: Operation][];

  beforeAll(() => {
    document = openApiDocument();
    operations = Object.entries(document["paths"] as Record<string, Record<string, Operation>>).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]): [string, Operation] => [`${method.toUpperCase()} ${path}`, operation]),
    );
  });

  test("is the checked-in file: node scripts/generate-openapi.ts", async () => {
    const file = await readFile(new URL("../../reference/api.openapi.json", import.meta.url), "utf8");
    expect(JSON.parse(file)).toEqual(document);
    expect(file).toBe(`${JSON.stringify(document, null, 2)}\n`);
  });

  test("is valid OpenAPI 3.1, and the validator finds faults", async () => {
    const validator = new Validator();
    expect(await validator.validate(structuredClone(document))).toEqual({ valid: true });
    expect(validator.version).toBe("3.1");
    const broken = structuredClone(document) as { paths: Record<string, { get: { responses?: unknown } }> };
    broken.paths["/api/runs"]!.get.responses = { 200: {} };
    expect((await new Validator().validate(broken)).valid).toBe(false);
  });

  test("every reference has a target, every component is referred to", () => {
    const wanted = new Set([...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/([^"]+)"/g)].map((match) => match[1]!));
    const present = new Set(
      Object.entries(document["components"] as Record<string, JsonObject>)
        .filter(([kind]) => kind !== "securitySchemes")
        .flatMap(([kind, members]) => Object.keys(members).map((name) => `${kind}/${name}`)),
    );
    expect([...wanted].filter((name) => !present.has(name))).toEqual([]);
    expect([...present].filter((name) => !wanted.has(name))).toEqual([]);
  });

  test("has every route of every endpoint once, with its own operationId", () => {
    const routes = apiEndpointList.flatMap((endpoint) => routePaths(endpoint).map((route) => `${endpoint.method} ${route.path}`));
    expect(operations.map(([route]) => route).sort()).toEqual(routes.sort());
    const ids = operations.map(([, operation]) => operation.operationId);
    expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([]);
  });

  test("every placeholder of a path is a parameter of its operation", () => {
    const parameters = (document["components"] as { parameters: Record<string, { name: string; in: string }> }).parameters;
    for (const [route, operation] of operations) {
      const placeholders = [...route.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!);
      const inPath = (operation.parameters ?? [])
        .map(({ $ref }) => parameters[$ref.slice("#/components/parameters/".length)]!)
        .filter((parameter) => parameter.in === "path");
      expect(inPath.map((parameter) => parameter.name).sort(), route).toEqual(placeholders.sort());
    }
  });

  test("callers differ by path", () => {
    const security = Object.fromEntries(operations.map(([route, operation]) => [route, operation.security]));
    const user = [{ sessionCookie: [] }, { sessionToken: [] }];
    expect(security["GET /api/runs"]).toEqual([{ apiKey: [] }]);
    expect(security["GET /api/projects/{project}/environments/{environment}/runs"]).toEqual(user);
    expect(security["GET /api/me"]).toEqual(user);
    expect(security["POST /api/public-access-tokens"]).toEqual([{ apiKey: [] }, ...user]);
    expect(security["POST /api/v1/tokens/{id}/complete"]).toEqual([{ completionToken: [] }]);
    expect(security["POST /api/auth/device/start"]).toEqual([]);
  });

  test("errors carry the codes of their status", () => {
    const responses = (document["components"] as { responses: Record<string, { content: Record<string, { examples: JsonObject }> }> })
      .responses;
    const codes = (key: string) => Object.keys(responses[key]!.content["application/json"]!.examples).sort();
    expect(codes("sessions.start.202")).toEqual(["idempotency_pending"]);
    expect(codes("streams.appendInput.410")).toEqual(["session_expired"]);
    expect(codes("streams.publicReadOutput.403")).toEqual(["token_scope_denied"]);
  });

  test("queries show what a client writes, not the text that travels", () => {
    const parameters = (document["components"] as { parameters: Record<string, { schema: JsonObject }> }).parameters;
    expect(parameters["runs.list.limit"]!.schema).toEqual({ type: "integer", minimum: 1, maximum: 200, default: 100 });
    expect(parameters["runs.events.cursor"]!.schema).toEqual({ type: "integer", minimum: 0 });
    expect(parameters["streams.listOutput.after_sequence"]!.schema).toEqual({ type: "integer", minimum: 0 });
  });

  test("no two schemas claim one name", () => {
    const components = new SchemaComponents();
    for (const { body, response, events, otherResponses } of apiEndpointList) {
      for (const schema of [body, response, ...Object.values(events ?? {}), ...Object.values(otherResponses ?? {})])
        if (schema) components.convert(schema);
    }
    expect([...components.conflicts]).toEqual([]);
    expect(Object.keys(components.schemas)).toEqual(expect.arrayContaining(["Run", "Session", "PendingWait", "Chunk", "Me"]));
  });
});
