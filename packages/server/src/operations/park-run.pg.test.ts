import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assert } from "../assert.ts";
import type { EngineContext } from "../engine-context.ts";
import { isRefusal } from "../outcome.ts";
import { eachStep, taskDeclaration } from "./engine.fixture.ts";
import { cancelRun } from "./cancel-run.ts";
import { completeToken } from "./complete-token.ts";
import { createToken } from "./create-token.ts";
import { parkRequest } from "./park-run.fixture.ts";
import { type Parked, type ParkRequest, parkRun } from "./park-run.ts";
import { openSessions, type Program, type Sessions } from "./sessions.fixture.ts";

let sessions: Sessions;
beforeAll(async () => {
  sessions = await openSessions({ tasks: [taskDeclaration("hello")] });
});
afterAll(async () => {
  expect(await sessions.invariants()).toEqual([]);
  await sessions.close();
});

const environmentId = () => sessions.scope.environmentId;

async function newToken(): Promise<string> {
  const created = await createToken(sessions.context, {
    environmentId: environmentId(),
    timeoutMs: 60_000,
    tags: [],
    metadata: {},
    idempotencyKey: undefined,
  });
  assert(!isRefusal(created), "A token is created");
  return created.token.id;
}

interface Waiting {
  program: Program;
  tokenId: string;
  waitId: string;
  request: ParkRequest;
}

async function waiting(over: Partial<ParkRequest> = {}): Promise<Waiting> {
  const program = await sessions.program();
  const tokenId = await newToken();
  const answer = await program.call({ kind: "wait", on: { kind: "token", token_id: tokenId }, parkable: true });
  assert(answer.state === "waiting", "The wait is open");
  return { program, tokenId, waitId: answer.waitId, request: parkRequest(sessions.scope.orgId, answer.waitId, over) };
}

const park = ({ program, request }: Waiting, context: EngineContext = sessions.context) => parkRun(context, program.held, request);
const complete = (tokenId: string) =>
  completeToken(sessions.context, { environmentId: environmentId(), tokenId, data: "yes", byPublicToken: false });
const runOf = (id: string) =>
  sessions.one("select state, lease_id, parked_wait_id, checkpoint_id, active_ms::int as active_ms, workspace_id from runs where id = $1", [
    id,
  ]);

describe("parkRun()", () => {
  test("is one cut: version, checkpoint, wait, lease and mount", async () => {
    const subject = await waiting();
    const { program, request, waitId } = subject;
    expect(await park(subject)).toEqual({ state: "parked" } satisfies Parked);
    const run = await runOf(program.runId);
    expect(run).toMatchObject({
      state: "waiting",
      lease_id: null,
      parked_wait_id: waitId,
      checkpoint_id: request.checkpointId,
      active_ms: 7,
    });
    expect(
      await sessions.one("select state, suspension, condition from run_waits w join runs r on r.id = w.run_id where w.id = $1", [waitId]),
    ).toEqual({
      state: "waiting",
      suspension: "parked",
      condition: "open",
    });
    expect(await sessions.one("select state, key_id, pause_ms, requires from checkpoints where id = $1", [request.checkpointId])).toEqual({
      state: "ready",
      key_id: "k1",
      pause_ms: 12,
      requires: request.requires,
    });
    expect(await sessions.sql("select state from leases where run_id = $1", [program.runId])).toEqual([{ state: "released" }]);
    expect(await sessions.sql("select state from workspace_mounts where workspace_id = $1", [run["workspace_id"]])).toEqual([
      { state: "unmounted" },
    ]);
    const version = request.workspace.status === "captured" ? request.workspace.version_id : "";
    expect(await sessions.one("select current_version_id, dirty_state from workspaces where id = $1", [run["workspace_id"]])).toEqual({
      current_version_id: version,
      dirty_state: "clean",
    });
    expect((await sessions.timeline(program.runId)).map((event) => event.kind)).toEqual(["run.created", "run_wait.created"]);
  });

  test("a repeat gets the same answer; another checkpoint of a lease that ended is stale", async () => {
    const subject = await waiting();
    await park(subject);
    expect(await park(subject)).toEqual({ state: "parked" });
    expect(await park({ ...subject, request: { ...subject.request, checkpointId: randomUUID() } })).toEqual({ stale: true });
  });

  test("what came true meanwhile goes to the holder, and nothing is parked", async () => {
    const subject = await waiting();
    await complete(subject.tokenId);
    const outcome = { kind: "token", status: "completed", data: "yes" };
    expect(await park(subject)).toEqual({ state: "resolved", outcome });
    expect(await runOf(subject.program.runId)).toMatchObject({ state: "executing", checkpoint_id: null });
    expect(await sessions.sql("select 1 from checkpoints where run_id = $1", [subject.program.runId])).toEqual([]);
  });

  test("a token that was decided without a look at its waits is found by the park itself", async () => {
    const subject = await waiting();
    await sessions.sql("update tokens set state = 'completed', data = '\"late\"', completed_at = now(), due_at = null where id = $1", [
      subject.tokenId,
    ]);
    expect(await park(subject)).toEqual({ state: "resolved", outcome: { kind: "token", status: "completed", data: "late" } });
    expect((await sessions.timeline(subject.program.runId)).map((event) => event.kind)).toContain("run_wait.completed");
  });

  test("is refused while the run is cancelled, waits for something live, or its workspace was advanced", async () => {
    const cancelled = await waiting();
    await cancelRun(sessions.context, { environmentId: environmentId(), runId: cancelled.program.runId, body: {} });
    expect(await park(cancelled)).toMatchObject({ state: "refused" });
    const busy = await waiting();
    await busy.program.call({ kind: "wait", on: { kind: "stream", stream: "answers" }, parkable: false });
    expect(await park(busy)).toEqual({ state: "refused", reason: "the run waits for something that it reads live" });
    const advanced = await waiting();
    const { workspace_id: workspaceId } = await runOf(advanced.program.runId);
    await sessions.sql(
      `with v as (insert into workspace_versions (id, environment_id, workspace_id, parent_version_id, kind, state, content_digest, promoted_at)
                  select $2, environment_id, id, current_version_id, 'user', 'ready', 'sha256:other', now() from workspaces where id = $1)
       update workspaces set current_version_id = $2 where id = $1`,
      [workspaceId, randomUUID()],
    );
    expect(await park(advanced)).toMatchObject({ state: "refused", reason: expect.stringMatching(/advanced/) });
  });

  test("asks for the report first, and for artifacts of the organization", async () => {
    expect(await park(await waiting({ reportThrough: 3 }))).toEqual({ gap: true, expected: 1 });
    const foreign = await waiting();
    foreign.request.artifacts.memory.manifest_key = `orgs/${randomUUID()}/manifests/${foreign.request.artifacts.memory.artifact_id}`;
    expect(await park(foreign)).toMatchObject({ status: 400 });
    expect(await runOf(foreign.program.runId)).toMatchObject({ state: "executing" });
  });

  test("each step may fail: the old cut or the new one, and the repeat parks it", { timeout: 120_000 }, async () => {
    const steps = await eachStep(sessions, {
      setup: () => waiting(),
      act: (subject) => park(subject),
      check: async (subject, result) => {
        expect(result).toEqual({ state: "parked" });
        expect(await runOf(subject.program.runId)).toMatchObject({
          state: "waiting",
          checkpoint_id: subject.request.checkpointId,
          active_ms: 7,
        });
        expect(await sessions.sql("select state from checkpoints where run_id = $1", [subject.program.runId])).toEqual([
          { state: "ready" },
        ]);
      },
    });
    expect(steps).toBeGreaterThan(20);
  });
});
