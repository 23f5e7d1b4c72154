/** The two cookies of the server (http §1.4, §15.2). `__Host-` names are bound to this host, this path and https by every browser. */
import type { FastifyReply } from "fastify";
import { accountLimits } from "../../account-limits.ts";

interface CookieNames {
  session: string;
  flow: string;
}

const secureNames: CookieNames = { session: "__Host-helmr_session", flow: "__Host-helmr_auth_flow" };
const plainNames: CookieNames = { session: "helmr_session_dev", flow: "helmr_auth_flow_dev" };

export interface Cookies {
  /** The value of our cookie in a Cookie header. Only the name that fits the public URL counts: a page on http cannot plant a session for https. */
  session(header: string | undefined): string | undefined;
  flow(header: string | undefined): string | undefined;
  setSession(token: string): string;
  setFlow(value: string): string;
  clearSession: string;
  clearFlow: string;
}

export function cookiesFor(secure: boolean): Cookies {
  const names = secure ? secureNames : plainNames;
  const attributes = `; Path=/; HttpOnly; SameSite=Lax${secure ? "; Secure" : ""}`;
  const set = (name: string, value: string, lifetimeMs: number) => `${name}=${value}${attributes}; Max-Age=${lifetimeMs / 1_000}`;
  return {
    session: (header) => cookieValue(header, names.session),
    flow: (header) => cookieValue(header, names.flow),
    setSession: (token) => set(names.session, token, accountLimits.loginSessionMs),
    setFlow: (value) => set(names.flow, value, accountLimits.authFlowMs),
    clearSession: set(names.session, "", 0),
    clearFlow: set(names.flow, "", 0),
  };
}

/** Adds to what an answer sets already. */
export function addCookie(reply: FastifyReply, cookie: string): void {
  const present = reply.getHeader("set-cookie");
  const list = present === undefined ? [] : Array.isArray(present) ? present : [String(present)];
  reply.removeHeader("set-cookie");
  reply.header("set-cookie", [...list, cookie]);
}

/** The first cookie of that name; a blank value counts as absent. */
function cookieValue(header: string | undefined, name: string): string | undefined {
  for (const pair of (header ?? "").split(";")) {
    const equals = pair.indexOf("=");
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    const value = pair.slice(equals + 1).trim();
    return value === "" ? undefined : value;
  }
  return undefined;
}
