/**
 * The web console as its users drive it: a real browser, a real server with the real bundle, and a worker that plays programs on the real wire. One
 * sign-in serves all stories; after each of them the page must have reported no error and broken no rule of its policy.
 */
import type { Locator } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { until } from "@helmr/test/services";
import { asUser, type ConsoleBrowser, openConsoleBrowser, violationsOf } from "./console-browser.ts";
import { type FilledWorkspace, fillWorkspace } from "./console-trees.ts";
import { openCuttableConnection } from "./cuttable-connection.ts";
import { buildConsole, type ConsolePlane, openConsolePlane } from "./console-plane.ts";

let built: Awaited<ReturnType<typeof buildConsole>>;
let plane: ConsolePlane;
let opened: ConsoleBrowser;
let scope: string;
const renewMs = 10_000;
let renewals: NodeJS.Timeout;

beforeAll(async () => {
  built = await buildConsole();
  plane = await openConsolePlane(built.directory);
  opened = await openConsoleBrowser({ url: new URL(plane.loginUrl).origin });
  renewals = setInterval(() => void plane.worker.renew().catch(() => undefined), renewMs);
  await opened.page.goto(plane.loginUrl);
  await opened.page.waitForURL("**/p/**");
  scope = new URL(opened.page.url()).pathname.replace(/\/$/, "");
});
afterAll(async () => {
  clearInterval(renewals);
  await opened?.close();
  await plane?.close();
  await built?.remove();
});
afterEach(() => {
  expect(opened.faults.splice(0)).toEqual([]);
  expect(plane.plane.faults).toEqual([]);
});

const page = () => opened.page;
const open = (path: string) => page().goto(`${scope}${path}`);
const button = (name: string | RegExp, within?: Locator) =>
  (within ?? page()).getByRole("button", { name, ...(typeof name === "string" ? { exact: true } : {}) });
const heading = (name: string) => page().getByRole("heading", { name, level: 1 });
const dialog = () => page().getByRole("dialog");
const row = (text: string) => page().getByRole("row").filter({ hasText: text });
const notice = (text: string | RegExp) => page().getByRole("region", { name: "Notices" }).getByText(text);
const shown = (locator: Locator) => locator.waitFor({ state: "visible" });
const gone = (locator: Locator) => locator.waitFor({ state: "detached" });
/** The browser itself reports every answer that is no success; here they are what the story is about. */
const allow = (pattern: RegExp) => opened.faults.splice(0, Infinity, ...opened.faults.filter((fault) => !pattern.test(fault)));
const confirmWith = async (action: string) => {
  await page().getByRole("alertdialog").getByRole("button", { name: action, exact: true }).click();
};

describe("signing in", () => {
  test("the printed link works once", async () => {
    expect(page().url()).toMatch(/\/p\/default\/production\/?$/);
    const again = await fetch(plane.loginUrl, { redirect: "manual" });
    expect([again.status, await again.text()]).toEqual([401, expect.stringContaining("invalid_token")]);
  });

  test("without a session every page leads to the login, which says what works here", async () => {
    const stranger = await opened.browser.newContext({ baseURL: new URL(plane.loginUrl).origin });
    const other = await stranger.newPage();
    await other.goto(`${scope}/secrets`);
    await other.getByRole("heading", { name: "Sign in to Helmr" }).waitFor();
    expect(new URL(other.url()).searchParams.get("next")).toBe(`${scope}/secrets`);
    await other.getByText("./helmr up").waitFor();
    await stranger.close();
  });
});

describe("a run", () => {
  test("is started from a form, watched while it writes, and read when it has ended", async () => {
    await open("");
    await button("Start a session").click();
    await dialog().getByLabel("Task").selectOption("review-pull-request");
    await dialog().getByLabel("Payload").fill('{"repository": "acme/shop"');
    await shown(dialog().locator('textarea[aria-invalid="true"]'));
    await dialog().getByLabel("Payload").fill('{"repository": "acme/shop"}');
    await dialog().getByText("More options").click();
    await dialog().getByLabel("External id").fill("acme/shop#1");
    await button("Start session", dialog()).click();
    await page().waitForURL("**/runs/*");
    await shown(page().getByText("queued", { exact: true }).first());
    const { sessions } = (await plane.get("/api/sessions?external_id=acme%2Fshop%231")).json;
    const program = await plane.program({ id: sessions[0].id });
    await shown(page().getByText("running", { exact: true }).first());
    await program.run.log("stdout", "cloning\n");
    const log = page().getByRole("log");
    await shown(log.getByText("cloning"));
    await program.run.log("logger", `${JSON.stringify({ level: "warn", message: "slow mirror", fields: { ms: 900 } })}\n`);
    await program.run.log("stderr", "\u001b[31mnot fatal\u001b[0m\n");
    await shown(log.getByText("slow mirror"));
    await shown(log.getByText("not fatal", { exact: true }));
    await program.run.report([{ kind: "metadata", operation: { op: "set", key: "step", value: "diff" }, age_ms: 0 }]);
    await program.succeed({ approved: true });
    await shown(page().getByText("succeeded", { exact: true }).first());
    await page().getByLabel("Search the log").fill("mirror");
    await shown(page().getByText("1 found"));
    await page().getByRole("link", { name: "Payload and output" }).click();
    await shown(page().getByText('"acme/shop"'));
    await shown(page().getByText("approved"));
    await page()
      .getByRole("link", { name: /^Events/ })
      .click();
    await shown(page().getByText("run.completed"));
  });

  test("goes on being watched after the connection was cut, without a line lost or doubled", async () => {
    const connection = await openCuttableConnection(plane.plane.url);
    const program = await plane.play("review-pull-request");
    await page().goto(`${connection.url}${scope}/runs/${program.runId}`);
    await program.run.log("stdout", "before\n");
    const log = page().getByRole("log");
    await shown(log.getByText("before"));
    const again = page().waitForRequest((request) => request.url().includes("/logs") && request.headers()["last-event-id"] !== undefined);
    expect(connection.cut()).toBeGreaterThan(0);
    await program.run.log("stdout", "meanwhile\n");
    await again;
    await shown(log.getByText("meanwhile"));
    await program.run.log("stdout", "after\n");
    await shown(log.getByText("after"));
    expect(await log.innerText()).toMatch(/before[\s\S]*meanwhile[\s\S]*after/);
    await shown(page().getByText("3 lines", { exact: true }));
    await program.succeed();
    await shown(page().getByText("succeeded", { exact: true }).first());
    allow(/net::ERR_/);
    await page().goto("about:blank");
    await connection.close();
  });

  test("that cannot run yet says why, and can be cancelled", async () => {
    const first = await plane.play("import-catalog");
    const second = await plane.start({ task_id: "import-catalog" });
    await open(`/runs/${second.run.id}`);
    await shown(page().getByText(/Queue "imports" is at its limit/));
    await shown(page().getByText("queue_concurrency_limit"));
    await button("Cancel run").click();
    await confirmWith("Cancel run");
    await shown(page().getByText("cancelled", { exact: true }).first());
    expect(await button("Cancel run").getAttribute("aria-description")).toMatch(/has ended: cancelled/);
    await first.succeed();
  });

  test("that failed shows the error of its task", async () => {
    const program = await plane.play("review-pull-request");
    const end = { failure_kind: "task_failed", reason: "exception", message: "TypeError: items is undefined" } as const;
    await program.run.complete({ status: "failed", exit_code: 1, ...end });
    await open(`/runs/${program.runId}`);
    await shown(page().getByRole("alert").getByText("TypeError: items is undefined"));
  });
});

describe("people in the loop", () => {
  test("a waiting question is answered from the page", async () => {
    const program = await plane.play("review-pull-request");
    const metadata = { question: "Merge acme/billing#902?", risk: "high" };
    const created = await program.call({ kind: "token.create", tags: ["approval"], metadata });
    const { id } = (created as { value: { id: string } }).value;
    await program.call({ kind: "wait", on: { kind: "token", token_id: id }, parkable: false, timeout_seconds: 600 });
    await open("");
    await page().getByRole("link", { name: "Merge acme/billing#902?" }).click();
    await shown(heading("Merge acme/billing#902?"));
    await open(`/sessions/${program.sessionId}`);
    const wait = page().getByRole("region", { name: "Pending wait" });
    await shown(wait.getByText("Merge acme/billing#902?"));
    await button("a refusal").click();
    await wait.getByLabel("Data").fill('{"approved": false, "reason": "too risky"}');
    await button("Complete token").click();
    expect(await program.resolved()).toMatchObject({ status: "completed", data: { approved: false, reason: "too risky" } });
    await gone(wait);
    await program.succeed();
  });

  test("a conversation goes on from the page, and what the task says appears in it", async () => {
    const program = await plane.play("review-pull-request");
    await program.call({ kind: "stream.append", stream: "replies", data: { text: "Shall I check the links, too?" } });
    await program.call({ kind: "wait", on: { kind: "stream", stream: "messages" }, parkable: false });
    await open(`/sessions/${program.sessionId}`);
    const records = page().getByRole("list", { name: "Records" });
    await shown(records.getByText("Shall I check the links, too?"));
    await page().getByLabel("Record", { exact: true }).fill("Yes, please");
    await page().keyboard.press("Control+Enter");
    await shown(records.getByText("Yes, please"));
    expect(await program.resolved()).toMatchObject({ status: "completed" });
    await program.call({ kind: "stream.append", stream: "replies", data: { text: "Two are broken." } });
    await shown(records.getByText("Two are broken."));
    await program.succeed();
  });
});

describe("settings", () => {
  test("a secret is set, changed and deleted, and never shown", async () => {
    await open("/secrets");
    await button("New secret").click();
    await dialog().getByLabel("Name").fill("GITHUB_TOKEN");
    await dialog().getByLabel("Value").fill("ghp_very-secret");
    await button("Save secret", dialog()).click();
    await shown(row("GITHUB_TOKEN"));
    await gone(dialog());
    expect(await page().content()).not.toContain("ghp_very-secret");
    await row("GITHUB_TOKEN").getByRole("button", { name: "Delete GITHUB_TOKEN" }).click();
    await confirmWith("Delete secret");
    await shown(page().getByText("No secret yet"));
    await shown(page().getByText("helmr secret set GITHUB_TOKEN --project default --env production"));
  });

  test("an API key is shown once, works, and is revoked", async () => {
    await open("/api-keys");
    await button("New API key").click();
    await dialog().getByLabel("Name").fill("ci");
    await button("Create key", dialog()).click();
    const code = dialog().getByText(/^hlmr_sk_/);
    await shown(code);
    const key = await code.innerText();
    const status = async () => (await plane.plane.api.call("GET", "/api/runs", { bearer: key })).status;
    expect(await status()).toBe(200);
    await button("I have copied it").click();
    await gone(dialog());
    await page().reload();
    await shown(row("ci"));
    expect(await page().content()).not.toContain(key);
    await button("Revoke", row("ci")).click();
    await confirmWith("Revoke key");
    await gone(row("ci"));
    expect(await status()).toBe(401);
  });

  test("somebody is invited with a link, and the invitation is taken back", async () => {
    await open("/members");
    await button("Invite").click();
    await dialog().getByLabel("E-mail address").fill("linus@acme.example");
    await dialog().getByLabel("Role").selectOption("viewer");
    await button("Create invitation", dialog()).click();
    const link = await dialog()
      .getByText(/\/invite\?token=/)
      .innerText();
    await button("Done", dialog()).click();
    await shown(row("linus@acme.example").getByText("pending"));
    await button("Revoke", row("linus@acme.example")).click();
    await shown(row("linus@acme.example").getByText("revoked"));
    await page().goto(new URL(link).pathname + new URL(link).search);
    await shown(heading("You are invited to Helmr"));
  });

  test("who was invited to look signs in by a mailed link, sees everything and can change nothing", async () => {
    const program = await plane.play("review-pull-request");
    await page().goto(scope);
    const body = { email: "auditor@partner.example", role: "viewer" };
    const { invite_url: link } = await asUser<{ invite_url: string }>(page(), "POST", "/api/invitations", body);
    const guest = await opened.browser.newContext({ baseURL: new URL(plane.loginUrl).origin });
    const other = await guest.newPage();
    await other.goto(new URL(link).pathname + new URL(link).search);
    await other.getByRole("button", { name: "Accept by e-mail" }).click();
    await other.getByRole("link", { name: /link/i }).click();
    await other.waitForURL("**/p/**");
    await other.goto(`${scope}/runs/${program.runId}`);
    const cancel = other.getByRole("button", { name: "Cancel run" });
    await cancel.click({ force: true });
    expect(await other.getByRole("alertdialog").count()).toBe(0);
    expect(await cancel.getAttribute("aria-description")).toBe("Your role (viewer) does not have the permission runs.manage");
    const places = await other.getByRole("navigation", { name: "Environment" }).getByRole("link").allInnerTexts();
    expect(places).toContain("Runs");
    expect(places).not.toContain("Secrets");
    await other.goto(`${scope}/secrets`);
    await shown(other.getByText("Your role does not allow this"));
    await guest.close();
    await program.succeed();
  });

  test("an environment is made, shown in its colour, and deleted", async () => {
    await open("/settings");
    await button("New environment").click();
    await dialog().getByLabel("Name").fill("Preview");
    await button("Create environment", dialog()).click();
    await shown(row("Preview"));
    await row("Preview")
      .getByRole("button", { name: /Delete/ })
      .click();
    await page().getByRole("alertdialog").getByRole("textbox").fill("preview");
    await confirmWith("Delete environment");
    await gone(row("Preview"));
  });
});

describe("schedules and workspaces", () => {
  test("a schedule is made, paused and deleted; one of the code is not", async () => {
    await open("/schedules");
    await shown(row("declared in code").getByText("every weekday at 06:30"));
    expect(await button("Deactivate", row("declared in code")).getAttribute("aria-description")).toMatch(/declared in code/);
    await button("New schedule").click();
    await dialog().getByLabel("Task").selectOption("import-catalog");
    await dialog().getByLabel("Key").fill("northwind");
    await dialog().getByLabel("Cron").fill("0 */4 * * *");
    await button("Create schedule", dialog()).click();
    await shown(row("northwind").getByText("active"));
    await button("Deactivate", row("northwind")).click();
    await shown(row("northwind").getByText("inactive"));
    await button("Delete schedule of import-catalog", row("northwind")).click();
    await confirmWith("Delete schedule");
    await gone(row("northwind"));
  });

  test("a workspace is made, found by its name, and deleted after its name was typed", async () => {
    await open("/workspaces");
    await button("New workspace").click();
    await dialog().getByLabel("Sandbox").selectOption("box");
    await dialog().getByLabel("External id").fill("acme/shop");
    await button("Create workspace", dialog()).click();
    await page().waitForURL("**/workspaces/*");
    await shown(heading("acme/shop"));
    await page()
      .getByRole("link", { name: /^Versions/ })
      .click();
    await shown(page().getByRole("table", { name: "Versions" }));
    await button("Delete").click();
    await page().getByRole("alertdialog").getByRole("textbox").fill("acme/shop");
    await confirmWith("Delete workspace");
    await shown(notice("The workspace is archived"));
  });
});

describe("the files of a workspace", () => {
  let filled: FilledWorkspace;
  beforeAll(async () => {
    filled = await fillWorkspace(plane);
  });

  test("are listed, read and downloaded without a machine", async () => {
    await open(`/workspaces/${filled.workspaceId}`);
    const files = page().getByRole("list", { name: "Files" });
    await files.getByRole("link", { name: /reports/ }).click();
    await shown(files.getByText("2026-06-05.md"));
    await files.getByRole("link", { name: /2026-06-04.md/ }).click();
    await shown(page().getByRole("region", { name: "Content" }).getByText("| emea | 391 |"));
    const [download] = await Promise.all([page().waitForEvent("download"), page().getByRole("link", { name: "Download" }).click()]);
    expect(download.suggestedFilename()).toBe("2026-06-04.md");
    await page().goBack();
    await page().getByRole("navigation", { name: "Folder" }).getByRole("link", { name: "workspace" }).click();
    await shown(files.getByText("README.md"));
  });

  test("are compared between versions, line by line; an old version becomes the current one, or another workspace", async () => {
    const [, first = "", second = ""] = filled.versions;
    await open(`/workspaces/${filled.workspaceId}?tab=versions`);
    await row(second.slice(-8)).getByRole("link", { name: "Compare" }).click();
    const comparison = page().getByRole("region", { name: "Comparison" });
    await shown(comparison.getByText("reports/2026-06-05.md"));
    await shown(comparison.getByRole("listitem").filter({ hasText: "reports/2026-06-03.md" }).getByRole("img", { name: "removed" }));
    await comparison.getByRole("link", { name: "src/format.ts" }).click();
    await shown(comparison.getByRole("row").filter({ hasText: "export const none" }).getByText("+"));
    await button(`Restore version ${first.slice(-8)}`).click();
    await confirmWith("Restore version");
    await shown(notice("The version is current again"));
    await button(`New workspace from version ${first.slice(-8)}`).click();
    await dialog().getByLabel("External id").fill("reports-again");
    await button("Create workspace", dialog()).click();
    await shown(heading("reports-again"));
    await shown(page().getByRole("list", { name: "Files" }).getByText("latest.md"));
  });
});

describe("finding the way", () => {
  test("the palette and the keys lead to pages, tasks and ids", async () => {
    const { run } = await plane.start({ task_id: "review-pull-request" });
    await open("");
    await shown(heading("Default"));
    await page().keyboard.press("Control+k");
    await page().getByRole("combobox").fill("secr");
    await page().keyboard.press("Enter");
    await shown(heading("Secrets"));
    await page().keyboard.press("g");
    await page().keyboard.press("s");
    await shown(heading("Sessions"));
    await page().keyboard.press("Control+k");
    await page().getByRole("combobox").fill(run.id);
    await shown(page().getByRole("option", { name: new RegExp(run.id) }));
    await page().keyboard.press("Enter");
    await page().waitForURL(`**/runs/${run.id}`);
    await shown(heading("review-pull-request"));
    await page().goto(`/runs/${run.id}`);
    await page().waitForURL(`**/p/default/production/runs/${run.id}`);
    await plane.post(`/api/runs/${run.id}/cancel`);
    // An id says not what it is of: the palette asks everywhere.
    allow(/status of 404/);
  });

  test("what belongs to another environment, or to nobody, is not there", async () => {
    const { run, session } = await plane.start({ task_id: "review-pull-request" });
    for (const [path, text] of [
      [`/p/default/staging/runs/${run.id}`, "There is no such run here"],
      [`/p/default/staging/sessions/${session.id}`, "There is no such session here"],
      [`${scope}/workspaces/01980a00-0000-7000-8000-00000000ffff`, "There is no such workspace here"],
      [`${scope}/tokens/not-an-id`, "There is no such token here"],
      ["/p/default/elsewhere", "There is no such environment"],
      ["/nowhere/at/all", "Nothing is here"],
    ] as const) {
      await page().goto(path);
      await shown(page().getByText(text));
    }
    await plane.post(`/api/runs/${run.id}/cancel`);
    allow(/status of 40[04]/);
  });

  test("light and dark are chosen, and kept", async () => {
    await open("");
    const background = () => page().evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const seen = new Set<string>();
    for (const theme of ["Dark", "Light"]) {
      await button(/^Account/).click();
      await page()
        .getByRole("menuitemradio", { name: theme })
        .or(page().getByRole("menuitem", { name: theme }))
        .click();
      await until(`the page is ${theme}`, () =>
        page().evaluate((name) => document.documentElement.dataset["theme"] === name, theme.toLowerCase()),
      );
      await page().reload();
      await shown(heading("Default"));
      seen.add(await background());
    }
    expect(seen.size).toBe(2);
  });

  test("on a phone the menu is a drawer, and nothing is wider than the screen", async () => {
    await page().setViewportSize({ width: 390, height: 844 });
    for (const path of ["", "/sessions", "/runs?status=all", "/schedules", "/settings"]) {
      await open(path);
      await shown(page().getByRole("heading", { level: 1 }));
      expect(await page().evaluate(() => document.documentElement.scrollWidth), path).toBeLessThanOrEqual(390);
    }
    await button("Menu").click();
    await page().getByRole("link", { name: "Tasks" }).click();
    await shown(heading("Tasks"));
    await page().getByRole("link", { name: "Members" }).waitFor({ state: "hidden" });
    await page().setViewportSize({ width: 1440, height: 900 });
  });
});

describe("for everybody", () => {
  test("no page has an unlabelled control, a wrong role, or text that is hard to read in light or dark", async () => {
    const { runId, sessionId } = await plane.play("nightly-report");
    const { workspace_id: workspaceId } = (await plane.get(`/api/sessions/${sessionId}`)).json;
    const all = ["", "/sessions", `/sessions/${sessionId}`, "/runs?status=all", `/runs/${runId}`, "/tokens", "/schedules", "/tasks"];
    const parts = ["", "?tab=versions", "?tab=commands", "?tab=terminal", "?tab=ports"].map((tab) => `/workspaces/${workspaceId}${tab}`);
    const rest = ["/tasks/nightly-report", "/sandboxes", "/deployments", "/workspaces", "/secrets", "/api-keys", "/members", "/settings"];
    for (const path of [...all, ...parts, ...rest]) {
      await page().emulateMedia({ colorScheme: "light" });
      await open(path);
      await page().evaluate(() => delete document.documentElement.dataset["theme"]);
      await shown(page().getByRole("heading", { level: 1 }));
      await page().waitForFunction(() => document.querySelector('[aria-label="Loading"]') === null);
      expect(await violationsOf(page()), path).toEqual([]);
      await page().emulateMedia({ colorScheme: "dark" });
      expect(await violationsOf(page(), { rules: ["color-contrast"] }), `${path} in the dark`).toEqual([]);
    }
    await plane.post(`/api/sessions/${sessionId}/cancel`);
  });
});

describe("signing out", () => {
  test("ends the session", async () => {
    await open("");
    await button(/^Account/).click();
    await page().getByRole("menuitem", { name: "Sign out" }).click();
    await shown(heading("Sign in to Helmr"));
    await page().goto(`${scope}/runs`);
    await page().waitForURL("**/login?**");
    // That is how the console knows.
    allow(/status of 401/);
  });
});
