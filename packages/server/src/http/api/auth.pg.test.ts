/** Logins over HTTP (http §15.1, §15.2): every row of the table with its statuses, cookies and texts. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { rolePermissions } from "@helmr/protocol/shared";
import { type GithubServer, startGithubServer } from "../../github.fixture.ts";
import { ensureLocalInstall } from "../../operations/ensure-local-install.ts";
import {
  type AccountServer,
  foundOrganization,
  joinAs,
  linkToken,
  logIn,
  sessionCookie,
  startAccountServer,
} from "../account-server.fixture.ts";

const cookieOf = (name: string) => new RegExp(`^${name}=([^;]*); Path=/; HttpOnly; SameSite=Lax; Max-Age=(\\d+)$`);
const secureCookieOf = (name: string) => new RegExp(`^${name}=([^;]*); Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=(\\d+)$`);

async function startLink(server: AccountServer, email: string, next?: string): Promise<string> {
  await server.context.outbox.idle();
  const before = server.mails.length;
  const answer = await server.call("POST", "/api/auth/magic-link/start", { body: { email, ...(next === undefined ? {} : { next }) } });
  expect(answer).toMatchObject({ status: 200, json: { sent: true, email } });
  await server.context.outbox.idle();
  return linkToken(server.mails[before]);
}

describe("on http", () => {
  let server: AccountServer;
  beforeAll(async () => {
    server = await startAccountServer();
  });
  afterEach(() => server.sql("truncate organizations, users, magic_links, rate_limits cascade"));
  afterAll(() => server.close());

  test("GET /api/auth/methods says what works", async () => {
    expect(await server.call("GET", "/api/auth/methods")).toMatchObject({
      status: 200,
      text: '{"github":false,"magic_link":true,"local_link":false}\n',
    });
  });

  test("GitHub's routes are 501 while it is not configured; the local link is absent", async () => {
    expect(await server.call("POST", "/api/auth/github/start", { body: {} })).toMatchObject({
      status: 501,
      json: { error: expect.any(String) },
    });
    expect(await server.call("POST", "/api/auth/github/invite/start", { body: { token: "x" } })).toMatchObject({ status: 501 });
    expect(await server.call("POST", "/api/auth/github/finish", { body: {} })).toMatchObject({ status: 501 });
    expect((await server.call("GET", "/dev/login?token=x")).status).toBe(404);
  });

  test("a magic link sets helmr_session_dev for 30 days, not Secure", async () => {
    const token = await startLink(server, "a@example.com", "/runs");
    const finished = await server.call("POST", "/api/auth/magic-link/finish", { body: { token } });
    expect(finished).toMatchObject({ status: 200, json: { redirect_after: "/runs" } });
    expect(finished.cookies).toHaveLength(1);
    expect(finished.cookies[0]).toMatch(cookieOf("helmr_session_dev"));
    expect(cookieOf("helmr_session_dev").exec(finished.cookies[0]!)?.[2]).toBe("2592000");
    const again = await server.call("POST", "/api/auth/magic-link/finish", { body: { token } });
    expect(again).toMatchObject({ status: 401, json: { error: expect.any(String), error_kind: "invalid_token" } });
    expect(again.cookies).toEqual([]);
  });

  test.each([
    ["no address", {}, 400],
    ["no e-mail address", { email: "nobody" }, 400],
    ["an unknown field", { email: "a@example.com", other: 1 }, 400],
    ["a foreign next", { email: "a@example.com", next: "https://evil.example" }, 400],
    ["a scheme-relative next", { email: "a@example.com", next: "//evil.example" }, 400],
    ["a backslash next", { email: "a@example.com", next: "/\\evil.example" }, 400],
    ["a tab in next", { email: "a@example.com", next: "/\t/evil.example" }, 400],
  ])("a start with %s is 400", async (_case, body, status) => {
    const answer = await server.call("POST", "/api/auth/magic-link/start", { body });
    expect(answer.status).toBe(status);
    expect(answer.json.error).toEqual(expect.any(String));
  });

  test("addresses are the same in any case", async () => {
    await startLink(server, "a@example.com");
    const answer = await server.call("POST", "/api/auth/magic-link/start", { body: { email: " A@Example.COM " } });
    expect(answer.json).toEqual({ sent: true, email: "a@example.com" });
  });

  test("the session cookie works until logout, which clears it and ends bearer and cookie session", async () => {
    const [one, two] = [await logIn(server, "a@example.com"), await logIn(server, "a@example.com")];
    const bearer = two.split("=")[1] ?? "";
    expect((await server.call("GET", "/api/me", { cookie: one })).status).toBe(200);
    expect((await server.call("GET", "/api/me", { bearer })).status).toBe(200);
    const out = await server.call("POST", "/api/auth/logout", { cookie: one, bearer });
    expect(out).toMatchObject({ status: 204, text: "" });
    expect(out.cookies).toEqual(["helmr_session_dev=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"]);
    expect((await server.call("GET", "/api/me", { cookie: one })).status).toBe(401);
    expect((await server.call("GET", "/api/me", { bearer })).status).toBe(401);
  });

  test("logout without or with a dead session is 204 too", async () => {
    expect((await server.call("POST", "/api/auth/logout")).status).toBe(204);
    expect((await server.call("POST", "/api/auth/logout", { bearer: "x".repeat(50) })).status).toBe(204);
    expect((await server.call("POST", "/api/auth/logout", { cookie: "helmr_session_dev=dead" })).status).toBe(204);
  });

  test("GET /api/me: 401 without a session and clears the cookie; with one everything of the role", async () => {
    const refused = await server.call("GET", "/api/me");
    expect(refused).toMatchObject({ status: 401, text: '{"error":"authentication is required"}\n' });
    expect(refused.cookies).toEqual([
      "__Host-helmr_session=; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=0",
      "helmr_session_dev=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0",
    ]);
    const { cookie, orgId } = await foundOrganization(server);
    expect((await server.call("GET", "/api/me", { cookie })).json).toEqual({
      user_id: expect.any(String),
      display_name: "",
      profile_image_url: "",
      public_url: "http://localhost:8787",
      org_id: orgId,
      org_name: "Acme",
      org_slug: "acme",
      role: "owner",
      permissions: [...rolePermissions.owner],
      organization_required: false,
      project_required: false,
      access_required: false,
      setup_token_required: false,
    });
    const viewer = await joinAs(server, cookie, { email: "v@example.com", role: "viewer" });
    expect((await server.call("GET", "/api/me", { cookie: viewer.cookie })).json.permissions).toEqual([...rolePermissions.viewer]);
  });

  test("POST /api/organizations: 201, wrong setup token 403, a second one 409, bad fields 400, signed out 401", async () => {
    const cookie = await logIn(server, "a@example.com");
    const body = { slug: "acme", name: "Acme", setup_token: "s3tup-token" };
    const create = (change: object, session: string | undefined = cookie) =>
      server.call("POST", "/api/organizations", { cookie: session, body: { ...body, ...change } });
    expect((await server.call("POST", "/api/organizations", { body })).status).toBe(401);
    expect(await create({ setup_token: "wrong" })).toMatchObject({ status: 403 });
    expect(await create({ setup_token: undefined })).toMatchObject({ status: 403 });
    for (const change of [{ slug: "Not a slug" }, { slug: "" }, { name: "" }, { name: "x".repeat(81) }, { other: 1 }])
      expect((await create(change)).status).toBe(400);
    expect(await create({})).toMatchObject({
      status: 201,
      json: { id: expect.any(String), slug: "acme", name: "Acme", created_at: expect.stringMatching(/Z$/) },
    });
    expect(await create({})).toMatchObject({ status: 409 });
  });

  test("guesses of the setup token run into a limit", async () => {
    const cookie = await logIn(server, "a@example.com");
    const guess = () => server.call("POST", "/api/organizations", { cookie, body: { slug: "acme", name: "Acme", setup_token: "guess" } });
    const statuses = [];
    for (let count = 0; count < 25; count += 1) statuses.push((await guess()).status);
    expect(statuses.filter((status) => status === 403)).toHaveLength(20);
    const limited = await guess();
    expect(limited.status).toBe(503);
    expect(Number(limited.headers.get("retry-after"))).toBeGreaterThan(0);
  });

  test("pages of other sites can neither start, nor finish, nor end a login", async () => {
    const token = await startLink(server, "a@example.com");
    const headers = { origin: "https://evil.example" };
    for (const [path, body] of [
      ["/api/auth/magic-link/start", { email: "a@example.com" }],
      ["/api/auth/magic-link/finish", { token }],
      ["/api/auth/magic-link/invite/start", { token: "x" }],
      ["/api/auth/device/start", undefined],
      ["/api/auth/device/token", { device_code: "x" }],
    ] as const) {
      expect(await server.call("POST", path, { body, headers })).toMatchObject({ status: 403, cookies: [] });
    }
    const cookie = sessionCookie(
      await server.call("POST", "/api/auth/magic-link/finish", { body: { token }, headers: { origin: server.origin } }),
    );
    expect((await server.call("POST", "/api/auth/logout", { cookie, headers })).status).toBe(403);
    expect((await server.call("GET", "/api/me", { cookie })).status).toBe(200);
  });

  test("an invitation's link joins; error_kind of every refusal", async () => {
    const { cookie } = await foundOrganization(server);
    const member = await joinAs(server, cookie, { email: "m@example.com", role: "developer" });
    expect((await server.call("GET", "/api/me", { cookie: member.cookie })).json).toMatchObject({ role: "developer", org_slug: "acme" });
    expect(await server.call("POST", "/api/auth/magic-link/invite/start", { body: { token: "hlmr_inv_x" } })).toMatchObject({
      status: 401,
      json: { error_kind: "invalid_token" },
    });
    const token = await startLink(server, "m@example.com");
    await server.call("DELETE", `/api/members/${member.userId}`, { cookie });
    expect(await server.call("POST", "/api/auth/magic-link/finish", { body: { token } })).toMatchObject({
      status: 403,
      json: { error_kind: "disabled_member" },
    });
  });
});

describe("the device flow", () => {
  let server: AccountServer;
  let cookie: string;
  beforeAll(async () => {
    server = await startAccountServer();
    cookie = (await foundOrganization(server)).cookie;
  });
  afterAll(() => server.close());

  const start = () => server.call("POST", "/api/auth/device/start");
  const poll = (body: unknown) => server.call("POST", "/api/auth/device/token", { body });

  test("start needs no body and is 201", async () => {
    const started = await start();
    expect(started).toMatchObject({
      status: 201,
      json: { expires_in_seconds: 600, interval_seconds: 5, verification_uri: "http://localhost:8787/auth/device" },
    });
    expect(started.json.user_code).toMatch(/^[A-Z]{4}-[A-Z]{4}$/);
    expect((await server.call("POST", "/api/auth/device/start", { body: {} })).status).toBe(201);
  });

  test("pending 202, approved 200 with a bearer session, consumed 400", async () => {
    const { device_code, user_code } = (await start()).json as { device_code: string; user_code: string };
    expect(await poll({ device_code })).toMatchObject({ status: 202, text: '{"error":"authorization_pending"}\n' });
    const spoken = user_code.toLowerCase().replace("-", " ");
    expect(await server.call("GET", `/api/auth/device/status?user_code=${encodeURIComponent(spoken)}`, { cookie })).toMatchObject({
      status: 200,
      json: { status: "pending", expires_at: expect.any(String) },
    });
    expect(await server.call("POST", "/api/auth/device/approve", { cookie, body: { user_code } })).toMatchObject({
      status: 200,
      json: { status: "approved" },
    });
    const token = await poll({ device_code });
    expect(token).toMatchObject({ status: 200, json: { token_type: "bearer", expires_in_seconds: 2_592_000 } });
    expect(await server.call("GET", "/api/me", { bearer: token.json.access_token as string })).toMatchObject({
      status: 200,
      json: { role: "owner" },
    });
    expect(await poll({ device_code })).toMatchObject({ status: 400, text: '{"error":"invalid_request"}\n' });
    expect((await server.call("GET", `/api/auth/device/status?user_code=${user_code}`, { cookie })).json).toEqual({ status: "consumed" });
  });

  test("denied 400 access_denied, expired 400 expired_token", async () => {
    const one = (await start()).json as { device_code: string; user_code: string };
    expect(await server.call("POST", "/api/auth/device/deny", { cookie, body: { user_code: one.user_code } })).toMatchObject({
      status: 200,
      json: { status: "denied" },
    });
    expect(await poll({ device_code: one.device_code })).toMatchObject({ status: 400, text: '{"error":"access_denied"}\n' });
    const two = (await start()).json as { device_code: string; user_code: string };
    await server.sql("update device_logins set expires_at = now() where user_code = $1", [two.user_code]);
    expect(await poll({ device_code: two.device_code })).toMatchObject({ status: 400, text: '{"error":"expired_token"}\n' });
  });

  test.each([
    [undefined],
    ["{"],
    [{}],
    [{ device_code: "" }],
    [{ device_code: 4 }],
    [{ device_code: "hlmr_dc_x", other: 1 }],
    [{ device_code: "hlmr_dc_x" }],
  ])("a refused body %j is invalid_request", async (body) =>
    expect(await poll(body)).toMatchObject({ status: 400, text: '{"error":"invalid_request"}\n' }),
  );

  test("status, approve and deny need a session and a code that exists", async () => {
    for (const verb of ["approve", "deny"]) {
      expect((await server.call("POST", `/api/auth/device/${verb}`, { body: { user_code: "AAAA-AAAA" } })).status).toBe(401);
      expect((await server.call("POST", `/api/auth/device/${verb}`, { cookie, body: { user_code: "AAAA-AAAA" } })).status).toBe(404);
      expect((await server.call("POST", `/api/auth/device/${verb}`, { cookie, body: { user_code: "AAAA" } })).status).toBe(400);
      expect(
        (
          await server.call("POST", `/api/auth/device/${verb}`, {
            cookie,
            body: { user_code: "AAAA-AAAA" },
            headers: { origin: "https://evil.example" },
          })
        ).status,
      ).toBe(403);
    }
    expect((await server.call("GET", "/api/auth/device/status?user_code=AAAA-AAAA")).status).toBe(401);
    expect((await server.call("GET", "/api/auth/device/status?user_code=AAAA-AAAA", { cookie })).status).toBe(404);
    expect((await server.call("GET", "/api/auth/device/status", { cookie })).status).toBe(400);
  });
});

describe("on https with GitHub", () => {
  let github: GithubServer;
  let server: AccountServer;
  const ada = { id: 1, login: "ada", name: "Ada", avatar_url: "", emails: [{ email: "ada@example.com", primary: true, verified: true }] };
  beforeAll(async () => {
    github = await startGithubServer();
    server = await startAccountServer({
      publicUrl: "https://helmr.example.com",
      githubClientId: github.clientId,
      githubClientSecret: github.clientSecret,
      githubUrl: github.url,
      githubApiUrl: `${github.url}/api`,
      magicLinkDebug: true,
    });
  });
  beforeEach(() => server.sql("truncate organizations, users cascade"));
  afterAll(async () => {
    await server.close();
    await github.close();
  });

  const flowCookie = (cookies: string[]) => cookies.find((cookie) => cookie.startsWith("__Host-helmr_auth_flow="))?.split(";")[0] ?? "";

  test("start sets the flow cookie for ten minutes, finish trades it for the session cookie", async () => {
    expect((await server.call("GET", "/api/auth/methods")).json).toEqual({ github: true, magic_link: true, local_link: false });
    const started = await server.call("POST", "/api/auth/github/start", {
      body: { next: "/runs" },
      headers: { origin: "https://helmr.example.com" },
    });
    expect(started.status).toBe(200);
    expect(started.cookies).toHaveLength(1);
    expect(started.cookies[0]).toMatch(secureCookieOf("__Host-helmr_auth_flow"));
    expect(secureCookieOf("__Host-helmr_auth_flow").exec(started.cookies[0]!)?.[2]).toBe("600");
    const back = await github.agree(started.json.redirect_url as string, ada);
    expect(`${back.origin}${back.pathname}`).toBe("https://helmr.example.com/auth/github/callback");
    const body = Object.fromEntries(back.searchParams);
    const finished = await server.call("POST", "/api/auth/github/finish", { body, cookie: flowCookie(started.cookies) });
    expect(finished).toMatchObject({ status: 200, json: { redirect_after: "/runs" } });
    expect(finished.cookies[0]).toBe("__Host-helmr_auth_flow=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0");
    expect(finished.cookies[1]).toMatch(secureCookieOf("__Host-helmr_session"));
    expect((await server.call("GET", "/api/me", { cookie: sessionCookie(finished) })).json).toMatchObject({
      display_name: "Ada",
      organization_required: true,
      setup_token_required: true,
    });
    const again = await server.call("POST", "/api/auth/github/finish", { body, cookie: flowCookie(started.cookies) });
    expect(again).toMatchObject({ status: 401, json: { error_kind: "invalid_token" } });
  });

  test("finish: 401 unauthenticated without the cookie or when declined, 403 no_account, 502 when GitHub is away", async () => {
    const started = await server.call("POST", "/api/auth/github/start", { body: {} });
    const cookie = flowCookie(started.cookies);
    const finish = (body: object, session?: string) => server.call("POST", "/api/auth/github/finish", { body, cookie: session });
    const back = Object.fromEntries((await github.agree(started.json.redirect_url as string, ada)).searchParams);
    expect(await finish(back)).toMatchObject({ status: 401, json: { error_kind: "unauthenticated" } });
    expect(await finish({ error: "access_denied", error_description: "no" }, cookie)).toMatchObject({
      status: 401,
      json: { error_kind: "unauthenticated" },
    });
    github.break("/login/oauth/access_token", (response) => response.writeHead(503).end());
    expect(await finish(back, cookie)).toMatchObject({ status: 502 });
    github.break("/login/oauth/access_token", undefined);
    await server.sql("insert into organizations (id, slug, name) values (gen_random_uuid(), 'acme', 'Acme')");
    expect(await finish(back, cookie)).toMatchObject({ status: 403, json: { error_kind: "no_account" } });
  });

  test("a session cookie of http does not count", async () => {
    const answer = await server.call("POST", "/api/auth/magic-link/start", { body: { email: "a@example.com" } });
    const token = new URL(answer.json.debug_url as string).searchParams.get("token");
    const finished = await server.call("POST", "/api/auth/magic-link/finish", { body: { token } });
    const value = sessionCookie(finished).split("=")[1];
    expect((await server.call("GET", "/api/me", { cookie: `__Host-helmr_session=${value}` })).status).toBe(200);
    expect((await server.call("GET", "/api/me", { cookie: `helmr_session_dev=${value}` })).status).toBe(401);
  });
});

describe("on one machine", () => {
  let server: AccountServer;
  beforeAll(async () => {
    server = await startAccountServer({ mode: "local" });
  });
  afterAll(() => server.close());

  test("the login link sets the session cookie once and goes to /", async () => {
    expect((await server.call("GET", "/api/auth/methods")).json.local_link).toBe(true);
    const { loginUrl } = await ensureLocalInstall({ ...server.context, publicUrl: server.origin }, undefined);
    const path = loginUrl.slice(server.origin.length);
    const answer = await server.call("GET", path);
    expect(answer.status).toBe(302);
    expect(answer.headers.get("location")).toBe("/");
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.cookies[0]).toMatch(cookieOf("helmr_session_dev"));
    expect((await server.call("GET", "/api/me", { cookie: sessionCookie(answer) })).json).toMatchObject({
      role: "owner",
      org_slug: "local",
    });
    for (const used of [path, "/dev/login?token=wrong"]) {
      expect(await server.call("GET", used)).toMatchObject({ status: 401, json: { error_kind: "invalid_token" }, cookies: [] });
    }
  });

  test("every name of this machine may use the cookie, other ports and hosts may not", async () => {
    const { loginUrl } = await ensureLocalInstall({ ...server.context, publicUrl: server.origin }, undefined);
    const cookie = sessionCookie(await server.call("GET", loginUrl.slice(server.origin.length)));
    const create = (origin: string | undefined) =>
      server.call("POST", "/api/projects", {
        cookie,
        headers: { origin: origin ?? "" },
        body: { slug: `p-${Math.random().toString(36).slice(2)}`, name: "P" },
      });
    for (const host of ["localhost", "127.0.0.1", "[::1]"]) expect((await create(`http://${host}:8787`)).status).toBe(201);
    for (const origin of ["http://localhost:8788", "https://localhost:8787", "http://localhost.evil.example:8787", "null", ""])
      expect((await create(origin)).status).toBe(403);
  });

  test("a server that listens on every interface has no local link", async () => {
    const open = await startAccountServer({ mode: "local", host: "0.0.0.0" });
    expect((await open.call("GET", "/api/auth/methods")).json.local_link).toBe(false);
    expect((await open.call("GET", "/dev/login?token=x")).status).toBe(404);
    await open.close();
  });
});
