import { authEndpoints, tokenEndpoints } from "@helmr/protocol/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createApp, refuseOtherMethods } from "./app.ts";
import { allowCrossOrigin } from "./cors.ts";
import { createRoutes } from "./route.ts";

const app = createApp({ onFault: () => undefined, trustProxy: false });
const complete = "/api/v1/tokens/01980a00-0000-7000-8000-00000000000d/complete";
const ours = "https://app.example.com";

beforeAll(async () => {
  const authenticator = {
    authenticate: async () => ({ kind: "anonymous" }) as const,
    resolveScope: async () => Promise.reject(new RangeError("not asked")),
  };
  const routes = createRoutes(app, authenticator);
  routes.add(tokenEndpoints.publicComplete, async () => ({ refused: true, status: 401, code: "token_scope_denied", message: "no" }));
  routes.add(authEndpoints.methods, async () => ({ body: { github: false, magic_link: true, local_link: false } }));
  allowCrossOrigin(app, [tokenEndpoints.publicComplete], new Set([ours]));
  refuseOtherMethods(app, routes.registered);
  await app.ready();
});
afterAll(() => app.close());

const corsHeaders = (headers: Record<string, unknown>) => Object.keys(headers).filter((name) => name.startsWith("access-control-"));

describe("a public route", () => {
  test("answers an allowed origin, refusals included, without credentials", async () => {
    const answer = await app.inject({ method: "POST", url: complete, headers: { origin: ours }, payload: "{}" });
    expect(answer.statusCode).toBe(401);
    expect(answer.headers).toMatchObject({ "access-control-allow-origin": ours, vary: "Origin" });
    expect(corsHeaders(answer.headers)).toEqual(["access-control-allow-origin"]);
  });

  test("answers an allowed origin also when the version is refused", async () => {
    const answer = await app.inject({
      method: "POST",
      url: complete,
      headers: { origin: ours, "helmr-api-version": "1999-01-01" },
      payload: "{}",
    });
    expect(answer.statusCode).toBe(400);
    expect(answer.headers["access-control-allow-origin"]).toBe(ours);
  });

  test.each(["https://app.example.com.evil.example", "http://app.example.com", "https://app.example.com:444", "null", ""])(
    "gives origin %j no header that lets a page read the answer",
    async (origin) => {
      const answer = await app.inject({ method: "POST", url: complete, headers: { origin }, payload: "{}" });
      expect(corsHeaders(answer.headers)).toEqual([]);
      const preflight = await app.inject({
        method: "OPTIONS",
        url: complete,
        headers: { origin, "access-control-request-method": "POST" },
      });
      expect(preflight.statusCode).toBe(204);
      expect(corsHeaders(preflight.headers)).toEqual([]);
    },
  );

  test("answers a preflight with the methods of the route", async () => {
    const headers = { origin: ours, "access-control-request-method": "POST", "access-control-request-headers": "authorization" };
    const answer = await app.inject({ method: "OPTIONS", url: complete, headers });
    expect(answer.statusCode).toBe(204);
    expect(answer.body).toBe("");
    expect(answer.headers).toMatchObject({
      "access-control-allow-origin": ours,
      "access-control-allow-methods": "POST",
      "access-control-allow-headers": "authorization, content-type, Helmr-API-Version",
      "access-control-max-age": "600",
      vary: "Origin",
    });
    expect(answer.headers["access-control-allow-credentials"]).toBeUndefined();
  });
});

test("every other route has no CORS headers and no preflight", async () => {
  const answer = await app.inject({ method: "GET", url: "/api/auth/methods", headers: { origin: ours } });
  expect(answer.statusCode).toBe(200);
  expect(corsHeaders(answer.headers)).toEqual([]);
  expect((await app.inject({ method: "OPTIONS", url: "/api/auth/methods", headers: { origin: ours } })).statusCode).toBe(405);
});
