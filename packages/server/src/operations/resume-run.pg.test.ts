import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assert, required } from "../assert.ts";
import { isRefusal } from "../outcome.ts";
import { abandonResumes } from "../reconcilers/abandon-resumes.ts";
import type { RunCall } from "../worker-actor.ts";
import { answerProgramCall } from "./answer-program-call.ts";
import { cancelRun } from "./cancel-run.ts";
import { completeToken } from "./complete-token.ts";
import { createToken } from "./create-token.ts";
import { eachStep, taskDeclaration } from "./engine.fixture.ts";
import { explainRun } from "./explain-run.ts";
import { loseLease } from "./lose-lease.ts";
import { parkRequest } from "./park-run.fixture.ts";
import { type ParkRequest, parkRun } from "./park-run.ts";
import { deleteSecret, putSecret } from "./put-secret.ts";
import { failRestore, resumeRun } from "./resume-run.ts";
import { openSessions, type Program, type Sessions } from "./sessions.fixture.ts";

let sessions: Sessions;
beforeAll(async () => {
  sessions = await openSessions({
    tasks: [
      taskDeclaration("hello"),
      taskDeclaration("restarts", { onCheckpointLost: "restart" }),
      taskDeclaration("forks", { onConflict: "fork" }),
      taskDeclaration("keyed", {
        secrets: [
          { name: "kept", env: "KEPT" },
          { name: "gone", env: "GONE" },
        ],
      }),
    ],
  });
});
afterAll(async () => {
  expect(await sessions.invariants()).toEqual([]);
  await sessions.close();
});

interface ParkedRun {
  program: Program;
  tokenId: string;
  waitId: string;
  request: ParkRequest;
}

async function parked(task = "hello", over: Partial<ParkRequest> = {}): Promise<ParkedRun> {
  const program = await sessions.program({ task_id: task });
  const environmentId = sessions.scope.environmentId;
  const created = await createToken(sessions.context, {
    environmentId,
    timeoutMs: 60_000,
    tags: [],
    metadata: {},
    idempotencyKey: undefined,
  });
  assert(!isRefusal(created), "A token is created");
  const tokenId = created.token.id;
  const answer = await program.call({ kind: "wait", on: { kind: "token", token_id: tokenId }, parkable: true });
  assert(answer.state === "waiting", "The wait is open");
  const request = parkRequest(sessions.scope.orgId, answer.waitId, over);
  expect(await parkRun(sessions.context, program.held, request)).toEqual({ state: "parked" });
  return { program, tokenId, waitId: answer.waitId, request };
}

async function complete({ tokenId }: ParkedRun): Promise<void> {
  await completeToken(sessions.context, { environmentId: sessions.scope.environmentId, tokenId, data: "yes", byPublicToken: false });
  await sessions.context.gates.settled();
}

/** Completed and leased again. */
async function leased(
  subject: ParkedRun,
): Promise<{ subject: ParkedRun; call: RunCall; lease: Awaited<ReturnType<Sessions["lease"]>>[number] }> {
  await complete(subject);
  const [lease] = await sessions.lease(sessions.worker1, [subject.program.runId]);
  return {
    subject,
    lease: required(lease, "The run is leased"),
    call: sessions.call(sessions.worker1, required(lease, "The run is leased")),
  };
}

const runOf = (id: string) =>
  sessions.one("select state, outcome, attempt_number, checkpoint_id, parked_wait_id, failure, workspace_id from runs where id = $1", [id]);
const suspension = async (waitId: string) => (await sessions.one("select suspension from run_waits where id = $1", [waitId]))["suspension"];
const kinds = async (runId: string) => (await sessions.timeline(runId)).map((event) => event.kind);

describe("a parked run", () => {
  test("comes back with its checkpoint and the outcome, as the same attempt, and goes on", async () => {
    const { subject, lease, call } = await leased(await parked());
    const { program, request, waitId } = subject;
    expect(lease.checkpoint).toMatchObject({
      checkpoint_id: request.checkpointId,
      wait_id: waitId,
      call_id: 1,
      memory: { artifact_id: request.artifacts.memory.artifact_id },
      template: { artifact_id: request.artifacts.template.artifact_id },
      resume_state: request.resumeState,
      outcome: { kind: "token", status: "completed", data: "yes" },
    });
    expect(lease.run).toMatchObject({ attempt_number: 1, attempt_id: program.held.attemptId });
    expect(lease.workspace.base?.digest).toBe(request.workspace.status === "captured" ? request.workspace.artifact.digest : "");
    expect(await suspension(waitId)).toBe("resuming");
    expect(await sessions.invariants()).toEqual([]);
    expect(await resumeRun(sessions.context, call, request.checkpointId)).toEqual({});
    expect(await suspension(waitId)).toBe("resumed");
    expect(await runOf(program.runId)).toMatchObject({ state: "executing", checkpoint_id: null, parked_wait_id: null });
    expect(await sessions.one("select state from checkpoints where id = $1", [request.checkpointId])).toEqual({ state: "deleted" });
    expect(await sessions.complete(call)).toEqual({ state: "finished" });
    expect(await kinds(program.runId)).toEqual(["run.created", "run_wait.created", "run_wait.completed", "run.completed"]);
  });

  test("may be parked again and again", async () => {
    const subject = await parked();
    for (let count = 0; count < 3; count += 1) {
      const { call, lease } = await leased(subject);
      expect(await resumeRun(sessions.context, call, lease.checkpoint!.checkpoint_id)).toEqual({});
      const environmentId = sessions.scope.environmentId;
      const created = await createToken(sessions.context, {
        environmentId,
        timeoutMs: 60_000,
        tags: [],
        metadata: {},
        idempotencyKey: undefined,
      });
      assert(!isRefusal(created), "A token is created");
      const answer = await answerProgramCall(sessions.context, call, {
        callId: 10 + count,
        call: { kind: "wait", on: { kind: "token", token_id: created.token.id }, parkable: true },
      });
      assert("state" in answer && answer.state === "waiting", "The wait is open");
      subject.tokenId = created.token.id;
      subject.waitId = answer.waitId;
      subject.request = parkRequest(sessions.scope.orgId, answer.waitId);
      expect(await parkRun(sessions.context, call, subject.request)).toEqual({ state: "parked" });
    }
    expect(
      await sessions.sql("select state, count(*)::int from checkpoints where run_id = $1 group by state order by state", [
        subject.program.runId,
      ]),
    ).toEqual([
      { state: "deleted", count: 3 },
      { state: "ready", count: 1 },
    ]);
  });

  test("whose lease is lost before it goes on is queued again from the same checkpoint; afterwards the retry policy decides", async () => {
    const first = await leased(await parked());
    const { program, request, waitId } = first.subject;
    expect(await loseLease(sessions.context, { id: first.call.leaseId, kind: "run" }, "fenced")).toBe(true);
    await sessions.context.gates.settled();
    expect(await suspension(waitId)).toBe("parked");
    expect(await runOf(program.runId)).toMatchObject({ state: "queued", checkpoint_id: request.checkpointId });
    const [again] = await sessions.lease(sessions.worker1, [program.runId]);
    expect(again?.checkpoint?.checkpoint_id).toBe(request.checkpointId);
    expect(await resumeRun(sessions.context, first.call, request.checkpointId)).toEqual({ stale: true });
    const call = sessions.call(sessions.worker1, again!);
    await resumeRun(sessions.context, call, request.checkpointId);
    expect(await loseLease(sessions.context, { id: call.leaseId, kind: "run" }, "fenced")).toBe(true);
    expect(await runOf(program.runId)).toMatchObject({ state: "finished", outcome: "failed", failure: { kind: "worker_lease_expired" } });
  });

  test("is cancelled where it is: parked, queued to resume, about to go on", async () => {
    const cancel = (runId: string) => cancelRun(sessions.context, { environmentId: sessions.scope.environmentId, runId, body: {} });
    const waiting = await parked();
    const queued = await parked();
    await complete(queued);
    const held = await leased(await parked());
    for (const { program, request } of [waiting, queued, held.subject]) {
      await cancel(program.runId);
      expect(await runOf(program.runId)).toMatchObject({ state: "finished", outcome: "cancelled", checkpoint_id: null });
      expect(await sessions.one("select state from checkpoints where id = $1", [request.checkpointId])).toEqual({ state: "deleted" });
    }
    expect(await resumeRun(sessions.context, held.call, held.subject.request.checkpointId)).toEqual({ stale: true });
  });

  test("comes back with the secrets that are still there: those that were deleted are in its memory", async () => {
    const { db, keys } = sessions.context;
    for (const name of ["kept", "gone"]) await putSecret(db, keys, { scope: sessions.scope, name, value: `old ${name}` });
    const subject = await parked("keyed");
    await putSecret(db, keys, { scope: sessions.scope, name: "kept", value: "new kept" });
    expect(await deleteSecret(db, sessions.scope, "gone")).toBe("deleted");
    const { lease, call } = await leased(subject);
    expect(lease.run.secrets).toEqual([{ name: "kept", env: "KEPT", value: "new kept" }]);
    expect(await resumeRun(sessions.context, call, subject.request.checkpointId)).toEqual({});
  });

  test("each step of going on may fail", { timeout: 120_000 }, async () => {
    await eachStep(sessions, {
      setup: async () => leased(await parked()),
      act: ({ call, subject }) => resumeRun(sessions.context, call, subject.request.checkpointId),
      check: async ({ subject }, result) => {
        expect(result).toEqual({});
        expect(await runOf(subject.program.runId)).toMatchObject({ state: "executing", checkpoint_id: null });
      },
    });
  });
});

describe("a checkpoint that cannot be restored", () => {
  const fail = (held: Awaited<ReturnType<typeof leased>>, reason: "missing" | "corrupt" | "incompatible" | "restore_failed") =>
    failRestore(sessions.context, held.call, { checkpointId: held.subject.request.checkpointId, reason, message: "it was so" });

  test("corrupt: the run fails with that reason, in its timeline too", async () => {
    const held = await leased(await parked());
    const { runId } = held.subject.program;
    expect(await fail(held, "corrupt")).toEqual({ state: "failed" });
    expect(await runOf(runId)).toMatchObject({
      state: "finished",
      outcome: "failed",
      failure: { kind: "worker_failed", detail: { reason: "checkpoint_corrupt", message: "it was so" } },
    });
    const lost = (await sessions.timeline(runId)).find((event) => event.kind === "run.execution_lost");
    expect(lost?.attributes).toMatchObject({ code: "checkpoint_corrupt", checkpoint_id: held.subject.request.checkpointId });
    expect(await sessions.one("select state from checkpoints where id = $1", [held.subject.request.checkpointId])).toEqual({
      state: "invalid",
    });
  });

  test("of a task that restarts: the next attempt begins on the last version, without a checkpoint", async () => {
    const held = await leased(await parked("restarts"));
    const { runId } = held.subject.program;
    expect(await fail(held, "missing")).toEqual({ state: "restarting" });
    await sessions.context.gates.settled();
    expect(await runOf(runId)).toMatchObject({ state: "queued", attempt_number: 2, checkpoint_id: null });
    const [lease] = await sessions.lease(sessions.worker1, [runId]);
    expect(lease?.checkpoint).toBeNull();
    expect(lease?.workspace.base).not.toBeNull();
    expect(await kinds(runId)).toEqual(expect.arrayContaining(["run.execution_lost", "run.retry_scheduled"]));
    await loseLease(sessions.context, { id: lease!.lease_id, kind: "run" }, "fenced");
  });

  test("for now: it is queued again with a pause, a bounded number of times", async () => {
    let held = await leased(await parked());
    const { runId } = held.subject.program;
    for (let count = 1; ; count += 1) {
      const result = await fail(held, "restore_failed");
      if ("state" in result && result.state === "failed") {
        expect(count).toBe(5);
        break;
      }
      expect(result).toEqual({ state: "requeued" });
      expect(await sessions.one("select gate from run_queue where run_id = $1", [runId])).toEqual({ gate: "delayed" });
      await sessions.context.gates.settled();
      await sessions.sql("update run_queue set gate = 'open' where run_id = $1", [runId]);
      const [lease] = await sessions.lease(sessions.worker1, [runId]);
      held = { ...held, lease: lease!, call: sessions.call(sessions.worker1, lease!) };
    }
    expect(await runOf(runId)).toMatchObject({ outcome: "failed", failure: { detail: { reason: "checkpoint_restore_failed" } } });
  });

  test("by no worker, for too long: the task decides; as long as one is there it waits", async () => {
    const possible = await parked();
    const impossible = await parked("hello", { requires: "another driver" });
    const restarting = await parked("restarts", { requires: "another driver" });
    for (const one of [possible, impossible, restarting]) await complete(one);
    expect(await explainRun(sessions.context, impossible.program.runId)).toMatchObject({
      code: "no_worker",
      details: { requires: "another driver" },
    });
    expect(await explainRun(sessions.context, possible.program.runId)).toMatchObject({ code: "resume_pending" });
    const proposed = await sessions.context.dispatch.propose({
      group: "default",
      free: [{ milliCpu: 1e6, memoryMib: 1e6, diskMib: 1e9, slots: 99 }],
      restores: [possible.request.requires],
      limit: 100,
    });
    const ids = proposed.map((candidate) => candidate.runId);
    expect(ids).toContain(possible.program.runId);
    expect(ids).not.toContain(impossible.program.runId);
    const loop = abandonResumes(sessions.context);
    await loop.run();
    for (const one of [possible, impossible]) expect(await runOf(one.program.runId)).toMatchObject({ state: "queued" });
    await sessions.sql("update run_queue set ready_at = ready_at - interval '2 hours' where resume");
    await loop.run();
    expect(await runOf(possible.program.runId)).toMatchObject({ state: "queued", attempt_number: 1 });
    expect(await runOf(impossible.program.runId)).toMatchObject({
      outcome: "failed",
      failure: { detail: { reason: "checkpoint_no_worker" } },
    });
    expect(await runOf(restarting.program.runId)).toMatchObject({ state: "queued", attempt_number: 2, checkpoint_id: null });
    // Those that wait for room, however many, are not looked at again and again before others.
    expect(await loop.run()).toMatchObject({ scanned: 0 });
    await sessions.context.gates.settled();
  });

  test("each step of the failure may fail", { timeout: 120_000 }, async () => {
    await eachStep(sessions, {
      setup: async () => leased(await parked()),
      act: (held) => fail(held, "incompatible"),
      check: async (held, result) => {
        expect(result).toEqual({ state: "requeued" });
        expect(await runOf(held.subject.program.runId)).toMatchObject({
          state: "queued",
          checkpoint_id: held.subject.request.checkpointId,
        });
      },
    });
  });
});

describe("a workspace that was advanced while its run was parked", () => {
  async function advance({ program }: ParkedRun): Promise<string> {
    const { workspace_id: workspaceId } = await runOf(program.runId);
    const versionId = randomUUID();
    await sessions.sql(
      `with v as (insert into workspace_versions (id, environment_id, workspace_id, parent_version_id, kind, state, content_digest, promoted_at)
                  select $2, environment_id, id, current_version_id, 'user', 'ready', 'sha256:other', now() from workspaces where id = $1)
       update workspaces set current_version_id = $2 where id = $1`,
      [workspaceId, versionId],
    );
    return workspaceId as string;
  }

  test("fails the run with that reason", async () => {
    const subject = await parked();
    await advance(subject);
    await complete(subject);
    expect(await sessions.lease(sessions.worker1, [subject.program.runId])).toEqual([]);
    expect(await runOf(subject.program.runId)).toMatchObject({
      outcome: "failed",
      failure: { detail: { reason: "checkpoint_workspace_advanced" } },
    });
  });

  test("lets a task that forks go on with a workspace of its own", async () => {
    const subject = await parked("forks");
    const { program, request } = subject;
    const old = await advance(subject);
    await complete(subject);
    expect(await sessions.lease(sessions.worker1, [program.runId])).toEqual([]);
    await sessions.context.gates.settled();
    const [lease] = await sessions.lease(sessions.worker1, [program.runId]);
    expect(lease?.workspace.workspace_id).not.toBe(old);
    expect(lease?.workspace.base?.digest).toBe(request.workspace.status === "captured" ? request.workspace.artifact.digest : "");
    const call = sessions.call(sessions.worker1, lease!);
    expect(await resumeRun(sessions.context, call, request.checkpointId)).toEqual({});
    expect(await sessions.complete(call)).toEqual({ state: "finished" });
    expect(await sessions.one("select workspace_id from sessions where id = $1", [program.sessionId])).toEqual({
      workspace_id: lease?.workspace.workspace_id,
    });
  });
});
