import { describe, expect, test } from "vitest";
import { errorDefinitions, parseInput } from "../shared/index.ts";
import { apiEndpointList, apiEndpoints, pathParams, routePaths } from "./index.ts";

describe("the endpoint table", () => {
  test("keys and ids agree", () => {
    const keys = Object.entries(apiEndpoints).flatMap(([resource, verbs]) => Object.keys(verbs).map((verb) => `${resource}.${verb}`));
    expect(apiEndpointList.map((endpoint) => endpoint.id)).toEqual(keys);
    expect(new Set(keys).size).toBe(keys.length);
  });

  test("no two endpoints share a method and a path", () => {
    const routes = apiEndpointList.flatMap((endpoint) => routePaths(endpoint).map((route) => `${endpoint.method} ${route.path}`));
    expect(routes.filter((route, at) => routes.indexOf(route) !== at)).toEqual([]);
  });
});

describe.each(apiEndpointList.map((endpoint) => [endpoint.id, endpoint] as const))("%s", (_id, endpoint) => {
  test("examples validate", () => {
    if (endpoint.body) expect(parseInput(endpoint.body, endpoint.example?.body)).toMatchObject({ ok: true });
    if (endpoint.response) expect(parseInput(endpoint.response, endpoint.example?.response)).toMatchObject({ ok: true });
    expect(endpoint.example?.body === undefined).toBe(endpoint.body === undefined);
    expect(endpoint.example?.response === undefined).toBe(endpoint.response === undefined);
  });

  test("an example answer has no member that its schema does not know", () => {
    if (!endpoint.response) return;
    const example: unknown = JSON.parse(JSON.stringify(endpoint.example?.response));
    expect(endpoint.response.parse(example)).toEqual(example);
  });

  test("path placeholders are the params", () => {
    const shape = endpoint.params && "shape" in endpoint.params ? Object.keys(endpoint.params.shape as object) : [];
    expect(shape.sort()).toEqual(pathParams(endpoint.path).sort());
  });

  test("statuses and codes are those of http §1.2", () => {
    expect(endpoint.statuses.length).toBeGreaterThan(0);
    for (const code of endpoint.errors ?? []) expect(errorDefinitions).toHaveProperty(code);
    const empty = endpoint.statuses.includes(204) || endpoint.statuses.includes(101) || endpoint.statuses.includes(302);
    expect(endpoint.response === undefined).toBe(empty || endpoint.media?.response !== undefined);
  });
});
