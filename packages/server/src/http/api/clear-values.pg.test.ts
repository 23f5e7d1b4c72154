/** No credential and no secret value is anywhere in the database in a form that could be used: every table, every column, text and bytes. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureLocalInstall } from "../../operations/ensure-local-install.ts";
import { type AccountServer, foundOrganization, linkToken, sessionCookie, startAccountServer } from "../account-server.fixture.ts";

let server: AccountServer;
beforeAll(async () => {
  server = await startAccountServer();
});
afterAll(() => server.close());

/** Every row of every table as one text each; bytes as hexadecimal. */
async function dump(): Promise<string> {
  const tables = await server.sql<{ name: string }>(
    "select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public'",
  );
  const rows = await Promise.all(tables.map(({ name }) => server.sql<{ row: string }>(`select t::text as row from ${name} t`)));
  return rows
    .flat()
    .map(({ row }) => row)
    .join("\n");
}

test("tokens are stored as hashes, secret values sealed", async () => {
  const clear: Record<string, string> = {};
  const { cookie } = await foundOrganization(server);
  clear.session = cookie.split("=")[1] ?? "";

  clear.secret = "secret-value-that-must-not-be-seen";
  await server.call("PUT", "/api/projects/shop/environments/production/secrets/A", { cookie, body: { value: clear.secret } });

  const keyBody = { name: "k", expires_in_days: null, permissions: [{ scopes: ["runs:read"] }] };
  clear.key = (await server.call("POST", "/api/projects/shop/environments/production/api-keys", { cookie, body: keyBody })).json
    .raw_key as string;

  const invitation = await server.call("POST", "/api/invitations", { cookie, body: { email: "new@example.com", role: "viewer" } });
  clear.invitation = new URL(invitation.json.invite_url as string).searchParams.get("token") ?? "";

  server.mails.length = 0;
  await server.call("POST", "/api/auth/magic-link/start", { body: { email: "owner@example.com" } });
  await server.context.outbox.idle();
  clear.magicLink = linkToken(server.mails[0]);

  const device = (await server.call("POST", "/api/auth/device/start")).json as { device_code: string; user_code: string };
  clear.deviceCode = device.device_code;
  await server.call("POST", "/api/auth/device/approve", { cookie, body: { user_code: device.user_code } });
  clear.deviceSession = (await server.call("POST", "/api/auth/device/token", { body: { device_code: device.device_code } })).json
    .access_token as string;

  const install = await ensureLocalInstall({ ...server.context, publicUrl: server.origin }, undefined);
  clear.installKey = install.apiKey;
  clear.localLink = new URL(install.loginUrl).searchParams.get("token") ?? "";
  clear.setupToken = "s3tup-token";

  const stored = await dump();
  expect(stored).toContain("owner@example.com");
  for (const [kind, value] of Object.entries(clear)) {
    expect(value.length, kind).toBeGreaterThan(10);
    expect(stored.includes(value), `${kind} as text`).toBe(false);
    expect(stored.includes(Buffer.from(value).toString("hex")), `${kind} as bytes`).toBe(false);
    // Prefixes may be shown; what makes a credential secret may not.
    expect(stored.includes(value.slice(-20)), `the end of ${kind}`).toBe(false);
  }
});

test("a hash out of the database is no credential", async () => {
  const rows = await server.sql<{ hash: string }>(
    "select encode(key_hash, 'hex') as hash from api_keys union all select encode(token_hash, 'hex') from login_sessions",
  );
  expect(rows.length).toBeGreaterThan(2);
  for (const { hash } of rows) {
    expect((await server.call("GET", "/api/me", { bearer: hash })).status).toBe(401);
    expect((await server.call("GET", "/api/me", { cookie: `helmr_session_dev=${hash}` })).status).toBe(401);
    expect(sessionCookie(await server.call("POST", "/api/auth/magic-link/finish", { body: { token: hash } }))).toBe("no session cookie");
  }
});
