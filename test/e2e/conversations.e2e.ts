/** Tasks that wait for people, for time and for each other: approvals, conversations over many runs, timers, retries, schedules. */
import { join } from "node:path";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repository } from "./local-install.ts";
import { type SharedInstall, sharedInstall, type StartedRun } from "./shared-install.ts";

const example = (name: string) => join(repository, "examples", name);
const jsonLines = (text: string) =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
const kindsOf = (events: { kind: string }[]) => events.map(({ kind }) => kind).filter((kind) => kind !== "log" && !kind.startsWith("log."));

let install: SharedInstall;
beforeAll(async () => {
  install = await sharedInstall();
});
afterAll(async () => {
  await install?.expectSound();
  install?.close();
});

async function helmr(...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await install.local.helmr(argv);
  expect({ code, stderr }, argv.join(" ")).toEqual({ code: 0, stderr: "" });
  return stdout;
}

/** Until the run sits in a wait; its `pending_wait`. */
async function waiting({ runId }: StartedRun, kind: string) {
  const run = await install.untilRun(`waits for a ${kind}`, runId, (one) => one.pending_wait?.kind === kind);
  return run.pending_wait;
}

describe("examples/housekeeping", () => {
  let imperative: { id: string };
  beforeAll(async () => {
    await install.deploy(example("housekeeping"));
    const made = { deduplication_key: "report", external_id: "e2e", task: "on-demand-report", cron: "* * * * *", timezone: "Asia/Tokyo" };
    imperative = await install.post("/api/schedules", made, 201);
  });

  test.concurrent("a run that fails twice succeeds at its third attempt", async () => {
    const ended = await install.play("flaky", { payload: { failures: 2 } });
    expect(ended.run).toMatchObject({ status: "succeeded", attempt_number: 3, output: { attempt: 3 }, metadata: { attempts: 3 } });
    const retries = ended.events.filter(({ kind }) => kind === "run.retry_scheduled").map(({ attributes }) => attributes);
    expect(retries).toMatchObject([
      { reason: "non_zero_exit", previous_attempt_number: 1, next_attempt_number: 2, delay_ms: 200 },
      { reason: "non_zero_exit", previous_attempt_number: 2, next_attempt_number: 3, delay_ms: 400 },
    ]);
    expect(ended.stderr).toContain("Error: attempt 1 failed");
    expect(ended.stderr).toContain("Error: attempt 2 failed");
  });

  test.concurrent("a run that fails at every attempt has failed, once", async () => {
    const ended = await install.play("flaky", { payload: { failures: 9 } });
    expect(ended.run).toMatchObject({ status: "failed", attempt_number: 3, exit_code: 1 });
    expect(kindsOf(ended.events).filter((kind) => /retry|failed|completed/.test(kind))).toEqual([
      "run.retry_scheduled",
      "run.retry_scheduled",
      "run.failed",
    ]);
    expect(ended.end.attributes).toMatchObject({ failure_kind: "task_failed", detail: { exit_code: 1 } });
  });

  test.concurrent("timers pass, in the process that began", async () => {
    const ended = await install.play("reminder");
    expect(ended.run).toMatchObject({ status: "succeeded", attempt_number: 1, output: { samePid: true }, metadata: { reminded: 2 } });
    expect(ended.run.output.waitedMs).toBeGreaterThanOrEqual(4_500);
    const waits = ended.events.filter(({ kind }) => kind.startsWith("run_wait."));
    expect(waits.map(({ kind, attributes }) => [kind, attributes.kind])).toEqual(
      [1, 2, 3].flatMap(() => [
        ["run_wait.created", "timer"],
        ["run_wait.completed", "timer"],
      ]),
    );
  });

  test.concurrent("a run is told that its session was cancelled", async () => {
    const started = await install.start("until-cancelled");
    await install.untilRun("works", started.runId, (run) => run.metadata.working === true);
    const session = await install.post(`/api/sessions/${started.sessionId}/cancel`, { reason: "not needed" });
    expect(session).toMatchObject({ status: "cancelled", error: { name: "TaskCancelled", message: "not needed" } });
    const ended = await install.ended(started);
    expect(ended.end.kind).toBe("run.cancelled");
    expect(ended.stdout).toContain("told to stop\n");
  });

  test("schedules fire: the declared one and the one made by hand", async () => {
    const fired = (task: string) =>
      until(
        `a schedule starts ${task}`,
        async () =>
          (await install.get(`/api/sessions?task_id=${task}`)).sessions.at(-1) as
            | { id: string; current_run_id: string; workspace_id: string }
            | undefined,
        120_000,
      );
    const sessions = await Promise.all([fired("every-minute"), fired("on-demand-report")]);
    const [declared, byHand] = await Promise.all(
      sessions.map(({ id, current_run_id: runId, workspace_id: workspaceId }) => install.ended({ sessionId: id, runId, workspaceId })),
    );
    expect(declared!.run).toMatchObject({
      status: "succeeded",
      output: { timezone: "Europe/Berlin", scheduleType: "declarative", firedBefore: null },
    });
    const { firedAt, next } = declared!.run.output;
    expect(Date.parse(firedAt) % 60_000).toBe(0);
    expect(Date.parse(next) - Date.parse(firedAt)).toBe(60_000);
    expect(byHand!.run).toMatchObject({ status: "succeeded", output: { scheduleId: imperative.id, externalId: "e2e" } });

    const { schedules } = await install.get("/api/schedules");
    const known = schedules.map(({ type, task, status, timezone }: Record<string, string>) => ({ type, task, status, timezone }));
    expect(known).toContainEqual({ type: "declarative", task: "every-minute", status: "active", timezone: "Europe/Berlin" });
    expect(known).toContainEqual({ type: "imperative", task: "on-demand-report", status: "active", timezone: "Asia/Tokyo" });
    const gone = await install.api.call("DELETE", `/api/schedules/${imperative.id}`);
    expect(gone.status).toBe(204);
  });
});

describe("examples/approvals", () => {
  beforeAll(async () => {
    await install.deploy(example("approvals"));
  });

  test("the declared schedule of the deployment before is gone", async () => {
    expect((await install.get("/api/schedules")).schedules).toEqual([]);
  });

  test.concurrent("by token: whoever completes it decides, once", async () => {
    const started = await install.start("approve-by-token", { payload: { title: "Ship it" } });
    const wait = await waiting(started, "token");
    expect(wait).toMatchObject({ kind: "token", status: "live", metadata: { title: "Ship it" }, tags: ["approval"] });
    expect(await install.run(started.runId)).toMatchObject({ status: "running" });
    expect(await install.get(`/api/sessions/${started.sessionId}`)).toMatchObject({ activity: "waiting", can_close: false });
    const { tokenId } = (await install.run(started.runId)).metadata.approval;

    const complete = ["token", "complete", tokenId, "--data-json", '{"approved":true,"by":"Ada"}'];
    expect(await helmr(...complete)).toBe(`token_id: ${tokenId}\ntoken_status: completed\ncompletion_status: completed\n`);
    const ended = await install.ended(started);
    expect(ended.run).toMatchObject({ status: "succeeded", output: { title: "Ship it", outcome: "approved", by: "Ada" } });
    expect(kindsOf(ended.events)).toEqual([
      "run.created",
      "run.metadata.updated",
      "run_wait.created",
      "run_wait.completed",
      "run.completed",
    ]);
    expect(await helmr(...complete)).toContain("completion_status: already_completed\n");
    expect(await install.api.call("POST", `/api/tokens/${tokenId}/cancel`, { body: {} })).toMatchObject({
      status: 409,
      json: { code: "token_completed" },
    });
  });

  test.concurrent("by token: nobody decides in time", async () => {
    const ended = await install.play("approve-by-token", { payload: { title: "Late", timeoutSeconds: 2 } });
    expect(ended.run).toMatchObject({ status: "succeeded", output: { outcome: "WaitTimeoutError" } });
    expect(kindsOf(ended.events)).toContain("run_wait.timed_out");
    const { tokenId } = ended.run.metadata.approval;
    expect(await install.get(`/api/tokens/${tokenId}`)).toMatchObject({ status: "expired" });
  });

  test.concurrent("by token: the token is cancelled", async () => {
    const started = await install.start("approve-by-token", { payload: { title: "Withdrawn" } });
    await waiting(started, "token");
    const { tokenId } = (await install.run(started.runId)).metadata.approval;
    await helmr("token", "cancel", tokenId);
    const ended = await install.ended(started);
    expect(ended.run).toMatchObject({ status: "succeeded", output: { outcome: "WaitCancelledError" } });
    expect(kindsOf(ended.events).filter((kind) => kind.startsWith("run_wait."))).toEqual(["run_wait.created"]);
  });

  test.concurrent("by stream: with a public access token that allows one record", async () => {
    const started = await install.start("approve-by-stream", { payload: { title: "Merge" } });
    await waiting(started, "stream");
    const token = await install.client.auth.createPublicToken({
      scope: { type: "session.input.send", session: started.sessionId, stream: "decisions" },
      maxUses: 1,
    });
    const { publicAccessToken } = token;
    const input = install.client.sessions.open(started.sessionId).input("decisions");
    await input.send({ approved: false, by: "Grace" }, { publicAccessToken });
    await expect(input.send({ approved: true, by: "Mallory" }, { publicAccessToken })).rejects.toThrow(/403.*token_scope_denied/);

    const ended = await install.ended(started);
    expect(ended.run).toMatchObject({
      status: "succeeded",
      output: { title: "Merge", outcome: "rejected", by: "Grace", samePid: true },
      metadata: { decidedBy: "Grace" },
    });
    const progress = jsonLines(await helmr("session", "stream", "output", "list", started.sessionId, "progress"));
    expect(progress.map(({ sequence, data }) => [sequence, data.step])).toEqual([
      [1, "asked"],
      [2, "rejected"],
    ]);
  });

  test.concurrent("by stream: a record that is no decision fails the run with what is wrong", async () => {
    const started = await install.start("approve-by-stream", { payload: { title: "Merge" } });
    await waiting(started, "stream");
    await helmr("session", "stream", "input", "send", started.sessionId, "decisions", "--data-json", '{"approved":"perhaps"}');
    const ended = await install.ended(started);
    expect(ended.end.attributes).toMatchObject({ failure_kind: "task_failed", detail: { exit_code: 1 } });
    expect(ended.end.attributes.detail.message).toContain("must be true or false");
  });

  test.concurrent("cancelled while it waits: the wait goes with it", async () => {
    const started = await install.start("approve-by-stream", { payload: { title: "Never mind" } });
    await waiting(started, "stream");
    const { code, stdout } = await install.local.helmr(["run", "cancel", started.runId, "--reason", "no longer needed"]);
    expect(code).toBe(0);
    expect(stdout).toContain("run_status: cancelled\n");
    const ended = await install.ended(started);
    expect(ended.run.pending_wait).toBeUndefined();
    expect(ended.end).toMatchObject({ kind: "run.cancelled", attributes: { reason: "no longer needed" } });
    expect(kindsOf(ended.events).filter((kind) => kind.startsWith("run_wait."))).toEqual(["run_wait.created"]);
  });
});

describe("examples/chat", () => {
  test("each message that nobody waits for starts the next run, on the same files", async () => {
    await install.deploy(example("chat"));
    const { sessionId, runId, workspaceId } = await install.start("chat");
    const first = await install.ended({ sessionId, runId, workspaceId });
    expect(first.run).toMatchObject({ status: "succeeded", output: { answeredNow: 0, answered: 0, words: 0 } });

    const say = (text: string) => install.post(`/api/sessions/${sessionId}/inputs/messages`, { data: { text } }, 201);
    expect(await say("two words")).toMatchObject({ record: { sequence: 1 }, continuation_status: "created" });
    const idle = () =>
      until("the conversation is quiet", async () => (await install.get(`/api/sessions/${sessionId}`)).can_close === true, 120_000);
    await idle();
    // Two at once: the run of the first answers the second as well, so there is one run for both.
    expect(await say("and now three more")).toMatchObject({ continuation_status: "created" });
    expect(await say("last")).toMatchObject({ continuation_status: "accepted_run_pending" });
    await idle();

    const { runs } = await install.get(`/api/sessions/${sessionId}/runs`);
    expect(runs.map(({ turn_index: turn, status }: Record<string, unknown>) => [turn, status])).toEqual([
      [0, "succeeded"],
      [1, "succeeded"],
      [2, "succeeded"],
    ]);
    const [created] = await install.events(runs[1].run_id);
    expect(created).toMatchObject({ kind: "run.created", attributes: { reason: "input", cause: { kind: "stream_record", sequence: 1 } } });
    const replies = (await install.get(`/api/sessions/${sessionId}/outputs/replies`)).records;
    expect(replies.map(({ data }: { data: unknown }) => data)).toEqual([
      { to: 1, text: "That was 2 words; 2 so far." },
      { to: 2, text: "That was 4 words; 6 so far." },
      { to: 3, text: "That was 1 words; 7 so far." },
    ]);
    expect(await install.run(runs[2].run_id)).toMatchObject({ output: { answeredNow: 2, answered: 3, words: 7 } });
    expect(JSON.parse(await install.file(workspaceId, "conversation.json"))).toEqual({ answered: 3, words: 7 });

    await helmr("session", "close", sessionId);
    const refused = await install.api.call("POST", `/api/sessions/${sessionId}/inputs/messages`, { body: { data: { text: "too late" } } });
    expect(refused).toMatchObject({ status: 409, json: { code: "session_terminal" } });
  });
});
