/** Every endpoint of the protocol table has a handler, on every path it has. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { apiEndpointList, routePaths } from "@helmr/protocol/api";
import { type ControlPlane, controlPlane } from "@helmr/test/platform";
import { type TestDatabase, testDatabase } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

let database: TestDatabase;
let plane: ControlPlane;
beforeAll(async () => {
  database = await testDatabase();
  plane = await controlPlane({ databaseUrl: database.url, migrated: true, dispatcher: false });
});
afterAll(async () => {
  await plane.close();
  await database.drop();
});

describe("endpoints", () => {
  test("are implemented, and nothing else is", () => {
    const missing = apiEndpointList.map((endpoint) => endpoint.id).filter((id) => !plane.implemented.has(id));
    expect(missing).toEqual([]);
    expect([...plane.implemented].filter((id) => !apiEndpointList.some((endpoint) => endpoint.id === id))).toEqual([]);
  });

  test("answer on every path: never the 404 of an unknown one", async () => {
    for (const endpoint of apiEndpointList) {
      if (!plane.implemented.has(endpoint.id)) continue;
      for (const { path } of routePaths(endpoint)) {
        const answer = await plane.api.call(
          endpoint.method,
          path.replace(/\{[A-Za-z]+\}/g, "01980a00-0000-7000-8000-000000000001"),
          endpoint.body ? { body: {} } : {},
        );
        expect(answer.json, `${endpoint.method} ${path}`).not.toEqual({ error: "not found" });
        expect([405, 500, 501], `${endpoint.method} ${path}: ${answer.text}`).not.toContain(
          answer.status === 501 && endpoint.id.includes("github") ? 0 : answer.status,
        );
      }
    }
    expect(plane.faults).toEqual([]);
  });
});

describe("beside the API", () => {
  test("health touches nothing, readiness asks the database", async () => {
    expect(await plane.api.call("GET", "/healthz")).toMatchObject({ status: 200, json: { status: "ok" } });
    expect(await plane.api.call("GET", "/readyz")).toMatchObject({ status: 200, json: { status: "ready" } });
  });

  test("the OpenAPI document that is checked in is served, to anybody", async () => {
    const url = `${plane.url}/api/openapi.json`;
    const answer = await fetch(url);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
    const file = join(import.meta.dirname, "..", "..", "packages", "protocol", "reference", "api.openapi.json");
    expect(await answer.json()).toEqual(JSON.parse(await readFile(file, "utf8")));
    const again = await fetch(url, { headers: { "if-none-match": answer.headers.get("etag")! } });
    expect(again.status).toBe(304);
  });

  test("without a console a page is 404", async () => {
    expect((await plane.api.call("GET", "/sessions")).status).toBe(404);
    expect((await plane.api.call("GET", "/npm/@helmr%2fsdk")).status).toBe(404);
  });
});
