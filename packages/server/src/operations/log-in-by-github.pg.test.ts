import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type GithubAccount, type GithubServer, startGithubServer } from "../github.fixture.ts";
import { isRefusal } from "../outcome.ts";
import { type Accounts, addTenant, openAccounts } from "./accounts.fixture.ts";
import { findLoginSession } from "./find-credential.ts";
import { inviteMember } from "./invite-members.ts";
import {
  type GithubReturn,
  type GithubStart,
  finishGithubLogin,
  startGithubLogin,
  startGithubLoginByInvitation,
} from "./log-in-by-github.ts";
import type { LoggedIn } from "./log-in-by-magic-link.ts";

const ada: GithubAccount = {
  id: 4711,
  login: "ada",
  name: "Ada Lovelace",
  avatar_url: "https://avatars.example.com/4711",
  emails: [
    { email: "other@example.com", primary: false, verified: true },
    { email: "Ada@Example.com", primary: true, verified: true },
  ],
};

let github: GithubServer;
let accounts: Accounts;
beforeAll(async () => {
  github = await startGithubServer();
  accounts = await openAccounts({
    githubClientId: github.clientId,
    githubClientSecret: github.clientSecret,
    githubUrl: github.url,
    githubApiUrl: `${github.url}/api`,
  });
});
beforeEach(() => accounts.sql("truncate organizations, users cascade"));
afterEach(() => void (github.requests.length = 0));
afterAll(async () => {
  await accounts.close();
  await github.close();
});

const start = (next?: string) => startGithubLogin(accounts.context, next) as GithubStart;
const finish = (back: Partial<GithubReturn>) =>
  finishGithubLogin(accounts.context, {
    flow: undefined,
    code: undefined,
    state: undefined,
    error: undefined,
    errorDescription: undefined,
    ...back,
  });

/** What the browser brings back after somebody agreed. */
async function agreed(begun: GithubStart, account = ada): Promise<GithubReturn> {
  const back = await github.agree(begun.redirectUrl, account);
  return {
    flow: begun.flow,
    code: back.searchParams.get("code") ?? undefined,
    state: back.searchParams.get("state") ?? undefined,
    error: undefined,
    errorDescription: undefined,
  };
}

describe("startGithubLogin()", () => {
  test("sends the browser to GitHub with PKCE S256, state and the console's callback", () => {
    const { redirectUrl, flow } = start("/runs");
    const url = new URL(redirectUrl);
    expect(url.origin + url.pathname).toBe(`${github.url}/login/oauth/authorize`);
    expect(Object.fromEntries(url.searchParams)).toEqual({
      client_id: github.clientId,
      redirect_uri: "http://localhost:8787/auth/github/callback",
      scope: "user:email",
      state: expect.stringMatching(/^[0-9A-Za-z]{43}$/),
      code_challenge: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge_method: "S256",
    });
    expect(flow).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(start("/runs").redirectUrl).not.toBe(redirectUrl);
  });

  test("is 501 when GitHub is not configured", async () => {
    const context = { ...accounts.context, settings: { ...accounts.context.settings, github: undefined } };
    expect(startGithubLogin(context, undefined)).toMatchObject({ status: 501 });
    expect(await startGithubLoginByInvitation(context, "x")).toMatchObject({ status: 501 });
    expect(await finishGithubLogin(context, await agreed(start()))).toMatchObject({ status: 501 });
  });
});

describe("finishGithubLogin()", () => {
  test("logs in whoever the verified primary address belongs to", async () => {
    const login = (await finish(await agreed(start("/runs?x=1")))) as LoggedIn;
    expect(login.redirectAfter).toBe("/runs?x=1");
    const session = await findLoginSession(accounts.context.db, login.sessionToken);
    const users = await accounts.sql("select id, email, display_name, profile_image_url, github_id::int from users");
    expect(users).toEqual([
      { id: session?.userId, email: "ada@example.com", display_name: "Ada Lovelace", profile_image_url: ada.avatar_url, github_id: 4711 },
    ]);
  });

  test("uses the login name when there is no other, and no picture that is not http", async () => {
    await finish(await agreed(start(), { ...ada, name: null, avatar_url: "javascript:alert(1)" }));
    expect(await accounts.sql("select display_name, profile_image_url from users")).toEqual([
      { display_name: "ada", profile_image_url: "" },
    ]);
  });

  test.each([
    ["without a flow cookie", { flow: undefined }, "unauthenticated"],
    ["with a forged cookie", { flow: "e30.k-1.AAAA" }, "unauthenticated"],
    ["with another state", { state: "x".repeat(43) }, "invalid_token"],
    ["without a state", { state: undefined }, "invalid_token"],
    ["without a code", { code: undefined }, "invalid_token"],
    ["with a wrong code", { code: "wrong" }, "invalid_token"],
    ["when the person declined", { error: "access_denied", errorDescription: "The user has denied" }, "unauthenticated"],
  ])("refuses %s", async (_case, change, kind) => {
    const outcome = await finish({ ...(await agreed(start())), ...change });
    expect(outcome).toMatchObject({ status: 401, errorKind: kind });
    expect(await accounts.sql("select 1 from users")).toEqual([]);
  });

  test("refuses the state and code of one login with the cookie of another", async () => {
    const [mine, theirs] = [start(), start()];
    const back = await agreed(theirs);
    expect(await finish({ ...back, flow: mine.flow })).toMatchObject({ errorKind: "invalid_token" });
    // The verifier does not fit either: GitHub itself refuses when only the state is replaced.
    const state = new URL(mine.redirectUrl).searchParams.get("state") ?? "";
    expect(await finish({ ...back, state, flow: mine.flow })).toMatchObject({ errorKind: "invalid_token" });
  });

  test("a code is good once", async () => {
    const back = await agreed(start());
    expect(isRefusal(await finish(back))).toBe(false);
    expect(await finish(back)).toMatchObject({ status: 401, errorKind: "invalid_token" });
  });

  test("a flow is over after ten minutes", async () => {
    const { keys } = accounts.context;
    const back = await agreed(start());
    const flow = JSON.parse(keys.verify("login", "auth flow", back.flow ?? "") ?? "") as { expiresAt: number };
    expect(Math.abs(flow.expiresAt - Date.now() - 600_000)).toBeLessThan(5_000);
    const old = keys.sign("login", "auth flow", JSON.stringify({ ...flow, expiresAt: Date.now() - 1 }));
    expect(await finish({ ...back, flow: old })).toMatchObject({ errorKind: "unauthenticated" });
  });

  test.each([
    ["no address", []],
    ["an unverified primary address", [{ email: "ada@example.com", primary: true, verified: false }]],
    ["no primary address", [{ email: "ada@example.com", primary: false, verified: true }]],
  ])("an account with %s has no account here", async (_case, emails) => {
    expect(await finish(await agreed(start(), { ...ada, emails }))).toMatchObject({ status: 403, errorKind: "no_account" });
  });

  test("once there is an organization, unknown people have no account", async () => {
    await addTenant(accounts.context);
    expect(await finish(await agreed(start()))).toMatchObject({ status: 403, errorKind: "no_account" });
  });
});

describe("with an invitation", () => {
  async function invited(email: string) {
    const tenant = await addTenant(accounts.context);
    const invitation = await inviteMember(accounts.context, {
      orgId: tenant.orgId,
      inviterId: tenant.ownerId,
      email,
      role: "developer",
      expiresInDays: 1,
    });
    const token = "invite_url" in invitation ? (new URL(invitation.invite_url).searchParams.get("token") ?? "") : "";
    return (await startGithubLoginByInvitation(accounts.context, token)) as GithubStart;
  }

  test("the login joins the organization", async () => {
    const login = (await finish(await agreed(await invited("ada@example.com")))) as LoggedIn;
    expect(login.redirectAfter).toBe("/");
    expect(await findLoginSession(accounts.context.db, login.sessionToken)).toMatchObject({ membership: { role: "developer" } });
  });

  test("of another address it is wrong_account", async () => {
    expect(await finish(await agreed(await invited("grace@example.com")))).toMatchObject({ status: 403, errorKind: "wrong_account" });
  });

  test("an unknown token is invalid_token", async () => {
    expect(await startGithubLoginByInvitation(accounts.context, "hlmr_inv_x")).toMatchObject({ status: 401, errorKind: "invalid_token" });
  });
});

describe("when GitHub misbehaves", () => {
  test.each([
    ["/login/oauth/access_token", 500],
    ["/api/user", 502],
    ["/api/user/emails", 404],
  ])("%s answering %i is 502 for the browser", async (path, status) => {
    const back = await agreed(start());
    github.break(path, (response) => response.writeHead(status).end("<html>"));
    expect(await finish(back)).toMatchObject({ status: 502 });
    github.break(path, undefined);
  });

  test.each([
    ["no JSON", "<html>"],
    ["no token", "{}"],
    ["an endless answer", `"${"x".repeat(2 * 1024 * 1024)}"`],
  ])("%s is 502", async (_case, body) => {
    const back = await agreed(start());
    github.break("/login/oauth/access_token", (response) => response.writeHead(200).end(body));
    expect(await finish(back)).toMatchObject({ status: 502 });
    github.break("/login/oauth/access_token", undefined);
  });

  test("a redirect elsewhere is not followed with the secret", async () => {
    const back = await agreed(start());
    github.break("/login/oauth/access_token", (response) => response.writeHead(307, { location: `${github.url}/elsewhere` }).end());
    expect(await finish(back)).toMatchObject({ status: 502 });
    github.break("/login/oauth/access_token", undefined);
    expect(github.requests).not.toContain("POST /elsewhere");
  });
});
