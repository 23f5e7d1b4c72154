/**
 * The authenticator of the API (http §1.3): a bearer is an API key or a login session, otherwise the session cookie counts. A bearer stands alone:
 * when one is given no cookie is looked at, and no Origin is asked for, because no foreign page can send it.
 */
import { credentialPrefix } from "@helmr/protocol/shared";
import type { AccountContext } from "../../account-context.ts";
import { credentialsTopic } from "../../account-limits.ts";
import { resolveEnvironment } from "../../operations/change-environments.ts";
import { type FoundApiKey, type FoundLoginSession, findApiKey, findLoginSession } from "../../operations/find-credential.ts";
import { type Refusal, notFound, refusal } from "../../outcome.ts";
import { faultAnswer } from "../errors.ts";
import type { Actor } from "./actor.ts";
import type { Authenticator, Credentials } from "./authenticator.ts";
import { type Cookies, cookiesFor } from "./cookies.ts";
import { createCredentialCache } from "./credential-cache.ts";
import { changesState, refuseForeignOrigin } from "./origin.ts";

/** A revoked credential ends everywhere within this time even when the hint was lost. */
const rememberMs = 1_000;
const rememberedMax = 10_000;
/** The form of http §1.3; what does not have it needs no look-up. */
const sessionTokenForm = /^[A-Za-z0-9_-]{40,512}$/;

export function openAuthenticator({
  db,
  hints,
  settings,
}: Pick<AccountContext, "db" | "hints" | "settings">): Authenticator & { close(): void } {
  const keys = createCredentialCache<FoundApiKey>({ ttlMs: rememberMs, entriesMax: rememberedMax });
  const sessions = createCredentialCache<FoundLoginSession>({ ttlMs: rememberMs, entriesMax: rememberedMax });
  const cookies = cookiesFor(settings.secureCookies);
  const unsubscribe = hints.subscribe(credentialsTopic, () => {
    keys.clear();
    sessions.clear();
  });

  async function byBearer(token: string): Promise<Actor | Refusal> {
    if (token.startsWith(credentialPrefix.apiKey)) {
      const found = await keys.get(token, () => findApiKey(db, token));
      return found ? { kind: "api_key", ...found } : unauthenticated();
    }
    const session = await findSession(token, undefined);
    return session ? userActor(session, "bearer") : unauthenticated();
  }

  async function findSession(token: string, onRenewed: Credentials["setCookie"]): Promise<FoundLoginSession | undefined> {
    if (!sessionTokenForm.test(token)) return undefined;
    return sessions.get(token, async () => {
      const found = await findLoginSession(db, token);
      if (found?.renewed) onRenewed?.(cookies.setSession(token));
      return found;
    });
  }

  async function authenticate(credentials: Credentials): Promise<Actor | Refusal> {
    if (credentials.authorization !== undefined) {
      const token = bearerToken(credentials.authorization);
      return token === undefined ? unauthenticated() : byBearer(token);
    }
    const token = cookies.session(credentials.cookie);
    if (token === undefined) return { kind: "anonymous" };
    const foreign = changesState(credentials.method) ? refuseForeignOrigin(credentials.origin, settings.cookieOrigins) : undefined;
    if (foreign) return foreign;
    const session = await findSession(token, credentials.setCookie);
    return session ? userActor(session, "cookie") : unauthenticated();
  }

  return {
    async authenticate(credentials) {
      try {
        return await authenticate(credentials);
      } catch (error) {
        if (faultAnswer(error).status !== 503) throw error;
        return refusal(503, "authentication is unavailable");
      }
    },
    async resolveScope(actor, project, environment) {
      const orgId = actor.membership?.orgId;
      const scope = orgId === undefined ? undefined : await resolveEnvironment(db, orgId, { project, environment });
      return orgId !== undefined && scope ? { orgId, ...scope } : notFound("environment not found");
    },
    close: unsubscribe,
  };
}

export function bearerToken(authorization: string): string | undefined {
  return /^bearer +([^\s]+) *$/i.exec(authorization)?.[1];
}

/** Tokens of the login sessions a request carries, valid or not: what a logout ends. */
export function sessionTokens(headers: { authorization?: string | undefined; cookie?: string | undefined }, cookies: Cookies): string[] {
  const bearer = headers.authorization === undefined ? undefined : bearerToken(headers.authorization);
  return [cookies.session(headers.cookie), bearer].filter((token) => token !== undefined && sessionTokenForm.test(token)) as string[];
}

/** The organization of a signed-in member; routes open to "any member" need nothing more (http §15.3). */
export function memberOf(actor: Actor): { orgId: string; userId: string } | Refusal {
  if (actor.kind !== "user") return unauthenticated();
  return actor.membership ? { orgId: actor.membership.orgId, userId: actor.userId } : refusal(403, "organization membership is required");
}

/** The signed-in user of a route that needs no organization. */
export function userOf(actor: Actor): string | Refusal {
  return actor.kind === "user" ? actor.userId : unauthenticated();
}

function userActor(session: FoundLoginSession, via: "cookie" | "bearer"): Actor {
  const { loginSessionId, userId, membership } = session;
  return { kind: "user", userId, loginSessionId, ...(membership ? { membership } : {}), via };
}

function unauthenticated(): Refusal {
  return refusal(401, "authentication is required");
}
