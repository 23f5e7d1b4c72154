/**
 * Login with GitHub (http §15.2). What must survive the trip to GitHub travels in a cookie that we sign: state, PKCE verifier, where to go next and
 * which invitation is accepted. Nothing is stored here before somebody has come back.
 */
import { email as emailSchema, isLocalPath } from "@helmr/protocol/api";
import { parseInput } from "@helmr/protocol/shared";
import type { GithubSettings } from "../account-settings.ts";
import { randomText, sameSecret } from "../credentials.ts";
import { type GithubFailure, type GithubIdentity, authorizeUrl, exchangeCode, readIdentity } from "../github.ts";
import { type Refusal, isRefusal, refusal, refuseLogin } from "../outcome.ts";
import type { AccountContext } from "../account-context.ts";
import { accountLimits, credentialsTopic } from "../account-limits.ts";
import { admitUser } from "./admit-user.ts";
import { findInvitation } from "./invite-members.ts";
import type { LoggedIn } from "./log-in-by-magic-link.ts";
import { openLoginSession } from "./open-login-session.ts";

type GithubLogins = Pick<AccountContext, "db" | "hints" | "keys" | "settings">;

interface Flow {
  state: string;
  codeVerifier: string;
  next: string;
  invitationId: string | null;
  /** Milliseconds of this server's clock; the cookie itself may be kept longer by whoever stole it. */
  expiresAt: number;
}

export interface GithubStart {
  redirectUrl: string;
  /** Value of the flow cookie. */
  flow: string;
}

export interface GithubReturn {
  flow: string | undefined;
  code: string | undefined;
  state: string | undefined;
  error: string | undefined;
  errorDescription: string | undefined;
}

const flowUse = "auth flow";

export function startGithubLogin(context: GithubLogins, next: string | undefined): GithubStart | Refusal {
  return begin(context, { next: next ?? "/", invitationId: null });
}

export async function startGithubLoginByInvitation(context: GithubLogins, token: string): Promise<GithubStart | Refusal> {
  if (!context.settings.github) return notConfigured();
  const invitation = await findInvitation(context.db, token);
  return isRefusal(invitation) ? invitation : begin(context, { next: "/", invitationId: invitation.id });
}

export async function finishGithubLogin(context: GithubLogins, back: GithubReturn): Promise<LoggedIn | Refusal> {
  const { db, hints, settings } = context;
  const github = settings.github;
  if (!github) return notConfigured();
  const flow = readFlow(context, back.flow);
  if (!flow) return refuseLogin("unauthenticated", "the login was not started in this browser, or too long ago; start again");
  if (back.error !== undefined) return refuseLogin("unauthenticated", `GitHub did not log in: ${back.errorDescription ?? back.error}`);
  if (back.state === undefined || !sameSecret(back.state, flow.state) || back.code === undefined) {
    return refuseLogin("invalid_token", "the answer of GitHub does not belong to this login; start again");
  }
  const identity = await identify(github, redirectUri(settings.publicUrl), { code: back.code, codeVerifier: flow.codeVerifier });
  if (isRefusal(identity)) return identity;
  const email = parseInput(emailSchema, identity.email);
  if (!email.ok) return refuseLogin("no_account", "the GitHub account has no verified primary e-mail address");
  const proven = { email: email.value, github: { id: identity.id, name: identity.name, imageUrl: identity.imageUrl } };
  return db.tx(async (tx) => {
    const admission = await admitUser(tx, settings, proven, flow.invitationId);
    if (isRefusal(admission)) return admission;
    if (admission.joined) tx.afterCommit(() => hints.send(credentialsTopic));
    return { sessionToken: await openLoginSession(tx, admission.userId, "browser"), redirectAfter: flow.next };
  });
}

function begin({ keys, settings }: GithubLogins, to: { next: string; invitationId: string | null }): GithubStart | Refusal {
  if (!settings.github) return notConfigured();
  const flow: Flow = { ...to, state: randomText(43), codeVerifier: randomText(64), expiresAt: Date.now() + accountLimits.authFlowMs };
  const redirect = { redirectUri: redirectUri(settings.publicUrl), state: flow.state, codeVerifier: flow.codeVerifier };
  return { redirectUrl: authorizeUrl(settings.github, redirect), flow: keys.sign("login", flowUse, JSON.stringify(flow)) };
}

/** What we signed is what we wrote; only its age has to be looked at. */
function readFlow({ keys }: GithubLogins, cookie: string | undefined): Flow | undefined {
  const payload = cookie === undefined ? undefined : keys.verify("login", flowUse, cookie);
  if (payload === undefined) return undefined;
  const flow = JSON.parse(payload) as Flow;
  return flow.expiresAt > Date.now() && isLocalPath(flow.next) ? flow : undefined;
}

async function identify(
  github: GithubSettings,
  redirectUri: string,
  back: { code: string; codeVerifier: string },
): Promise<GithubIdentity | Refusal> {
  const exchanged = await exchangeCode(github, { ...back, redirectUri });
  if ("failed" in exchanged) return failureRefusal(exchanged);
  const identity = await readIdentity(github, exchanged.accessToken);
  return "failed" in identity ? failureRefusal(identity) : identity;
}

function failureRefusal(failure: GithubFailure): Refusal {
  return failure.failed === "refused"
    ? refuseLogin("invalid_token", `GitHub refused the login: ${failure.reason}`)
    : refusal(502, `GitHub cannot be reached: ${failure.reason}`);
}

function notConfigured(): Refusal {
  return refusal(501, "login with GitHub is not configured on this server");
}

function redirectUri(publicUrl: string): string {
  return `${publicUrl}/auth/github/callback`;
}
