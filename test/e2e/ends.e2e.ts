/** Every way in which a task can end, each with its own reason (http §7.4), and none of them the end of anything else. */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repository } from "./local-install.ts";
import { type EndedRun, type SharedInstall, sharedInstall, type StartedRun } from "./shared-install.ts";
import { taskProject } from "./task-project.ts";

const source = join(repository, "test", "e2e", "projects", "ends.task.ts");
const MiB = 1024 * 1024;

let install: SharedInstall;
let project: string | undefined;
let text: string;
beforeAll(async () => {
  install = await sharedInstall();
  text = await readFile(source, "utf8");
  project = await taskProject({ "tasks/ends.ts": text });
  await install.deploy(project);
});
afterAll(async () => {
  await install?.expectSound();
  install?.close();
  if (project !== undefined) await rm(project, { recursive: true, force: true });
});

/** The run failed once and for all, and its one event of an end says why. */
function expectFailed(ended: EndedRun, exitCode: number | null, attributes: object): void {
  expect(ended.run).toMatchObject({ status: "failed", exit_code: exitCode, attempt_number: 1 });
  expect(ended.run.output).toBeUndefined();
  expect(ended.end).toMatchObject({ kind: "run.failed", attributes });
  expect(ended.events.map(({ id }) => id)).toEqual(ended.events.map((_, index) => String(index + 1)));
}

async function machineOf({ runId }: StartedRun): Promise<number> {
  const [event] = (await install.events(runId)).filter(({ run_lease_id: lease }) => lease !== undefined);
  const found = await install.local.machines(event.run_lease_id);
  expect(found).toHaveLength(1);
  return found[0]!;
}

describe.concurrent("by itself", () => {
  test("throws: message and stack name the TypeScript source", async () => {
    const line = text.split("\n").findIndex((one) => one.includes("throw new RangeError")) + 1;
    const ended = await install.play("throws", { payload: { what: "a deliberate mistake" } });
    expectFailed(ended, 1, { failure_kind: "task_failed", detail: { exit_code: 1, reason: "threw" } });
    expect(ended.end.attributes.detail.message).toContain("RangeError: a deliberate mistake");
    expect(ended.stderr).toContain("RangeError: a deliberate mistake");
    expect(ended.stderr).toMatch(new RegExp(String.raw`at complain \(.*tasks/ends\.ts:${line}:\d+\)`));
    expect(ended.stderr).not.toContain(".helmr/compiled");
    // The session goes on (http §4.4), and what the task wrote before is kept (sdk §8.4).
    expect(await install.get(`/api/sessions/${ended.sessionId}`)).toMatchObject({ status: "open", activity: "idle", can_close: true });
    const after = await install.play("look", { workspace_id: ended.workspaceId });
    expect(after.run.output).toEqual({ files: ["before.txt"] });
  });

  test("never returns: its maximum duration ends it", async () => {
    const ended = await install.play("spins", { max_duration_seconds: 5 });
    expectFailed(ended, null, { failure_kind: "max_duration", detail: { reason: "timeout", limit_seconds: 5 } });
    expect(ended.stdout).toBe("spinning\n");
  });

  test("waits for nothing: it is told that nothing is left to wait for", async () => {
    expectFailed(await install.play("stalls"), 1, { failure_kind: "task_failed", detail: { reason: "stalled", exit_code: 1 } });
  });

  test("calls process.exit(3): the code is kept", async () => {
    expectFailed(await install.play("exits", { payload: { code: 3 } }), 3, {
      failure_kind: "task_failed",
      detail: { reason: "threw", exit_code: 3, message: "The task exited with code 3" },
    });
  });

  test("calls process.exit(0) before it has returned: that is no success", async () => {
    const ended = await install.play("exits", { payload: { code: 0 } });
    expect(ended.run.status).toBe("failed");
    expect(ended.end.attributes).toMatchObject({ failure_kind: "task_failed", detail: { reason: "exited", exit_code: 0 } });
  });

  test("is ended by a signal of its own", async () => {
    const ended = await install.play("signals-itself");
    expect(ended.run.status).toBe("failed");
    expect(ended.end.attributes).toMatchObject({ failure_kind: "task_failed", detail: { reason: "signalled", signal: "SIGKILL" } });
  });

  test("fills its disk: the reason says so, and the files that fit are there for the next session", async () => {
    const ended = await install.play("fills");
    expect(ended.run.status).toBe("failed");
    expect(ended.end.attributes).toMatchObject({ failure_kind: "task_failed", detail: { reason: "disk_full" } });
    const { run } = await install.play("look-small", { workspace_id: ended.workspaceId });
    expect(run.output.files).toContain("big-0");
  });

  test("leaves children behind that go on: the run is over all the same", async () => {
    const ended = await install.play("forks");
    expect(ended.run).toMatchObject({ status: "succeeded", output: { children: 3 } });
    expect(ended.stdout).toContain("child at work\n");
  });

  test("brings its kernel down: the guest died, and what was said before is kept", async () => {
    const ended = await install.play("attacks", { payload: { how: "crash" } });
    const message = "The guest ended while the task was running: its kernel panicked: sysrq triggered crash";
    expectFailed(ended, null, { failure_kind: "worker_failed", detail: { reason: "guest_died", message } });
    expect(ended.stdout).toBe("about to crash\n");
  });

  test("switches its machine off: the guest died", async () => {
    const ended = await install.play("attacks", { payload: { how: "power off" } });
    const message = "The guest ended while the task was running: it shut down";
    expectFailed(ended, null, { failure_kind: "worker_failed", detail: { reason: "guest_died", message } });
  });

  test("shoots at the first process of its machine: nothing happens", async () => {
    const ended = await install.play("attacks", { payload: { how: "kill init" } });
    expect(ended.run).toMatchObject({ status: "succeeded", output: "still here" });
  });

  test("writes 100 MB of log: all of it is taken, the last MiB is shown, and the run ends", async () => {
    const ended = await install.play("talks", { payload: { lines: 100_000, width: 1_000 } });
    expect(ended.run).toMatchObject({ status: "succeeded", output: { bytes: 100_000 * 1_000 } });
    const shown = await install.get(`/api/runs/${ended.runId}/logs`);
    expect(shown).toMatchObject({ stdout_bytes: 100_000 * 1_000, stderr_bytes: 0, truncated: true });
    expect(ended.stdout).toHaveLength(MiB);
    expect(ended.stdout.endsWith("x 99999\n")).toBe(true);
  });
});

describe.concurrent("from outside", () => {
  test("cancelled: ctx.signal lets it tidy up", async () => {
    const started = await install.start("tidies");
    await install.untilSaid(started.runId, "working\n");
    const answer = await install.post(`/api/runs/${started.runId}/cancel`, { reason: "enough" });
    expect(answer).toMatchObject({ run: { status: "cancelled" }, operation: { kind: "cancel", status: "applied", reason: "enough" } });
    const ended = await install.ended(started);
    expect(ended.events.filter(({ category }) => category !== "log").map(({ kind }) => kind)).toEqual([
      "run.created",
      "run.cancel_requested",
      "run.cancelled",
    ]);
    expect(ended.end.attributes).toMatchObject({ reason: "enough", origin: "cancel_operation" });
    expect(ended.stdout).toBe("working\ntold to stop: true\n");
    expect((await install.play("look", { workspace_id: started.workspaceId })).run.output).toEqual({ files: ["tidied.txt"] });
    // A second cancel finds nothing to do.
    expect(await install.post(`/api/runs/${started.runId}/cancel`, {})).toMatchObject({ operation: { status: "rejected" } });
  });

  test("cancelled, and it does not listen: it is stopped after its grace", async () => {
    const started = await install.start("spins");
    await install.untilSaid(started.runId, "spinning\n");
    await install.post(`/api/runs/${started.runId}/cancel`, { reason: "enough" });
    const ended = await install.ended(started);
    expect(ended.run).toMatchObject({ status: "cancelled", exit_code: null });
    expect(ended.end.kind).toBe("run.cancelled");
  });

  test("cancelled with force: at once, and its machine is gone", async () => {
    const started = await install.start("spins");
    await install.untilSaid(started.runId, "spinning\n");
    const machine = await machineOf(started);
    await install.post(`/api/runs/${started.runId}/cancel`, { reason: "now", force: true });
    expect(await install.run(started.runId)).toMatchObject({ status: "cancelled" });
    expect((await install.events(started.runId)).at(-1)).toMatchObject({
      kind: "run.cancelled",
      attributes: { reason: "now", force: true },
    });
    await until(
      "the machine is gone",
      () =>
        readFile(`/proc/${machine}/stat`).then(
          () => false,
          () => true,
        ),
      30_000,
    );
  });

  test("its monitor is killed: the run says so", async () => {
    const started = await install.start("spins");
    await install.untilSaid(started.runId, "spinning\n");
    process.kill(await machineOf(started), "SIGKILL");
    expectFailed(await install.ended(started), null, { failure_kind: "worker_failed", detail: { reason: "monitor_died" } });
  });

  test("its machine freezes: the time limit ends it from outside", async () => {
    const started = await install.start("spins", { max_duration_seconds: 15 });
    await install.untilSaid(started.runId, "spinning\n");
    process.kill(await machineOf(started), "SIGSTOP");
    const ended = await install.ended(started);
    expectFailed(ended, null, { failure_kind: "max_duration", detail: { limit_seconds: 15 } });
  });
});

test("after all of that the worker is as it was", async () => {
  const { run } = await install.play("look");
  expect(run).toMatchObject({ status: "succeeded", output: { files: [] } });
  await until("nothing is kept of what has ended", async () => (await install.local.leases()).length === 0, 30_000);
});
