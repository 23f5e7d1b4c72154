/**
 * `node test/e2e/screenshots.ts DIR [NAME…]`: every page of the console over demo data, light and dark, wide and narrow, as NAME.WIDTH.THEME.png. Names
 * pick pages. For eyes, not for a comparison. Faults of pages are printed, and pages that are wider than the screen.
 */
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Page } from "playwright-core";
import { startTestCluster } from "@helmr/test/services";
import { openConsoleBrowser, pageDeadlineMs } from "./console-browser.ts";
import { type Demo, playDemo } from "./console-demo.ts";
import { buildConsole, openConsolePlane } from "./console-plane.ts";

interface Shot {
  name: string;
  path: string;
  /** Opens a dialog before the picture is taken. */
  act?: (page: Page) => Promise<unknown>;
}

const say = (line: string) => process.stdout.write(`${line}\n`);

function shotsOf(scope: string, demo: Demo): Shot[] {
  const at = (path: string) => `${scope}${path}`;
  const workspace = `/workspaces/${demo.filled.workspaceId}`;
  const button = (name: string) => (page: Page) => page.getByRole("button", { name, exact: true }).first().click();
  return [
    { name: "overview", path: at("") },
    { name: "sessions", path: at("/sessions") },
    { name: "sessions-filtered", path: at("/sessions?status=expired") },
    { name: "session-approval", path: at(`/sessions/${demo.sessions.approval}`) },
    { name: "session-conversation", path: at(`/sessions/${demo.sessions.conversation}`) },
    { name: "session-cancelled", path: at(`/sessions/${demo.sessions.cancelled}`) },
    { name: "runs", path: at("/runs?status=all") },
    { name: "run-live", path: at(`/runs/${demo.runs.live}`) },
    { name: "run-approval", path: at(`/runs/${demo.runs.approval}`) },
    { name: "run-succeeded", path: at(`/runs/${demo.runs.succeeded}`) },
    { name: "run-failed", path: at(`/runs/${demo.runs.failed}`) },
    { name: "run-failed-events", path: at(`/runs/${demo.runs.failed}?tab=events`) },
    { name: "run-queued", path: at(`/runs/${demo.runs.queued}`) },
    { name: "run-missing", path: at("/runs/01980a00-0000-7000-8000-00000000ffff") },
    { name: "tokens", path: at("/tokens") },
    { name: "token", path: at(`/tokens/${demo.tokenId}`) },
    { name: "schedules", path: at("/schedules") },
    { name: "schedule-new", path: at("/schedules"), act: button("New schedule") },
    { name: "tasks", path: at("/tasks") },
    { name: "task", path: at("/tasks/review-pull-request") },
    { name: "start", path: at(""), act: button("Start a session") },
    { name: "sandboxes", path: at("/sandboxes") },
    { name: "deployments", path: at("/deployments") },
    { name: "deployment-failed", path: at(`/deployments/${demo.deployments.failed}`) },
    { name: "workspaces", path: at("/workspaces") },
    { name: "workspace", path: at(workspace) },
    { name: "workspace-file", path: at(`${workspace}?file=src/regions.ts`) },
    { name: "workspace-versions", path: at(`${workspace}?tab=versions`) },
    { name: "workspace-compare", path: at(`${workspace}?tab=versions&compare=${demo.filled.versions.at(-1)}`) },
    { name: "workspace-diff", path: at(`${workspace}?tab=versions&compare=${demo.filled.versions.at(-1)}&file=src/format.ts`) },
    { name: "workspace-commands", path: at(`${workspace}?tab=commands`) },
    { name: "workspace-terminal", path: at(`${workspace}?tab=terminal`) },
    { name: "workspace-ports", path: at(`${workspace}?tab=ports`) },
    { name: "secrets", path: at("/secrets") },
    { name: "secret-new", path: at("/secrets"), act: button("New secret") },
    { name: "api-keys", path: at("/api-keys") },
    { name: "api-key-new", path: at("/api-keys"), act: button("New API key") },
    { name: "members", path: at("/members") },
    { name: "member-invite", path: at("/members"), act: button("Invite") },
    { name: "settings", path: at("/settings") },
    { name: "palette", path: at(""), act: (page) => page.keyboard.press("Control+k") },
    { name: "empty-overview", path: scope.replace(/[^/]+$/, "staging") },
    { name: "empty-sessions", path: `${scope.replace(/[^/]+$/, "staging")}/sessions` },
    { name: "empty-runs", path: `${scope.replace(/[^/]+$/, "staging")}/runs` },
    { name: "empty-tasks", path: `${scope.replace(/[^/]+$/, "staging")}/tasks` },
    { name: "empty-deployments", path: `${scope.replace(/[^/]+$/, "staging")}/deployments` },
    { name: "empty-secrets", path: `${scope.replace(/[^/]+$/, "staging")}/secrets` },
    { name: "empty-workspaces", path: `${scope.replace(/[^/]+$/, "staging")}/workspaces` },
    { name: "empty-schedules", path: `${scope.replace(/[^/]+$/, "staging")}/schedules` },
    { name: "empty-tokens", path: `${scope.replace(/[^/]+$/, "staging")}/tokens` },
    { name: "nowhere", path: "/nowhere" },
    { name: "device", path: "/auth/device" },
    { name: "invite", path: "/invite?token=hlmr_invite_wrong" },
  ];
}

const widths = [
  { width: 1440, height: 900 },
  { width: 390, height: 844 },
] as const;
const schemes = ["light", "dark"] as const;

async function take(page: Page, shot: Shot, directory: string): Promise<void> {
  for (const size of widths) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
    await page.goto(shot.path);
    await settled(page);
    if (shot.act) {
      await shot.act(page);
      await page.getByRole("dialog").waitFor();
      await settled(page);
    }
    for (const scheme of schemes) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
      const path = join(directory, `${shot.name}.${size.width}.${scheme}.png`);
      await page.screenshot({ path, animations: "disabled", caret: "hide" });
    }
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (over > 0) say(`  ${shot.name}: ${over} px wider than ${size.width}`);
  }
}

/** Everything that the page waits for is there; streams stay open for ever and do not count. */
async function settled(page: Page): Promise<void> {
  await page.waitForFunction(
    () =>
      document.querySelector("h1, [role=dialog]") !== null &&
      document.querySelector('[aria-label="Loading"], [aria-busy="true"]') === null &&
      document.fonts.status === "loaded",
    undefined,
    { timeout: pageDeadlineMs },
  );
}

async function main(directory: string, names: readonly string[]): Promise<void> {
  await mkdir(directory, { recursive: true });
  const stopCluster = await startTestCluster();
  const built = await buildConsole();
  const plane = await openConsolePlane(built.directory);
  const opened = await openConsoleBrowser({ url: new URL(plane.loginUrl).origin });
  try {
    const { page, faults } = opened;
    const wanted = (name: string) => names.length === 0 || names.some((part) => name.startsWith(part));
    if (wanted("login")) await take(page, { name: "login", path: "/login" }, directory);
    await page.goto(plane.loginUrl);
    await page.waitForURL("**/p/**");
    const scope = new URL(page.url()).pathname.replace(/\/$/, "");
    const demo = await playDemo(plane, page);
    faults.length = 0;
    for (const shot of shotsOf(scope, demo)) {
      if (!wanted(shot.name)) continue;
      await take(page, shot, directory).catch((error: unknown) => say(`  ${shot.name}: ${String(error)}`));
      for (const fault of faults.splice(0)) say(`  ${shot.name}: ${fault}`);
    }
    demo.stop();
    for (const fault of plane.plane.faults) say(`  server: ${JSON.stringify(fault)}`);
  } finally {
    await opened.close();
    await plane.close();
    await built.remove();
    await stopCluster();
  }
}

const [directory, ...names] = process.argv.slice(2);
if (directory === undefined) {
  process.stderr.write("usage: node test/e2e/screenshots.ts DIR [NAME…]\n");
  process.exitCode = 2;
} else await main(resolve(directory), names);
