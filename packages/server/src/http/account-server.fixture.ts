/** For tests: the routes of accounts on a real socket over a real database, with an outbox that keeps its mails. */
import type { AddressInfo } from "node:net";
import type { AccountConfig } from "../account-settings.ts";
import type { Mail } from "../mail/outbox.ts";
import { type Accounts, openAccounts } from "../operations/accounts.fixture.ts";
import { addAccountRoutes } from "./api/accounts.ts";
import { createApp, refuseOtherMethods } from "./app.ts";
import { openAuthenticator } from "./auth/authenticate.ts";
import { createRoutes } from "./route.ts";

export interface AccountServer extends Accounts {
  /** Where it listens. */
  base: string;
  /** Origin of the public URL: what a browser sends. */
  origin: string;
  /** One request; the Origin header is our own when a cookie is sent, as a browser does it. */
  call(method: string, path: string, options?: CallOptions): Promise<Answered>;
}

interface CallOptions {
  /** Sent as JSON, or as it is when it is a text. */
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

export async function startAccountServer(config: Partial<AccountConfig> = {}): Promise<AccountServer> {
  const accounts = await openAccounts(config);
  const authenticator = openAuthenticator(accounts.context);
  const faults: unknown[] = [];
  const app = createApp({ onFault: (error) => faults.push(error), trustProxy: false });
  const routes = createRoutes(app, authenticator);
  addAccountRoutes(routes, accounts.context);
  refuseOtherMethods(app, routes.registered);
  await app.listen({ host: "127.0.0.1", port: 0 });
  const base = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  const origin = new URL(accounts.context.settings.publicUrl).origin;
  return {
    ...accounts,
    base,
    origin,
    call: (method, path, call = {}) =>
      request(`${base}${path}`, method, { ...call, headers: { ...(call.cookie ? { origin } : {}), ...call.headers } }),
    async close() {
      await app.close();
      authenticator.close();
      await accounts.close();
      if (faults.length > 0) throw new AggregateError(faults, "the server had faults");
    },
  };
}

async function request(url: string, method: string, { body, cookie, bearer, headers }: CallOptions): Promise<Answered> {
  const credentials = {
    ...(cookie === undefined ? {} : { cookie }),
    ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
  };
  const response = await fetch(url, {
    method,
    redirect: "manual",
    headers: { ...credentials, ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type") === "application/json" && text !== "";
  const json = isJson ? (JSON.parse(text) as unknown) : undefined;
  return { status: response.status, json, text, headers: response.headers, cookies: response.headers.getSetCookie() };
}

/** `name=value` of the session cookie an answer sets. */
export function sessionCookie(answer: Answered): string {
  return (
    answer.cookies.find((cookie) => /^(__Host-helmr_session|helmr_session_dev)=[^;]/.test(cookie))?.split(";")[0] ?? "no session cookie"
  );
}

export function linkToken(mail: Mail | undefined): string {
  return /[?&]token=(\S+)/.exec(mail?.text ?? "")?.[1] ?? "no link in the mail";
}

/** Logs in by mail and gives the session cookie. The address has to be known, or there is no organization yet. */
export async function logIn(server: AccountServer, email: string): Promise<string> {
  const before = server.mails.length;
  await server.call("POST", "/api/auth/magic-link/start", { body: { email } });
  await server.context.outbox.idle();
  const token = linkToken(server.mails.slice(before).find((mail) => mail.to === email));
  return sessionCookie(await server.call("POST", "/api/auth/magic-link/finish", { body: { token } }));
}

export interface Founded {
  cookie: string;
  orgId: string;
  projectId: string;
  environmentId: string;
  stagingId: string;
}

/** The first user's cookie, with an organization and a project. */
export async function foundOrganization(server: AccountServer, email = "owner@example.com"): Promise<Founded> {
  const cookie = await logIn(server, email);
  const organization = await server.call("POST", "/api/organizations", {
    cookie,
    body: { slug: "acme", name: "Acme", setup_token: "s3tup-token" },
  });
  const project = await server.call("POST", "/api/projects", { cookie, body: { slug: "shop", name: "Shop" } });
  const [production, staging] = project.json.environments as { id: string }[];
  return {
    cookie,
    orgId: organization.json.id as string,
    projectId: project.json.id as string,
    environmentId: production?.id ?? "",
    stagingId: staging?.id ?? "",
  };
}

/** Invites an address, accepts by mail and gives the new member's session cookie. */
export async function joinAs(
  server: AccountServer,
  owner: string,
  member: { email: string; role: string },
): Promise<{ cookie: string; userId: string }> {
  const invitation = await server.call("POST", "/api/invitations", { cookie: owner, body: member });
  await server.context.outbox.idle();
  const before = server.mails.length;
  const token = new URL(invitation.json.invite_url as string).searchParams.get("token");
  await server.call("POST", "/api/auth/magic-link/invite/start", { body: { token } });
  await server.context.outbox.idle();
  const finished = await server.call("POST", "/api/auth/magic-link/finish", { body: { token: linkToken(server.mails[before]) } });
  const cookie = sessionCookie(finished);
  const me = await server.call("GET", "/api/me", { cookie });
  return { cookie, userId: me.json.user_id as string };
}
