/**
 * What may happen to a run while it is parked: long times, the end of its session, its workspace or itself, new keys, workers and servers that come and go. The
 * database's clock is moved (`controlClock`), and every loop of the server runs; nothing of a run that waits may disappear, and nothing of one that does not stays.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { assert, required } from "../assert.ts";
import type { EngineContext } from "../engine-context.ts";
import { generateKeyRing, withNewRoot } from "../key-ring.ts";
import { engineReconcilers } from "../reconcilers/engine-loops.ts";
import { mountReconcilers } from "../reconcilers/mount-loops.ts";
import { sessionReconcilers } from "../reconcilers/session-loops.ts";
import { storageReconcilers } from "../reconcilers/storage-loops.ts";
import { openKeys } from "../secrets.ts";
import type { RunCall } from "../worker-actor.ts";
import { answerProgramCall } from "./answer-program-call.ts";
import { cancelSession } from "./cancel-session.ts";
import { deleteWorkspace } from "./delete-workspace.ts";
import { taskDeclaration, type TestWorker } from "./engine.fixture.ts";
import { expireSession } from "./expire-session.ts";
import { grantRunLeases } from "./grant-leases.ts";
import { parkRequest } from "./park-run.fixture.ts";
import { type ParkRequest, parkRun } from "./park-run.ts";
import { putSecret } from "./put-secret.ts";
import { resumeRun } from "./resume-run.ts";
import { rotateSecrets } from "./rotate-secrets.ts";
import { startAttempt } from "./start-attempt.ts";
import { type Call, type Clock, controlClock, openSessions, type Sessions } from "./sessions.fixture.ts";

const DAY = 86_400_000;
const onOrders: Call = { kind: "wait", on: { kind: "stream", stream: "orders" }, parkable: true };
const onStream: Call = { kind: "wait", on: { kind: "stream", stream: "answers" }, parkable: true };

let sessions: Sessions;
let clock: Clock;
beforeAll(async () => {
  sessions = await openSessions({
    tasks: [taskDeclaration("hello"), taskDeclaration("keyed", { secrets: [{ name: "kept", env: "KEPT" }] })],
  });
  clock = await controlClock(sessions);
});
afterEach(async () => expect(await sessions.invariants()).toEqual([]));
afterAll(() => sessions.close());

interface Parked {
  sessionId: string;
  runId: string;
  request: ParkRequest;
}

/** Its objects are there, as a worker uploads them. */
async function stored(request: ParkRequest): Promise<ParkRequest> {
  const { artifacts, workspace } = request;
  for (const artifact of [...Object.values(artifacts), ...(workspace.status === "captured" ? [workspace.artifact] : [])]) {
    await sessions.context.blobs.put(artifact.manifest_key, Buffer.from(artifact.artifact_id));
    for (const { object_key: key } of artifact.packs) await sessions.context.blobs.put(key, Buffer.from(key));
  }
  return request;
}

async function parked(wait: Call = onStream, body: Parameters<Sessions["program"]>[0] = {}): Promise<Parked> {
  const worker = await sessions.worker();
  const { session } = await sessions.start(body);
  const { id: runId } = await sessions.one<{ id: string }>("select current_run_id as id from sessions where id = $1", [session.id]);
  const { call } = await sessions.execute(worker, runId);
  return { sessionId: session.id, runId, request: await park(call, wait) };
}

async function park(call: RunCall, wait: Call, callId = 1): Promise<ParkRequest> {
  const answer = await answerProgramCall(sessions.context, call, { callId, call: wait });
  assert("state" in answer && answer.state === "waiting", `The wait is open: ${JSON.stringify(answer)}`);
  const request = await stored(parkRequest(sessions.scope.orgId, answer.waitId));
  expect(await parkRun(sessions.context, call, request)).toEqual({ state: "parked" });
  return request;
}

/** Every loop once, as the dispatcher runs them; what one leaves for another comes in the second round. */
async function loops(): Promise<void> {
  const { context } = sessions;
  for (let round = 0; round < 2; round += 1)
    for (const loop of [
      ...engineReconcilers(context),
      ...sessionReconcilers(context),
      ...mountReconcilers(context),
      ...storageReconcilers(context),
    ])
      await loop.run();
  await context.gates.settled();
}

/** At least a day and a half in which nothing happens but the loops. */
async function pass(days: number): Promise<void> {
  for (const part of [0.5, 1, Math.max(0, days - 1.5)]) {
    await clock.advance(part * DAY);
    await loops();
  }
}

/** Artifacts are given up two days after nothing refers to them, and their packs two days later. */
async function collected(): Promise<void> {
  await pass(4);
  await pass(4);
}

const keysOf = ({ request: { artifacts, workspace } }: Pick<Parked, "request">) =>
  [...Object.values(artifacts), ...(workspace.status === "captured" ? [workspace.artifact] : [])].flatMap(({ manifest_key, packs }) => [
    manifest_key,
    ...packs.map(({ object_key }) => object_key),
  ]);
const memoryKeys = ({ request: { artifacts } }: Pick<Parked, "request">) =>
  Object.values(artifacts).flatMap(({ manifest_key, packs }) => [manifest_key, ...packs.map(({ object_key }) => object_key)]);
async function present(keys: string[]): Promise<number> {
  const found = await Promise.all(keys.map((key) => sessions.context.blobs.head(key)));
  return found.filter((info) => info !== undefined).length;
}
const runOf = (id: string) => sessions.one("select state, outcome, attempt_number, checkpoint_id, failure from runs where id = $1", [id]);
const checkpointOf = async ({ request }: Parked) =>
  (await sessions.sql<{ state: string }>("select state from checkpoints where id = $1", [request.checkpointId]))[0]?.state;

async function leased(
  { runId, request }: Pick<Parked, "runId" | "request">,
  worker: TestWorker,
  context: EngineContext = sessions.context,
) {
  await sessions.context.gates.settled();
  const [lease] = await grantRunLeases(context, worker, [runId], 60_000);
  assert(lease?.kind === "run", "The run is leased");
  expect(lease.checkpoint).toMatchObject({
    checkpoint_id: request.checkpointId,
    memory: { artifact_id: request.artifacts.memory.artifact_id },
  });
  return { lease, call: sessions.call(worker, lease) };
}

/** An answer comes, a worker that was not there before takes the run, and it ends well as the same attempt. */
async function comesBack(subject: Parked, stream = "answers"): Promise<void> {
  await sessions.append(subject.sessionId, { data: "yes" }, stream);
  const { lease, call } = await leased(subject, await sessions.worker());
  expect(lease.checkpoint?.outcome).toMatchObject({ kind: "stream", status: "completed" });
  expect(await resumeRun(sessions.context, call, subject.request.checkpointId)).toEqual({});
  expect(await sessions.complete(call)).toEqual({ state: "finished" });
  expect(await runOf(subject.runId)).toMatchObject({ state: "finished", outcome: "succeeded", attempt_number: 1 });
}

describe("time", () => {
  test("a day, and two years: everything is kept while the run waits, and it comes back on a worker that is new", async () => {
    const subjects = [await parked(), await parked()];
    await pass(2);
    expect(await present(subjects.flatMap(keysOf))).toBe(subjects.flatMap(keysOf).length);
    await comesBack(subjects[0]!);
    await pass(730);
    expect(await runOf(subjects[1]!.runId)).toMatchObject({ state: "waiting", outcome: null });
    expect(await present(keysOf(subjects[1]!))).toBe(keysOf(subjects[1]!).length);
    await comesBack(subjects[1]!);
  });

  test("a timer that ended while every server and worker was away wakes its run once", async () => {
    const subject = await parked({ kind: "wait", on: { kind: "timer", delay_ms: 3_600_000 }, parkable: true });
    // No loop runs meanwhile: nobody is there.
    await clock.advance(DAY);
    await loops();
    expect(await runOf(subject.runId)).toMatchObject({ state: "queued", checkpoint_id: subject.request.checkpointId });
    const { lease, call } = await leased(subject, await sessions.worker());
    expect(lease.checkpoint?.outcome).toMatchObject({ kind: "timer" });
    expect(await resumeRun(sessions.context, call, subject.request.checkpointId)).toEqual({});
    await loops();
    const kinds = (await sessions.timeline(subject.runId)).map((event) => event.kind);
    expect(kinds.filter((kind) => kind === "run_wait.completed")).toHaveLength(1);
    await sessions.complete(call);
  });

  test("its ttl is over: only the time before it was first executed counts", async () => {
    const subject = await parked(onStream, { ttl: "10m" });
    await pass(1);
    await sessions.append(subject.sessionId, { data: "yes" });
    await sessions.context.gates.settled();
    // It wants to resume, but no worker has come for less than a resume may wait.
    await clock.advance(1_800_000);
    await loops();
    expect(await runOf(subject.runId)).toMatchObject({ state: "queued" });
    const { call } = await leased(subject, await sessions.worker());
    await resumeRun(sessions.context, call, subject.request.checkpointId);
    expect(await sessions.complete(call)).toEqual({ state: "finished" });
    expect(await runOf(subject.runId)).toMatchObject({ outcome: "succeeded" });
  });

  test("its session is due: it stays open while the run waits, and expires when the run has ended", async () => {
    const expires = new Date((await clock.now()).getTime() + 3_600_000).toISOString();
    const subject = await parked({ kind: "wait", on: { kind: "timer", delay_ms: 2 * DAY }, parkable: true }, { expires_at: expires });
    await pass(1);
    const key = { id: subject.sessionId };
    const { environmentId } = sessions.scope;
    expect(await expireSession(sessions.context, environmentId, key)).toMatchObject({ state: "open" });
    expect(await sessions.tryAppend(subject.sessionId)).toMatchObject({ refused: true, code: "session_expired" });
    // The timer ends; that no worker comes for an hour would end the run.
    await clock.advance(0.51 * DAY);
    await loops();
    expect(await runOf(subject.runId)).toMatchObject({ state: "queued" });
    const { call } = await leased(subject, await sessions.worker());
    await resumeRun(sessions.context, call, subject.request.checkpointId);
    expect(await sessions.complete(call)).toEqual({ state: "finished" });
    await loops();
    expect(await expireSession(sessions.context, environmentId, key)).toMatchObject({ state: "expired" });
  });
});

describe("what is not needed any more", () => {
  test("a checkpoint that another one replaced is collected; what both share, and the newer one, stay", async () => {
    const first = await parked();
    await sessions.append(first.sessionId, { data: 1 });
    const { call } = await leased(first, await sessions.worker());
    await resumeRun(sessions.context, call, first.request.checkpointId);
    const answer = await answerProgramCall(sessions.context, call, { callId: 2, call: onOrders });
    assert("state" in answer && answer.state === "waiting", "The wait is open");
    const request = await stored(parkRequest(sessions.scope.orgId, answer.waitId, { workspace: { status: "unchanged" } }));
    request.artifacts.template = first.request.artifacts.template;
    expect(await parkRun(sessions.context, call, request)).toEqual({ state: "parked" });
    const second = { ...first, request };
    await collected();
    const shared = [request.artifacts.template.manifest_key, ...request.artifacts.template.packs.map(({ object_key }) => object_key)];
    expect(await present(memoryKeys(first).filter((key) => !shared.includes(key)))).toBe(0);
    expect(await present(memoryKeys(second))).toBe(memoryKeys(second).length);
    await pass(30);
    // Its row is forgotten; what it said is in the timeline.
    expect(await checkpointOf(first)).toBeUndefined();
    expect(await present(memoryKeys(second))).toBe(memoryKeys(second).length);
    await comesBack(second, "orders");
    await collected();
    expect(await present(memoryKeys(second))).toBe(0);
  });

  test("a session that is cancelled takes its run with it: parked, queued to resume, about to go on", async () => {
    const subjects = [await parked(), await parked(), await parked()];
    for (const subject of subjects.slice(1)) await sessions.append(subject.sessionId, { data: "yes" });
    const { call } = await leased(subjects[2]!, await sessions.worker());
    const { environmentId } = sessions.scope;
    for (const subject of subjects) {
      const cancelled = await cancelSession(sessions.context, { environmentId, key: { id: subject.sessionId }, reason: "enough" });
      expect(cancelled).toMatchObject({ state: "cancelled" });
      expect(await runOf(subject.runId)).toMatchObject({ state: "finished", outcome: "cancelled", checkpoint_id: null });
      expect(await checkpointOf(subject)).toBe("deleted");
    }
    expect(await resumeRun(sessions.context, call, subjects[2]!.request.checkpointId)).toEqual({ stale: true });
    await collected();
    expect(await present(subjects.flatMap(memoryKeys))).toBe(0);
  });

  test("a workspace is deleted: refused while the run waits; with force the run is cancelled and its bytes go", async () => {
    for (const state of ["waiting", "queued"]) {
      const subject = await parked();
      if (state === "queued") await sessions.append(subject.sessionId, { data: "yes" });
      await sessions.context.gates.settled();
      expect(await runOf(subject.runId)).toMatchObject({ state });
      const { id } = await sessions.one<{ id: string }>("select workspace_id as id from runs where id = $1", [subject.runId]);
      const { environmentId } = sessions.scope;
      const request = { environmentId, id, force: false };
      expect(await deleteWorkspace(sessions.context, request)).toMatchObject({ refused: true, code: "workspace_mount_active" });
      expect(await deleteWorkspace(sessions.context, { ...request, force: true })).toMatchObject({
        pending: false,
        workspace: { state: "archived" },
      });
      expect(await runOf(subject.runId)).toMatchObject({ state: "finished", outcome: "cancelled" });
      expect(await checkpointOf(subject)).toBe("deleted");
      await collected();
      expect(await present(memoryKeys(subject))).toBe(0);
      await pass(8);
      await collected();
      expect(await present(keysOf(subject))).toBe(0);
    }
  });
});

describe("keys that are rotated meanwhile", () => {
  test("the lease of a resume has the old content key beside the new one, and secrets of today", async () => {
    const { context, scope } = sessions;
    const oldRing = generateKeyRing();
    const withKeys = (ring: typeof oldRing): EngineContext => ({ ...context, keys: openKeys(ring) });
    const worker = await sessions.worker();
    await putSecret(context.db, context.keys, { scope, name: "kept", value: "of before" });
    const { session, run } = await sessions.start({ task_id: "keyed" });
    await putSecret(context.db, openKeys(oldRing), { scope, name: "kept", value: "of then" });
    const [first] = await grantRunLeases(withKeys(oldRing), worker, [run.id], 60_000);
    assert(first?.kind === "run", "The run is leased");
    const held = sessions.call(worker, first);
    expect(await startAttempt(context, held)).toMatchObject({ state: "started" });
    const subject: Parked = { sessionId: session.id, runId: run.id, request: await park(held, onStream) };

    const ring = withNewRoot(withNewRoot(oldRing, "content"), "secrets");
    await putSecret(context.db, openKeys(ring), { scope, name: "kept", value: "of today" });
    expect(await rotateSecrets(context.db, openKeys(ring))).toMatchObject({ unreadable: [] });
    await sessions.append(subject.sessionId, { data: "yes" });
    const { lease, call } = await leased(subject, await sessions.worker(), withKeys({ ...ring, secrets: [ring.secrets[0]] }));
    const ids = [ring.content[0].id, oldRing.content[0].id];
    expect(lease.storage).toMatchObject({ current: ids[0] });
    expect(Object.keys(lease.storage.content_keys).sort()).toEqual(ids.sort());
    expect(JSON.stringify(lease.run)).toContain("of today");
    await resumeRun(context, call, subject.request.checkpointId);
    expect(await sessions.complete(call)).toEqual({ state: "finished" });
    expect(required(await runOf(run.id), "The run is there")).toMatchObject({ outcome: "succeeded" });
  });
});
