/**
 * Who may do what (http §1.3, §1.5): every endpoint of the protocol table, on every path it has, for every kind of caller, over real HTTP against the
 * whole server.
 *
 * Callers: nobody, a wrong bearer, a session of each role, a key with every single scope, with all scopes, with none of them; the same of another
 * organization. Who is refused how follows from the table and the sentences of http §1.3 alone (`expectation`), never from the server. Whoever is not
 * refused gets a valid request (`account-requests.ts`, `environment-requests.ts`) on things of the own tenant that exist, and is answered as the table
 * says; a caller of another organization hears 404 and never sees an id of ours.
 *
 * Behind an endpoint that nobody has implemented yet stands a probe: then only the decision is looked at. A new implementation needs its valid request.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Endpoint, apiEndpointList, fillPath, routePaths } from "@helmr/protocol/api";
import { type Permission, type Role, permissionScopes, rolePermissions } from "@helmr/protocol/shared";
import { openParts, readConfig, serveFront, telemetryTo } from "@helmr/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generateKeyRing, keyRingText } from "../../packages/server/src/key-ring.ts";
import { allows } from "../../packages/server/src/http/route.ts";
import {
  type Accounts,
  type Tenant,
  addDeployment,
  addMember,
  addTenant,
  openAccounts,
} from "../../packages/server/src/operations/accounts.fixture.ts";
import { issueApiKey } from "../../packages/server/src/operations/issue-api-keys.ts";
import { openLoginSession } from "../../packages/server/src/operations/open-login-session.ts";
import { type World, accountRequests } from "./account-requests.ts";
import { environmentRequests } from "./environment-requests.ts";

type RouteForm = ReturnType<typeof routePaths>[number];

interface Caller {
  name: string;
  kind: "nobody" | "wrong" | "session" | "key";
  own: boolean;
  bearer?: string;
  permissions: ReadonlySet<Permission>;
}

const roles: readonly Role[] = ["owner", "admin", "developer", "viewer"];
const origin = "http://localhost:8787";
const requests = { ...accountRequests, ...environmentRequests };
const probed = 299;
let accounts: Accounts;
let world: World;
let base: string;
let implemented: ReadonlySet<string>;
let close: () => Promise<void>;
const callers: Caller[] = [];

beforeAll(async () => {
  const opened = await openAccounts();
  const server = await serve(opened.databaseUrl);
  ({ base, close } = server);
  // Secrets must be sealed with the server's own keys.
  accounts = { ...opened, context: server.context };
  const [own, foreign] = [await addTenant(accounts.context, "own"), await addTenant(accounts.context, "foreign")];
  const { deploymentId } = await addDeployment(accounts, own);
  callers.push({ name: "nobody", kind: "nobody", own: true, permissions: new Set() });
  callers.push({ name: "a wrong bearer", kind: "wrong", own: true, bearer: "x".repeat(60), permissions: new Set() });
  for (const tenant of [own, foreign]) await addCallers(tenant, tenant === own);
  const bearer = callers.find((caller) => caller.name === "own key with all scopes")?.bearer;
  world = { accounts, own, foreign, deploymentId, call: (method, path, body) => send(path, method, { bearer, body }) };
});
afterAll(async () => {
  await close();
  await accounts.close();
});

async function addCallers(tenant: Tenant, own: boolean): Promise<void> {
  const { db } = accounts.context;
  const whose = own ? "own" : "foreign";
  for (const role of roles) {
    const userId = await addMember(accounts, tenant, { email: `${role}@${whose}.example.com`.replace("owner", "owner2"), role });
    const bearer = await openLoginSession(db, userId, "device");
    callers.push({ name: `${whose} ${role}`, kind: "session", own, bearer, permissions: new Set(rolePermissions[role]) });
  }
  const scopes = Object.entries(permissionScopes) as [Permission, (typeof permissionScopes)[keyof typeof permissionScopes]][];
  const key = async (name: string, granted: typeof scopes) => {
    const created = await issueApiKey(db, {
      ...tenant,
      name,
      scopes: granted.map(([, scope]) => scope),
      expiresInDays: null,
      creatorId: tenant.ownerId,
    });
    callers.push({
      name: `${whose} key ${name}`,
      kind: "key",
      own,
      bearer: created.raw_key,
      permissions: new Set(granted.map(([permission]) => permission)),
    });
  };
  await key("with all scopes", scopes);
  await key("without scopes", []);
  for (const scope of own ? scopes : []) await key(scope[1], [scope]);
}

/** The whole front, with a probe behind what is not implemented; no dispatcher, so nothing happens by itself. */
async function serve(databaseUrl: string) {
  const directory = await mkdtemp(join(tmpdir(), "helmr-authorization-"));
  const faults: unknown[] = [];
  const telemetry = telemetryTo((event, details) => {
    if (event === "request_failed" || event === "stream_failed") faults.push(details);
  });
  const config = readConfig({
    HELMR_DATABASE_URL: databaseUrl,
    HELMR_STATE_DIR: directory,
    HELMR_KEY_RING: keyRingText(generateKeyRing()),
    HELMR_MODE: "managed",
    HELMR_PUBLIC_URL: origin,
    PORT: "0",
  });
  const parts = await openParts(config, { telemetry, shared: false });
  const front = await serveFront(config, parts, [
    (routes) => {
      implemented = new Set(routes.implemented);
      for (const endpoint of apiEndpointList) {
        if (!implemented.has(endpoint.id) && endpoint.id !== "auth.localLogin") routes.add(endpoint, async () => ({ status: probed }));
      }
    },
  ]);
  return {
    base: front.address,
    context: parts.accounts,
    close: async () => {
      await front.close();
      await parts.close();
      await rm(directory, { recursive: true, force: true });
      expect(faults).toEqual([]);
    },
  };
}

interface Request {
  endpoint: Endpoint;
  form: RouteForm;
  params: Record<string, string>;
  query?: string | undefined;
  body?: unknown;
}

async function call(caller: Pick<Caller, "bearer">, { endpoint, form, params, query, body }: Request) {
  const scope = { project: world.own.projectId, environment: world.own.environmentId };
  return send(`${fillPath(form.path, { ...scope, ...params })}${query ?? ""}`, endpoint.method, { bearer: caller.bearer, body });
}

async function send(path: string, method: string, { bearer, body }: { bearer: string | undefined; body?: unknown }) {
  const response = await fetch(base + path, {
    method,
    redirect: "manual",
    headers: { origin, ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = response.headers.get("content-type") === "application/json" && text !== "" ? (JSON.parse(text) as unknown) : undefined;
  return { status: response.status, text, json };
}

/** What the contract says before any handler is asked; `undefined`: the request goes through. */
function expectation(endpoint: Endpoint, form: RouteForm, caller: Caller): { status: number; text: string } | undefined {
  if (form.caller === "public") return undefined;
  if (caller.kind === "nobody" || caller.kind === "wrong") return { status: 401, text: "authentication is required" };
  if (form.caller === "user_session" && caller.kind === "key") return { status: 401, text: "session authentication is required" };
  if (form.caller === "api_key" && caller.kind === "session") {
    const single = /^\/sessions\/(\{id\}|by-external-id)/.test(endpoint.path);
    return { status: single ? 403 : 400, text: "session environment scoped requests must use the project environment path" };
  }
  // The path names our own environment: for others it is not there, whatever their role.
  if (form.caller === "user_session" && endpoint.family === "environment" && !caller.own)
    return { status: 404, text: "environment not found" };
  if (!allows(endpoint.permission, caller.permissions)) return { status: 403, text: "permission is required" };
  return undefined;
}

const someId = "01980a00-0000-7000-8000-00000000ffff";

/** Valid for every placeholder of the table, and of nothing that exists. */
function someParams(endpoint: Endpoint): Record<string, string> {
  const names = [...endpoint.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as string);
  return Object.fromEntries(names.filter((name) => name !== "project" && name !== "environment").map((name) => [name, someId]));
}

const forms = apiEndpointList
  .filter((endpoint) => endpoint.id !== "auth.localLogin")
  .flatMap((endpoint) => routePaths(endpoint).map((form) => [`${endpoint.method} ${form.path}`, endpoint, form] as const));

describe("the route layer", () => {
  test("there are callers of every kind", () => {
    expect(callers.filter((caller) => caller.kind === "key" && caller.own)).toHaveLength(Object.keys(permissionScopes).length + 2);
    expect(callers.filter((caller) => caller.kind === "session")).toHaveLength(8);
  });

  // Nothing valid is sent: whoever is refused is refused before the request is looked at, and whoever is not hears about the request.
  test.each(forms.filter(([, endpoint]) => endpoint.family !== "public" && endpoint.family !== "root"))(
    "%s",
    async (_name, endpoint, form) => {
      const query = form.byExternalId ? "?external_id=none" : "";
      const body = endpoint.method === "GET" || endpoint.method === "DELETE" ? undefined : { surplus_field: true };
      for (const caller of callers) {
        const expected = expectation(endpoint, form, caller);
        // A real handler could change something; those are asked below, with valid requests.
        if (!expected && requests[endpoint.id]) continue;
        const answer = await call(caller, { endpoint, form, params: someParams(endpoint), query, body });
        if (expected)
          expect({ caller: caller.name, ...answer }).toMatchObject({
            caller: caller.name,
            status: expected.status,
            text: expect.stringContaining(expected.text),
          });
        else expect([probed, 400], `${caller.name}: ${answer.text}`).toContain(answer.status);
      }
    },
  );
});

describe("a session by cookie", () => {
  test.each(forms.filter(([, endpoint, form]) => endpoint.method !== "GET" && form.caller !== "public" && form.caller !== "api_key"))(
    "%s is refused from another origin and without one",
    async (_name, endpoint, form) => {
      const token = await openLoginSession(accounts.context.db, world.own.ownerId, "browser");
      const path = fillPath(form.path, { project: world.own.projectId, environment: world.own.environmentId, ...someParams(endpoint) });
      const origins: Record<string, string>[] = [{ origin: "https://evil.example" }, { origin: "null" }, {}];
      for (const headers of origins) {
        const response = await fetch(base + path, {
          method: endpoint.method,
          headers: { cookie: `helmr_session_dev=${token}`, ...headers },
        });
        expect(response.status).toBe(403);
      }
    },
  );
});

describe("a valid request", () => {
  test("is there for every endpoint that is implemented", () => {
    const credentialed = apiEndpointList.filter(
      (endpoint) => !["public", "root"].includes(endpoint.family) || endpoint.id.startsWith("auth."),
    );
    const needed = credentialed.filter((endpoint) => implemented.has(endpoint.id)).map((endpoint) => endpoint.id);
    expect(needed.filter((id) => !(id in requests) && id !== "auth.localLogin")).toEqual([]);
    expect(Object.keys(requests).filter((id) => !apiEndpointList.some((endpoint) => endpoint.id === id))).toEqual([]);
  });

  test.each(forms.filter(([, endpoint]) => endpoint.id in requests))("%s", async (_name, endpoint, form) => {
    const build = requests[endpoint.id];
    for (const caller of callers.filter((one) => !expectation(endpoint, form, one))) {
      const request = await build!(world);
      const bearer = request.withoutCredential ? undefined : caller.bearer;
      const query = form.byExternalId || !endpoint.byExternalId ? request.query : undefined;
      const answer = await call({ bearer }, { endpoint, form, params: request.params ?? {}, query, body: request.body });
      const expected = caller.own ? (request.own ?? endpoint.statuses) : (request.foreign ?? [404]);
      const allowed = implemented.has(endpoint.id) ? expected : [probed];
      expect(allowed, `${caller.name}: ${answer.status} ${answer.text}`).toContain(answer.status);
      if (!caller.own) for (const id of idsOf(world.own)) expect(answer.text, caller.name).not.toContain(id);
    }
  });
});

function idsOf(tenant: Tenant): string[] {
  return [tenant.orgId, tenant.ownerId, tenant.projectId, tenant.environmentId, tenant.stagingId, world.deploymentId];
}
