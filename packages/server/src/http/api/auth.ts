/** Ways to log in, the device flow, who is logged in (http §15.1, §15.2). */
import { type BodyOf, authEndpoints, deviceTokenBody } from "@helmr/protocol/api";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { AccountContext } from "../../account-context.ts";
import { createOrganization, readMe } from "../../operations/create-organization.ts";
import { decideDeviceLogin, deviceLoginStatus, exchangeDeviceCode, startDeviceLogin } from "../../operations/log-in-by-device.ts";
import { type GithubStart, finishGithubLogin, startGithubLogin, startGithubLoginByInvitation } from "../../operations/log-in-by-github.ts";
import { type LoggedIn, finishMagicLink, startMagicLink, startMagicLinkByInvitation } from "../../operations/log-in-by-magic-link.ts";
import { useLocalLink } from "../../operations/log-in-locally.ts";
import { closeLoginSessions } from "../../operations/open-login-session.ts";
import { type RateRule, addressBlock, rateRules, takeRateToken } from "../../operations/take-rate-token.ts";
import { type Refusal, isRefusal } from "../../outcome.ts";
import { sessionTokens, userOf } from "../auth/authenticate.ts";
import { type Cookies, addCookie, cookiesFor } from "../auth/cookies.ts";
import { refuseForeignOrigin, refuseForeignPage } from "../auth/origin.ts";
import { sendJson } from "../errors.ts";
import { type Routes, neverStored, readBody } from "../route.ts";

interface LoginContext extends AccountContext {
  cookies: Cookies;
  /** Refuses pages of other sites and callers over their limit; every route without a credential begins with it. */
  guard: (request: FastifyRequest, rule: RateRule) => Promise<Refusal | undefined>;
}

export function addAuthRoutes(routes: Routes, account: AccountContext): void {
  const { db, settings } = account;
  const context: LoginContext = {
    ...account,
    cookies: cookiesFor(settings.secureCookies),
    guard: async (request, rule) =>
      refuseForeignPage(request.headers.origin, settings.cookieOrigins) ?? takeRateToken(db, rule, addressBlock(request.ip)),
  };
  routes.add(authEndpoints.methods, async ({ request }) => {
    const limited = await takeRateToken(db, rateRules.openRead, addressBlock(request.ip));
    return limited ?? { body: { github: settings.github !== undefined, magic_link: true, local_link: settings.localLink } };
  });
  addGithubRoutes(routes, context);
  addMagicLinkRoutes(routes, context);
  if (settings.localLink) addLocalLoginRoute(routes, context);
  addDeviceRoutes(routes, context);
  addSessionRoutes(routes, context);
}

function addGithubRoutes(routes: Routes, context: LoginContext): void {
  const { cookies, guard } = context;
  const leave = (reply: FastifyReply, start: GithubStart | Refusal) => {
    if (isRefusal(start)) return start;
    addCookie(reply, cookies.setFlow(start.flow));
    return { body: { redirect_url: start.redirectUrl } };
  };
  routes.add(authEndpoints.githubStart, async ({ body, request, reply }) => {
    const refused = await guard(request, rateRules.loginStart);
    return refused ?? leave(reply, startGithubLogin(context, body.next));
  });
  routes.add(authEndpoints.githubInviteStart, async ({ body, request, reply }) => {
    const refused = await guard(request, rateRules.loginStart);
    return refused ?? leave(reply, await startGithubLoginByInvitation(context, body.token));
  });
  routes.add(authEndpoints.githubFinish, async ({ body, request, reply }) => {
    const refused = await guard(request, rateRules.loginFinish);
    if (refused) return refused;
    const flow = cookies.flow(request.headers.cookie);
    const { code, state, error, error_description: errorDescription } = body;
    // Whatever comes of it, the flow is over.
    addCookie(reply, cookies.clearFlow);
    return enter(cookies, reply, await finishGithubLogin(context, { flow, code, state, error, errorDescription }));
  });
}

function addMagicLinkRoutes(routes: Routes, context: LoginContext): void {
  const { cookies, guard } = context;
  routes.add(authEndpoints.magicLinkStart, async ({ body, request }) => {
    const refused = await guard(request, rateRules.loginStart);
    return refused ?? { body: await startMagicLink(context, { email: body.email, next: body.next }) };
  });
  routes.add(authEndpoints.magicLinkInviteStart, async ({ body, request }) => {
    const refused = await guard(request, rateRules.loginStart);
    if (refused) return refused;
    const sent = await startMagicLinkByInvitation(context, body.token);
    return isRefusal(sent) ? sent : { body: sent };
  });
  routes.add(authEndpoints.magicLinkFinish, async ({ body, request, reply }) => {
    const refused = await guard(request, rateRules.loginFinish);
    return refused ?? enter(cookies, reply, await finishMagicLink(context, body.token));
  });
}

function addLocalLoginRoute(routes: Routes, { db, cookies, guard }: LoginContext): void {
  routes.add(authEndpoints.localLogin, async ({ query, request, reply }) => {
    const refused = await guard(request, rateRules.loginFinish);
    if (refused) return refused;
    const session = await useLocalLink(db, query.token);
    if (isRefusal(session)) return session;
    addCookie(reply, cookies.setSession(session));
    return { headers: { ...neverStored, location: "/", "referrer-policy": "no-referrer" } };
  });
}

function addDeviceRoutes(routes: Routes, context: LoginContext): void {
  const { db, settings, guard } = context;
  routes.add(authEndpoints.deviceStart, async ({ request }) => {
    const refused = await guard(request, rateRules.deviceStart);
    return refused ?? { body: await startDeviceLogin(db, settings), headers: neverStored };
  });
  // The body is read here, because a refused one has an answer of its own.
  routes.add({ ...authEndpoints.deviceToken, body: undefined }, async ({ request, reply }) => {
    const refused = await guard(request, rateRules.devicePoll);
    if (refused) return refused;
    const body = readBody(deviceTokenBody, request.body);
    if (isRefusal(body)) return deviceAnswer(reply, 400, "invalid_request");
    const { device_code: deviceCode } = body.value as BodyOf<typeof authEndpoints.deviceToken>;
    const exchange = await exchangeDeviceCode(db, deviceCode);
    if (exchange.kind === "token") return { body: exchange.token, headers: neverStored };
    return exchange.kind === "pending" ? deviceAnswer(reply, 202, "authorization_pending") : deviceAnswer(reply, 400, exchange.error);
  });
  routes.add(authEndpoints.deviceStatus, async ({ actor, query }) => {
    const userId = userOf(actor);
    if (isRefusal(userId)) return userId;
    const limited = await takeRateToken(db, rateRules.userCode, userId);
    const status = limited ?? (await deviceLoginStatus(db, query.user_code));
    return isRefusal(status) ? status : { body: status };
  });
  const decide = (status: "approved" | "denied") => async (input: { actor: Parameters<typeof userOf>[0]; body: { user_code: string } }) => {
    const userId = userOf(input.actor);
    if (isRefusal(userId)) return userId;
    const limited = await takeRateToken(db, rateRules.userCode, userId);
    const decided = limited ?? (await decideDeviceLogin(db, { userCode: input.body.user_code, userId, status }));
    return isRefusal(decided) ? decided : { body: decided };
  };
  routes.add(authEndpoints.deviceApprove, decide("approved"));
  routes.add(authEndpoints.deviceDeny, decide("denied"));
}

function addSessionRoutes(routes: Routes, context: LoginContext): void {
  const { db, hints, settings, cookies } = context;
  routes.add(authEndpoints.logout, async ({ request, reply }) => {
    const byCookie = cookies.session(request.headers.cookie) !== undefined;
    const foreign = byCookie ? refuseForeignOrigin(request.headers.origin, settings.cookieOrigins) : undefined;
    const refused = foreign ?? (await takeRateToken(db, rateRules.logout, addressBlock(request.ip)));
    if (refused) return refused;
    await closeLoginSessions(db, hints, sessionTokens(request.headers, cookies));
    addCookie(reply, cookies.clearSession);
    return {};
  });
  routes.add(authEndpoints.me, async ({ actor }) => {
    const userId = userOf(actor);
    if (isRefusal(userId)) return userId;
    const me = await readMe(db, settings, userId);
    return isRefusal(me) ? me : { body: me };
  });
  routes.add(authEndpoints.createOrganization, async ({ actor, body }) => {
    const userId = userOf(actor);
    if (isRefusal(userId)) return userId;
    const limited = await takeRateToken(db, rateRules.setupToken, userId);
    if (limited) return limited;
    const organization = await createOrganization(context, { userId, slug: body.slug, name: body.name, setupToken: body.setup_token });
    return isRefusal(organization) ? organization : { body: organization };
  });
}

function enter(cookies: Cookies, reply: FastifyReply, login: LoggedIn | Refusal) {
  if (isRefusal(login)) return login;
  addCookie(reply, cookies.setSession(login.sessionToken));
  return { body: { redirect_after: login.redirectAfter } };
}

/** Answers of the exchange that are neither its view nor an error body (http §15.2). */
function deviceAnswer(reply: FastifyReply, status: number, error: string): { streamed: true } {
  sendJson(reply, status, { error });
  return { streamed: true };
}
