import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { MagicLinkSent } from "@helmr/protocol/api";
import { isRefusal } from "../outcome.ts";
import { type Accounts, type Tenant, addMember, addTenant, openAccounts } from "./accounts.fixture.ts";
import { findLoginSession } from "./find-credential.ts";
import { inviteMember } from "./invite-members.ts";
import { type LoggedIn, finishMagicLink, startMagicLink, startMagicLinkByInvitation } from "./log-in-by-magic-link.ts";

let accounts: Accounts;
beforeAll(async () => {
  accounts = await openAccounts();
});
beforeEach(async () => {
  await accounts.context.outbox.idle();
  await accounts.sql("truncate organizations, users, magic_links cascade");
  accounts.mails.length = 0;
});
afterAll(() => accounts.close());

const start = (email: string, next?: string, context = accounts.context) => startMagicLink(context, { email, next });
const finish = (token: string) => finishMagicLink(accounts.context, token);
async function mailedToken(): Promise<string> {
  await accounts.context.outbox.idle();
  return /token=(\S+)/.exec(accounts.mails.at(-1)?.text ?? "")?.[1] ?? "no mail";
}

describe("a start", () => {
  test("mails a link to the console's callback and answers nothing of it", async () => {
    expect(await start("a@example.com")).toEqual({ sent: true, email: "a@example.com" });
    const token = await mailedToken();
    expect(token).toMatch(/^hlmr_ml_[0-9A-Za-z]{49}$/);
    expect(accounts.mails).toMatchObject([
      { to: "a@example.com", text: expect.stringContaining(`http://localhost:8787/auth/magic-link/callback?token=${token}\n`) },
    ]);
    expect(JSON.stringify(await accounts.sql("select * from magic_links"))).not.toContain(token);
  });

  test("answers unknown addresses the same, with the same statements, and mails nothing", async () => {
    const tenant = await addTenant(accounts.context);
    await addMember(accounts, tenant, { email: "known@example.com", role: "viewer" });
    const run = async (email: string) => {
      accounts.statements.length = 0;
      const answer = await start(email);
      return { answer: { ...answer, email: "" }, statements: [...accounts.statements] };
    };
    expect(await run("unknown@example.com")).toEqual(await run("known@example.com"));
    await accounts.context.outbox.idle();
    expect(accounts.mails.map((mail) => mail.to)).toEqual(["known@example.com"]);
  });

  test("gives the link itself only with the debug option", async () => {
    const debug = { ...accounts.context, settings: { ...accounts.context.settings, magicLinkDebug: true } };
    const { debug_url: url } = (await start("a@example.com", undefined, debug)) as MagicLinkSent & { debug_url: string };
    expect(url).toContain(await mailedToken());
  });

  test("sends at most five per address and 15 minutes, also at once", async () => {
    const answers = await Promise.all(Array.from({ length: 9 }, () => start("a@example.com")));
    expect(answers).toEqual(answers.map(() => ({ sent: true, email: "a@example.com" })));
    await start("b@example.com");
    await accounts.context.outbox.idle();
    expect(accounts.mails.filter((mail) => mail.to === "a@example.com")).toHaveLength(5);
    expect(accounts.mails.filter((mail) => mail.to === "b@example.com")).toHaveLength(1);
    await accounts.sql("update magic_links set created_at = now() - interval '901 seconds'");
    await start("a@example.com");
    await accounts.context.outbox.idle();
    expect(accounts.mails.filter((mail) => mail.to === "a@example.com")).toHaveLength(6);
  });
});

describe("a finish", () => {
  test("logs the first user in and goes where the start said", async () => {
    await start("a@example.com", "/runs?status=all");
    const login = (await finish(await mailedToken())) as LoggedIn;
    expect(login.redirectAfter).toBe("/runs?status=all");
    expect(await findLoginSession(accounts.context.db, login.sessionToken)).toBeDefined();
    await start("a@example.com");
    expect(await finish(await mailedToken())).toMatchObject({ redirectAfter: "/" });
    expect(await accounts.sql("select email from users")).toEqual([{ email: "a@example.com" }]);
  });

  test("uses a link up: of several at once one logs in", async () => {
    await start("a@example.com");
    const token = await mailedToken();
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => finish(token)));
    expect(outcomes.filter((outcome) => !isRefusal(outcome))).toHaveLength(1);
    expect(outcomes.filter(isRefusal)).toHaveLength(7);
    for (const refused of outcomes.filter(isRefusal)) expect(refused).toMatchObject({ status: 401, errorKind: "invalid_token" });
    expect(await accounts.sql("select 1 from login_sessions")).toHaveLength(1);
  });

  test("refuses links after 15 minutes, unknown and malformed tokens", async () => {
    await start("a@example.com");
    const token = await mailedToken();
    const [row] = await accounts.sql<{ seconds: number }>(
      "select extract(epoch from expires_at - created_at)::int as seconds from magic_links",
    );
    expect(row?.seconds).toBe(900);
    await accounts.sql("update magic_links set expires_at = now()");
    for (const wrong of [token, "", "hlmr_ml_", `${token}0`]) expect(await finish(wrong)).toMatchObject({ errorKind: "invalid_token" });
  });

  test("the row of an unknown address opens nothing", async () => {
    await addTenant(accounts.context);
    await start("unknown@example.com");
    expect(await accounts.sql("select used_at is not null as used from magic_links")).toEqual([{ used: true }]);
  });

  test("a removed member is refused", async () => {
    const tenant = await addTenant(accounts.context);
    await addMember(accounts, tenant, { email: "m@example.com", role: "viewer" });
    await start("m@example.com");
    await accounts.sql("update members set status = 'disabled' where role = 'viewer'");
    expect(await finish(await mailedToken())).toMatchObject({ status: 403, errorKind: "disabled_member" });
  });
});

describe("an invitation", () => {
  let tenant: Tenant;
  async function invite(email: string): Promise<string> {
    tenant = await addTenant(accounts.context);
    const invitation = await inviteMember(accounts.context, {
      orgId: tenant.orgId,
      inviterId: tenant.ownerId,
      email,
      role: "admin",
      expiresInDays: 1,
    });
    await accounts.context.outbox.idle();
    return "invite_url" in invitation ? (new URL(invitation.invite_url).searchParams.get("token") ?? "") : "";
  }

  test("is accepted by the link that its token asks for", async () => {
    const token = await invite("new@example.com");
    expect(await startMagicLinkByInvitation(accounts.context, token)).toEqual({ sent: true, email: "new@example.com" });
    accounts.hinted.length = 0;
    const login = (await finish(await mailedToken())) as LoggedIn;
    expect(await findLoginSession(accounts.context.db, login.sessionToken)).toMatchObject({
      membership: { orgId: tenant.orgId, role: "admin" },
    });
    expect(accounts.hinted).toEqual(["credentials"]);
    expect(await startMagicLinkByInvitation(accounts.context, token)).toMatchObject({ errorKind: "invalid_token" });
  });

  test("two links of one invitation: the second finds it accepted", async () => {
    const token = await invite("new@example.com");
    await startMagicLinkByInvitation(accounts.context, token);
    const first = await mailedToken();
    await startMagicLinkByInvitation(accounts.context, token);
    const second = await mailedToken();
    const outcomes = await Promise.all([finish(first), finish(second)]);
    expect(outcomes.filter(isRefusal)).toMatchObject([{ errorKind: "invalid_token" }]);
  });

  test("an unknown token is invalid_token", async () => {
    expect(await startMagicLinkByInvitation(accounts.context, "hlmr_inv_x")).toMatchObject({ status: 401, errorKind: "invalid_token" });
  });
});
