import type { ExecReport } from "@helmr/protocol/worker";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assert } from "../assert.ts";
import { isRefusal } from "../outcome.ts";
import { closePty, closeStdin, resizePty, signalExec } from "./control-exec.ts";
import { eachStep } from "./engine.fixture.ts";
import { readExecDirectives } from "./exec-directives.ts";
import { type HeldMount, type Mounts, openMounts } from "./mounts.fixture.ts";
import { type ExecAddress, listExecs, readChunks, readEnd, readExec, readNext } from "./read-execs.ts";
import { reportExec } from "./report-exec.ts";
import { newExec, startExec } from "./start-exec.ts";
import { writeInput } from "./write-input.ts";

let mounts: Mounts;
let held: HeldMount;
beforeAll(async () => {
  mounts = await openMounts();
  held = await mounts.mounted();
});
afterAll(() => mounts.engine.close());

const context = () => mounts.engine.context;
const address = (id: string, kind: "exec" | "pty" = "exec"): ExecAddress => ({
  environmentId: mounts.engine.scope.environmentId,
  workspaceId: held.workspaceId,
  id,
  kind,
});
const say = (execId: string, report: ExecReport["report"]) =>
  reportExec(context(), mounts.worker, { lease_id: held.call.leaseId, fence: held.call.fence, exec_id: execId, report });
const output = (offset: number, text: string, stream: "stdout" | "stderr" = "stdout") =>
  ({ kind: "output", stream, offset, data: Buffer.from(text).toString("base64") }) as const;
const ended = (stdout = 0, stderr = 0) => ({ kind: "ended", exit_code: 0, signal: null, reason: "exited", stdout, stderr }) as const;
const orderOf = async (execId: string) =>
  (await readExecDirectives(context(), [{ leaseId: held.call.leaseId }])).find(
    (directive) => directive.type === "process" && directive.exec_id === execId,
  );
const row = async (id: string, kind: "exec" | "pty" = "exec") => {
  const exec = await readExec(context(), address(id, kind));
  if (isRefusal(exec)) throw new TypeError(exec.message);
  return exec;
};

describe("an exec in a mounted workspace", () => {
  test("is ordered at once, started, and ends when all its output has come", async () => {
    const exec = await mounts.exec(held.workspaceId, { command: ["echo", "hi"], env: { A: "b" }, timeout_seconds: 5 });
    expect(exec).toMatchObject({ state: "queued", cwd: "/workspace", lengths: { stdin: 0, stdout: 0, stderr: 0 } });
    expect(await orderOf(exec.id)).toMatchObject({ command: ["echo", "hi"], env: { A: "b" }, timeout_ms: 5_000, started: false });
    expect(await say(exec.id, { kind: "started", process_id: "41" })).toEqual({ state: "ok" });
    expect(await orderOf(exec.id)).toMatchObject({ started: true });
    expect(await say(exec.id, output(0, "hi\n"))).toEqual({ state: "ok", offset: 3 });
    // The answer was lost: said again, with more.
    expect(await say(exec.id, output(0, "hi\nthere\n"))).toEqual({ state: "ok", offset: 9 });
    expect(await say(exec.id, output(20, "x"))).toEqual({ state: "gap", expected: 9 });
    expect(await say(exec.id, ended(12))).toEqual({ state: "gap", expected: 9 });
    expect(await say(exec.id, ended(9))).toEqual({ state: "ok" });
    expect(await say(exec.id, ended(9))).toEqual({ state: "ok" });
    expect(await row(exec.id)).toMatchObject({ state: "exited", exit_code: 0, process_id: "41", lengths: { stdout: 9 } });
    expect(await orderOf(exec.id)).toBeUndefined();
    const page = await readChunks(context(), { execId: exec.id, name: "stdout" }, { cursor: 1, limit: 10 });
    expect(page).toMatchObject({
      length: 9,
      chunks: [
        { offset_start: 1, offset_end: 3 },
        { offset_start: 3, offset_end: 9 },
      ],
    });
    expect(await readEnd(context(), address(exec.id))).toEqual({ state: "exited", error: null });
    // A follower is given what is there first, and the end when it has everything.
    const next = (cursor: number) => readNext(context(), address(exec.id), { name: "stdout", cursor, limit: 1 });
    const first = await next(0);
    assert(!isRefusal(first), "Everything is kept");
    expect(first).toMatchObject({ page: { chunks: [{ offset_start: 0, offset_end: 3 }], length: 9 }, end: undefined });
    expect(await next(first.page.length)).toMatchObject({ page: { chunks: [] }, end: { state: "exited" } });
    expect(await say(exec.id, output(9, "late"))).toEqual({ state: "stale" });
  });

  test("several at once; a key gives the same exec, another request with it is refused", async () => {
    const first = await mounts.exec(held.workspaceId, { idempotency_key: "once" });
    const again = await startExec(
      context(),
      newExec(mounts.engine.scope.environmentId, held.workspaceId, { command: ["true"], detached: false, idempotency_key: "once" }),
    );
    expect(again).toMatchObject({ cached: true, exec: { id: first.id } });
    const other = newExec(mounts.engine.scope.environmentId, held.workspaceId, {
      command: ["false"],
      detached: false,
      idempotency_key: "once",
    });
    expect(await startExec(context(), other)).toMatchObject({ code: "idempotency_fingerprint_mismatch" });
    const second = await mounts.exec(held.workspaceId);
    const numbers = await mounts.engine.sql<{ number: number }>("select number from workspace_execs where id = any($1) order by number", [
      [first.id, second.id],
    ]);
    expect(numbers[1]!.number).toBe(numbers[0]!.number + 1);
    const page = { environmentId: mounts.engine.scope.environmentId, workspaceId: held.workspaceId, kind: "exec" as const };
    expect(await listExecs(context(), { ...page, state: "queued", limit: 10 })).toHaveLength(2);
    for (const exec of [first, second]) await say(exec.id, { kind: "start_failed", message: "no such program" });
    expect(await row(second.id)).toMatchObject({ state: "failed", error: { message: "no such program" } });
  });

  test("killed by a signal it has exited; stopped by us it is terminated", async () => {
    const exec = await mounts.exec(held.workspaceId);
    await say(exec.id, { kind: "started", process_id: "1" });
    expect(await signalExec(context(), address(exec.id), "SIGINT")).toMatchObject({ state: "running" });
    expect(await signalExec(context(), address(exec.id), "SIGTERM")).toMatchObject({ state: "running" });
    expect(await orderOf(exec.id)).toMatchObject({ signal: { seq: 2, name: "SIGTERM" } });
    await say(exec.id, { ...ended(), exit_code: null, signal: "SIGTERM" });
    expect(await row(exec.id)).toMatchObject({ state: "exited", exit_code: 143, signal: "SIGTERM" });
    expect(await signalExec(context(), address(exec.id), "SIGTERM")).toMatchObject({ code: "workspace_exec_terminal" });
    const slow = await mounts.exec(held.workspaceId);
    await say(slow.id, { ...ended(), exit_code: null, signal: "SIGKILL", reason: "timeout" });
    expect(await row(slow.id)).toMatchObject({ state: "terminated", exit_code: 137, error: { reason: "timeout" } });
  });

  test("a stale holder changes nothing", async () => {
    const exec = await mounts.exec(held.workspaceId);
    const wrong = { lease_id: held.call.leaseId, fence: held.call.fence + 1, exec_id: exec.id, report: ended() };
    expect(await reportExec(context(), mounts.worker, wrong)).toEqual({ state: "stale" });
    expect(await row(exec.id)).toMatchObject({ state: "queued" });
    await say(exec.id, ended());
  });
});

describe("input", () => {
  const write = (id: string, offset: number, text: string) => writeInput(context(), address(id), { offset, data: Buffer.from(text) });

  test("continues at its cursor; an exact replay gives the stored chunk; anything else is refused", async () => {
    const exec = await mounts.exec(held.workspaceId);
    const first = await write(exec.id, 0, "abc");
    expect(first).toMatchObject({ name: "stdin", offset_start: 0, offset_end: 3 });
    expect(await write(exec.id, 0, "abc")).toMatchObject({ id: !isRefusal(first) && first.id });
    for (const [offset, text] of [
      [0, "abX"],
      [1, "bc-more"],
      [4, "x"],
    ] as const)
      expect(await write(exec.id, offset, text)).toMatchObject({ code: "workspace_stream_offset_conflict" });
    expect(await write(exec.id, 3, "")).toMatchObject({ status: 400 });
    expect(await write(exec.id, 3, "x".repeat(1024 * 1024 + 1))).toMatchObject({ status: 413 });
    expect(await orderOf(exec.id)).toMatchObject({ input: { length: 3, closed: false } });
    expect(await closeStdin(context(), address(exec.id))).toMatchObject({ stdin_closed_at: expect.any(String) });
    expect(await closeStdin(context(), address(exec.id))).toMatchObject({ stdin_closed_at: expect.any(String) });
    expect(await write(exec.id, 3, "more")).toMatchObject({ code: "workspace_exec_stdin_closed" });
    await say(exec.id, ended());
    expect(await write(exec.id, 0, "abc")).toMatchObject({ offset_end: 3 });
    expect(await write(exec.id, 3, "more")).toMatchObject({ code: "workspace_exec_terminal" });
    expect(await write("01980a00-0000-7000-8000-000000000001", 0, "x")).toMatchObject({ status: 404 });
  });

  test("is pushed to a worker that is connected here, and given again from where it asks", async () => {
    const pushed: unknown[] = [];
    const link = { push: (message: unknown) => void pushed.push(message), open: () => expect.unreachable() };
    const unregister = context().live.register(mounts.worker.workerId, link);
    const exec = await mounts.exec(held.workspaceId);
    await write(exec.id, 0, "one ");
    await write(exec.id, 4, "two");
    expect(pushed).toMatchObject([{ type: "exec.input", offset: 0 }, { offset: 4 }]);
    await say(exec.id, { kind: "delivered", offset: 4 });
    expect(await say(exec.id, { kind: "input", from: null })).toEqual({ state: "ok", offset: 4 });
    expect(await say(exec.id, { kind: "input", from: 0 })).toEqual({ state: "ok", offset: 0 });
    expect(pushed.slice(2)).toMatchObject([{ offset: 4 }, { offset: 0 }, { offset: 4 }]);
    unregister();
    await say(exec.id, ended());
  });
});

describe("a terminal", () => {
  test("opens, is resized and closed, and has the exit code of its shell", async () => {
    const pty = await mounts.pty(held.workspaceId);
    expect(pty).toMatchObject({ state: "creating", cols: 80, command: ["sh", "-l"] });
    const where = address(pty.id, "pty");
    expect(await resizePty(context(), where, { cols: 1, rows: 1 })).toMatchObject({ code: "workspace_pty_not_open" });
    expect(await closePty(context(), where)).toMatchObject({ code: "workspace_pty_not_open" });
    await say(pty.id, { kind: "started", process_id: "7" });
    expect(await resizePty(context(), where, { cols: 120, rows: 40 })).toMatchObject({ state: "open", cols: 120, rows: 40 });
    expect(await orderOf(pty.id)).toMatchObject({ terminal: { cols: 120, rows: 40 }, closing: false });
    expect(await say(pty.id, output(0, "$ "))).toEqual({ state: "ok", offset: 2 });
    expect(await closePty(context(), where)).toMatchObject({ state: "closing" });
    expect(await orderOf(pty.id)).toMatchObject({ closing: true });
    await say(pty.id, { ...ended(2), exit_code: 4 });
    expect(await row(pty.id, "pty")).toMatchObject({ state: "closed", exit_code: 4, lengths: { output: 2 } });
    expect(await closePty(context(), where)).toMatchObject({ code: "workspace_pty_terminal" });
    expect(await readExec(context(), address(pty.id, "exec"))).toMatchObject({ status: 404 });
  });
});

describe("retention", () => {
  test("what is kept begins at a whole chunk, and an older cursor is told where", async () => {
    const exec = await mounts.exec(held.workspaceId);
    const block = "x".repeat(65_536);
    await say(exec.id, output(0, block.repeat(2)));
    // As if 64 MiB had been kept already.
    await mounts.engine.sql("update byte_streams set length = 75000000, earliest = 0 where exec_id = $1 and name = 'stdout'", [exec.id]);
    await say(exec.id, output(75_000_000, "end"));
    const { earliest } = await mounts.engine.one<{ earliest: string }>(
      "select earliest from byte_streams where exec_id = $1 and name = 'stdout'",
      [exec.id],
    );
    expect(Number(earliest)).toBe(131_072);
    expect(await readChunks(context(), { execId: exec.id, name: "stdout" }, { cursor: 5, limit: 1 })).toMatchObject({
      code: "workspace_stream_cursor_expired",
      message: expect.stringContaining("131072"),
    });
    await say(exec.id, ended(75_000_003));
  });
});

/** Every step costs some round trips to a loaded PostgreSQL. */
const manyStepsMs = 90_000;

test("each step of a start may fail and be repeated", { timeout: manyStepsMs }, async () => {
  const key = () => Math.random().toString(36);
  let idempotency = key();
  const started = await eachStep(mounts.engine, {
    setup: async () => {
      idempotency = key();
      return undefined;
    },
    act: () =>
      startExec(
        context(),
        newExec(mounts.engine.scope.environmentId, held.workspaceId, { command: ["true"], detached: false, idempotency_key: idempotency }),
      ),
    check: async (_subject, result) => {
      expect(result).toMatchObject({ exec: { state: "queued" } });
      const { exec } = result as { exec: { id: string } };
      expect(await mounts.engine.sql("select name from byte_streams where exec_id = $1", [exec.id])).toHaveLength(3);
    },
  });
  expect(started).toBeGreaterThan(10);
});

test("each step of output and of an end may fail and be repeated", { timeout: manyStepsMs }, async () => {
  const reported = await eachStep<{ id: string }>(mounts.engine, {
    setup: () => mounts.exec(held.workspaceId),
    act: async ({ id }) => [await say(id, output(0, "text")), await say(id, ended(4))],
    check: async ({ id }, answers) => {
      expect((answers as { state: string }[]).at(-1)).toEqual({ state: "ok" });
      expect(await row(id)).toMatchObject({ state: "exited", lengths: { stdout: 4 } });
      expect(await mounts.engine.sql("select id from byte_chunks where exec_id = $1", [id])).toHaveLength(1);
    },
  });
  expect(reported).toBeGreaterThan(10);
});
