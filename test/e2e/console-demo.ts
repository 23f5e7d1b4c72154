/** What a project looks like after some days of use, made through the real wires in some seconds: for screenshots and for looking around. */
import { captured, fakeWorker, tarOf, upload } from "@helmr/test/platform";
import type { Page } from "playwright-core";
import { asUser } from "./console-browser.ts";
import { type FilledWorkspace, fillWorkspace } from "./console-trees.ts";
import type { ConsolePlane } from "./console-plane.ts";

export interface Demo {
  /** Names of pages with what is on them, by what they show. */
  runs: Record<"live" | "approval" | "succeeded" | "failed" | "queued", string>;
  sessions: Record<"approval" | "conversation" | "cancelled", string>;
  deployments: Record<"failed", string>;
  tokenId: string;
  filled: FilledWorkspace;
  stop(): void;
}

const renewMs = 5_000;

export async function playDemo(plane: ConsolePlane, page: Page): Promise<Demo> {
  const renewals = setInterval(() => void plane.worker.renew().catch(() => undefined), renewMs);
  const failed = await failedDeployment(plane);
  await settings(plane, page);
  const filled = await fillWorkspace(plane);
  const succeeded = await report(plane);
  const failedRun = await brokenImport(plane);
  const live = await liveReview(plane);
  const approval = await waitingReview(plane);
  const conversation = await conversationWith(plane);
  const cancelled = await plane.start({ task_id: "review-pull-request", payload: { repository: "acme/legacy", number: 12 } });
  await plane.post(`/api/sessions/${cancelled.session.id}/cancel`, { reason: "the pull request was closed" });
  await plane.play("import-catalog", { payload: { supplier: "northwind", day: "2026-06-05" }, external_id: "northwind-2026-06-05" });
  const queued = await plane.start({ task_id: "import-catalog", payload: { supplier: "northwind", day: "2026-06-06" } });
  return {
    runs: { live: live.runId, approval: approval.runId, succeeded: succeeded.runId, failed: failedRun, queued: queued.run.id },
    sessions: { approval: approval.sessionId, conversation: conversation.sessionId, cancelled: cancelled.session.id },
    deployments: { failed },
    tokenId: approval.tokenId,
    filled,
    stop: () => clearInterval(renewals),
  };
}

async function report(plane: ConsolePlane) {
  const program = await plane.play("nightly-report", {
    payload: { day: "2026-06-05", recipients: ["ops@acme.example"] },
    tags: ["nightly", "finance"],
  });
  await program.run.log("stdout", "reading 1 204 orders of 2026-06-05\n");
  for (const [index, region] of ["emea", "amer", "apac"].entries()) {
    await program.run.log(
      "logger",
      line("info", `region ${region} is summed up`, { region, orders: 300 + index * 107, seconds: 1.2 + index }),
    );
    await program.call({ kind: "stream.append", stream: "progress", data: { region, done: index + 1, of: 3 } });
  }
  await program.run.log("logger", line("warn", "12 orders have no country; they are counted as amer", { orders: 12 }));
  await program.run.report([
    { kind: "metadata", operation: { op: "patch", value: { step: "done", regions: 3, total_eur: 48_210.5 } }, age_ms: 0 },
  ]);
  await program.run.log("stdout", "report written to reports/2026-06-05.md\n");
  await program.run.complete(
    { status: "succeeded", exit_code: 0, output: { value: { report: "reports/2026-06-05.md", orders: 1_204, total_eur: 48_210.5 } } },
    { workspace: captured(program.run.lease.run.org_id), activeMs: 5_400 },
  );
  return program;
}

/** Three attempts, each with its own trace; the run is failed afterwards. */
async function brokenImport(plane: ConsolePlane): Promise<string> {
  const first = await plane.play("import-catalog", { payload: { supplier: "contoso" }, tags: ["contoso"] });
  let program = first;
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    await program.run.log("stdout", `GET https://feeds.contoso.example/catalog.json (attempt ${attempt})\n`);
    await program.run.log(
      "stderr",
      [
        "\u001b[31mTypeError\u001b[0m: Cannot read properties of undefined (reading 'items')",
        "    at parseCatalog (/app/tasks/import-catalog.ts:42:27)",
        "    at async run (/app/tasks/import-catalog.ts:18:19)\n",
      ].join("\n"),
    );
    const end = {
      status: "failed" as const,
      exit_code: 1,
      failure_kind: "task_failed" as const,
      reason: "exception",
      message: "TypeError: Cannot read properties of undefined (reading 'items')",
    };
    if ((await program.run.complete(end, { activeMs: 900 })) === "finished") break;
    program = await plane.program({ id: first.sessionId });
  }
  return first.runId;
}

async function liveReview(plane: ConsolePlane) {
  const program = await plane.play("review-pull-request", {
    payload: { repository: "acme/shop", number: 4_711, author: "grace" },
    external_id: "acme/shop#4711",
    tags: ["shop"],
  });
  await program.run.log("stdout", "Cloning into '/workspace/shop'...\n\u001b[32m✓\u001b[0m 312 files, 4.1 MB\n");
  const files = ["src/cart.ts", "src/checkout/totals.ts", "src/checkout/totals.test.ts", "src/api/orders.ts"];
  for (const [index, file] of files.entries()) {
    await program.run.log("logger", line("info", `read ${file}`, { file, lines: 80 + index * 61 }));
  }
  await program.run.log("stdout", "$ npm test -- src/checkout\n\n \u001b[32mPASS\u001b[0m src/checkout/totals.test.ts (12 tests)\n");
  await program.run.log("logger", line("warn", "rounding of VAT differs from invoices", { file: "src/checkout/totals.ts", line: 88 }));
  await program.run.report([{ kind: "metadata", operation: { op: "patch", value: { step: "reading the diff", files: 4 } }, age_ms: 0 }]);
  await program.call({ kind: "stream.append", stream: "progress", data: { step: "reading the diff", percent: 60 } });
  return program;
}

async function waitingReview(plane: ConsolePlane) {
  const program = await plane.play("review-pull-request", {
    payload: { repository: "acme/billing", number: 902, author: "linus" },
    external_id: "acme/billing#902",
    tags: ["billing", "needs-approval"],
  });
  await program.run.log("logger", line("info", "the change deletes 3 tables; somebody must approve it", { tables: ["a", "b", "c"] }));
  const created = await program.call({
    kind: "token.create",
    timeout_ms: 86_400_000,
    tags: ["approval"],
    metadata: { question: "Merge acme/billing#902?", risk: "high", deletes: ["invoices_old", "ledger_tmp", "vat_2019"] },
  });
  const { id: tokenId } = (created as { value: { id: string } }).value;
  await program.call({
    kind: "wait",
    on: { kind: "token", token_id: tokenId },
    parkable: false,
    timeout_seconds: 86_400,
    metadata: { question: "Merge acme/billing#902?" },
    tags: ["approval"],
  });
  return { ...program, tokenId };
}

async function conversationWith(plane: ConsolePlane) {
  const program = await plane.play("review-pull-request", {
    payload: { repository: "acme/docs", number: 77 },
    external_id: "acme/docs#77",
  });
  const say = (data: unknown) => plane.post(`/api/sessions/${program.sessionId}/inputs/messages`, { data });
  const reply = (data: unknown) => program.call({ kind: "stream.append", stream: "replies", data });
  await reply({ text: "I read the pull request. It renames 14 pages. Shall I check the links, too?" });
  await program.call({ kind: "wait", on: { kind: "stream", stream: "messages" }, parkable: false });
  await say({ text: "Yes, and list those that are broken.", from: "grace" });
  await reply({ text: "Two links are broken.", links: ["/guides/setup#windows", "/reference/flags"] });
  await program.call({ kind: "wait", on: { kind: "stream", stream: "messages", after_sequence: 1 }, parkable: false });
  return program;
}

async function failedDeployment(plane: ConsolePlane): Promise<string> {
  const source = await tarOf({
    "package.json": JSON.stringify({ name: "acme-tasks", version: "1.4.0" }),
    "tasks/x.ts": "export {};\n".repeat(900),
  });
  const created = await upload(plane.plane.api, source);
  const builder = await fakeWorker({ url: plane.plane.url, enrollmentSecret: plane.plane.enrollmentSecret, claims: false, name: "builds" });
  const [lease] = await builder.claim({ kinds: ["build"], wait_ms: 10_000 });
  if (lease?.kind !== "build") throw new TypeError(`no build was leased: ${created.text}`);
  const fenced = { lease_id: lease.lease_id, fence: lease.fence };
  const events = [
    ["deployment.build.step", "info", "Installing dependencies"],
    ["deployment.build.log", "info", "npm ci"],
    ["deployment.build.log", "info", "added 214 packages in 6s"],
    ["deployment.build.step", "info", "Indexing tasks"],
    ["deployment.build.log", "warn", "tasks/import-catalog.ts exports nothing that is a task"],
    ["deployment.build.log", "error", "tasks/nightly-report.ts:18:7: error: Expected ';' but found 'await'"],
  ] as const;
  await builder.post(
    "buildReport",
    { ...fenced, first: 1, events: events.map(([kind, severity, message]) => ({ kind, severity, message, attributes: {}, age_ms: 0 })) },
    lease.deployment.id,
  );
  const failure = { kind: "task_parse_failed" as const, message: "tasks/nightly-report.ts:18:7: Expected ';' but found 'await'" };
  await builder.post(
    "buildComplete",
    { ...fenced, report_through: events.length, result: { status: "failed", failure } },
    lease.deployment.id,
  );
  await builder.stop();
  return lease.deployment.id;
}

async function settings(plane: ConsolePlane, page: Page): Promise<void> {
  const scope = new URL(page.url()).pathname.split("/").slice(2, 4);
  const at = `/api/projects/${scope[0]}/environments/${scope[1]}`;
  for (const name of ["ANTHROPIC_API_KEY", "GITHUB_TOKEN", "DATABASE_URL", "SLACK_WEBHOOK"])
    await asUser(page, "PUT", `${at}/secrets/${name}`, { value: `value-of-${name}` });
  const key = (name: string, days: number | null, scopes: string[]) =>
    asUser<{ id: string }>(page, "POST", `${at}/api-keys`, { name, expires_in_days: days, permissions: [{ scopes }] });
  await key("github-actions", 90, ["tasks:deploy", "runs:read"]);
  await key("shop-backend", null, ["runs:create", "runs:read", "session-input:send", "session-streams:read"]);
  const old = await key("laptop-of-grace", 30, ["runs:read"]);
  await asUser(page, "DELETE", `${at}/api-keys/${old.id}`);
  await asUser(page, "POST", "/api/invitations", { email: "linus@acme.example", role: "developer" });
  await asUser(page, "POST", "/api/invitations", { email: "auditor@partner.example", role: "viewer", expires_in_days: 3 });
  const schedule = (body: object) => plane.post("/api/schedules", { task: "import-catalog", ...body });
  await schedule({ deduplication_key: "northwind", cron: "0 */4 * * *", timezone: "America/New_York" });
  const paused = (await schedule({ deduplication_key: "weekly-check", cron: "15 3 * * 0" })).json as { id: string };
  await plane.post(`/api/schedules/${paused.id}/deactivate`);
  await plane.post("/api/workspaces", {
    sandbox_id: "box",
    external_id: "acme/shop",
    tags: ["shop", "long-lived"],
    metadata: { owner: "grace" },
  });
  const done = (await plane.post("/api/tokens", { tags: ["approval"], metadata: { question: "Publish 2.4.0?" } })).json as { id: string };
  await plane.post(`/api/tokens/${done.id}/complete`, { data: { approved: true, by: "grace" } });
  const gone = (await plane.post("/api/tokens", { tags: ["webhook"] })).json as { id: string };
  await plane.post(`/api/tokens/${gone.id}/cancel`);
}

function line(level: string, message: string, fields: object): string {
  return `${JSON.stringify({ level, message, fields, at: new Date().toISOString() })}\n`;
}
