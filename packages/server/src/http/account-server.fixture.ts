/** For tests: the routes of accounts on a real socket over a real database, with an outbox that keeps its mails. */
import type { AddressInfo } from "node:net";
import { testDatabase } from "@helmr/test/services";
import { type AccountConfig, accountSettings } from "../account-settings.ts";
import { type Hints, openHints } from "../hints.ts";
import { generateKeyRing } from "../key-ring.ts";
import { type Mail, openOutbox } from "../mail/outbox.ts";
import type { AccountContext } from "../account-context.ts";
import { openKeys } from "../secrets.ts";
import { type Db, openDb } from "../store/db.ts";
import { addAccountRoutes } from "./api/accounts.ts";
import { createApp, refuseOtherMethods } from "./app.ts";
import { openAuthenticator } from "./auth/authenticate.ts";
import { createRoutes } from "./route.ts";

export interface AccountServer {
  context: AccountContext;
  db: Db;
  hints: Hints;
  databaseUrl: string;
  origin: string;
  mails: Mail[];
  /** One request; `origin` defaults to our own when a cookie is sent, as a browser does. */
  call(method: string, path: string, options?: CallOptions): Promise<Answered>;
  close(): Promise<void>;
}

export interface CallOptions {
  body?: unknown;
  cookie?: string;
  bearer?: string;
  headers?: Record<string, string>;
}

export interface Answered {
  status: number;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers
  json: any;
  text: string;
  headers: Headers;
  cookies: string[];
}

export interface ServerOptions extends Partial<AccountConfig> {
  /** A database of another server, to stand beside it. */
  databaseUrl?: string;
  onQuery?: (statement: string) => void;
}

const defaults: AccountConfig = {
  mode: "self_hosted",
  publicUrl: "http://localhost:8787",
  host: "127.0.0.1",
  corsOrigins: [],
  setupToken: "s3tup-token",
  magicLinkDebug: false,
  githubClientId: "",
  githubClientSecret: "",
  githubUrl: "https://github.invalid",
  githubApiUrl: "https://api.github.invalid",
};

export async function startAccountServer(options: ServerOptions = {}): Promise<AccountServer> {
  const { databaseUrl, onQuery, ...config } = options;
  const database = databaseUrl === undefined ? await testDatabase() : undefined;
  const url = databaseUrl ?? database?.url ?? "";
  const db = openDb({
    url,
    poolSize: 10,
    ...(onQuery ? { intercept: (statement, phase) => phase === "before" && onQuery(statement) } : {}),
  });
  const hints = await openHints(null);
  const mails: Mail[] = [];
  const outbox = openOutbox({
    transport: { send: async (mail) => void mails.push(mail), close: async () => undefined },
    report: () => undefined,
  });
  const settings = accountSettings({ ...defaults, ...config });
  const context: AccountContext = { db, hints, keys: openKeys(generateKeyRing()), outbox, settings };
  const authenticator = openAuthenticator(context);
  const faults: unknown[] = [];
  const app = createApp({ onFault: (error) => faults.push(error), trustProxy: false });
  const routes = createRoutes(app, authenticator);
  addAccountRoutes(routes, context);
  refuseOtherMethods(app, routes.registered);
  await app.listen({ host: "127.0.0.1", port: 0 });
  const base = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  const origin = new URL(settings.publicUrl).origin;

  return {
    context,
    db,
    hints,
    databaseUrl: url,
    origin,
    mails,
    call: (method, path, call = {}) =>
      request(`${base}${path}`, method, { ...call, headers: { ...(call.cookie ? { origin } : {}), ...call.headers } }),
    async close() {
      await app.close();
      authenticator.close();
      await outbox.close(1_000);
      await hints.close();
      await db.close();
      await database?.drop();
      if (faults.length > 0) throw new AggregateError(faults, "the server had faults");
    },
  };
}

async function request(url: string, method: string, { body, cookie, bearer, headers }: CallOptions): Promise<Answered> {
  const response = await fetch(url, {
    method,
    redirect: "manual",
    headers: {
      ...(cookie === undefined ? {} : { cookie }),
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("application/json") === true && text !== "";
  return {
    status: response.status,
    json: isJson ? (JSON.parse(text) as unknown) : undefined,
    text,
    headers: response.headers,
    cookies: response.headers.getSetCookie(),
  };
}

/** `name=value` of the first cookie an answer sets under one of our session names. */
export function sessionCookie(answer: Answered): string {
  const cookie = answer.cookies.find((one) => /^(__Host-helmr_session|helmr_session_dev)=[^;]/.test(one));
  return cookie?.split(";")[0] ?? "";
}

/** Logs in by mail and gives the session cookie. The address has to be known, or there is no organization yet. */
export async function logIn(server: AccountServer, email: string): Promise<string> {
  const before = server.mails.length;
  await server.call("POST", "/api/auth/magic-link/start", { body: { email } });
  await server.context.outbox.idle();
  const token = linkToken(server.mails.slice(before).find((mail) => mail.to === email));
  return sessionCookie(await server.call("POST", "/api/auth/magic-link/finish", { body: { token } }));
}

export function linkToken(mail: Mail | undefined): string {
  return /[?&]token=(\S+)/.exec(mail?.text ?? "")?.[1] ?? "no link in the mail";
}

/** Owner of a new organization, with a project. */
export async function foundOrganization(server: AccountServer, email = "owner@example.com") {
  const cookie = await logIn(server, email);
  const organization = await server.call("POST", "/api/organizations", {
    cookie,
    body: { slug: "acme", name: "Acme", setup_token: "s3tup-token" },
  });
  const project = await server.call("POST", "/api/projects", { cookie, body: { slug: "shop", name: "Shop" } });
  const environments = project.json.environments as { id: string; slug: string }[];
  return { cookie, orgId: organization.json.id as string, projectId: project.json.id as string, environments };
}

/** Invites an address, accepts by mail and gives the new member's session cookie. */
export async function joinAs(
  server: AccountServer,
  owner: string,
  email: string,
  role: string,
): Promise<{ cookie: string; userId: string }> {
  const invitation = await server.call("POST", "/api/invitations", { cookie: owner, body: { email, role } });
  const token = new URL(invitation.json.invite_url as string).searchParams.get("token");
  await server.context.outbox.idle();
  server.mails.length = 0;
  await server.call("POST", "/api/auth/magic-link/invite/start", { body: { token } });
  await server.context.outbox.idle();
  const finished = await server.call("POST", "/api/auth/magic-link/finish", { body: { token: linkToken(server.mails[0]) } });
  const cookie = sessionCookie(finished);
  const me = await server.call("GET", "/api/me", { cookie });
  return { cookie, userId: me.json.user_id as string };
}
