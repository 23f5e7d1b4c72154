import { afterAll, beforeAll, expect, test } from "vitest";
import { assert } from "../assert.ts";
import { sessionLimits } from "../session-limits.ts";
import { openSessions, type Program, type Sessions } from "./sessions.fixture.ts";
import { readWaitDirectives } from "./wait-directives.ts";

let sessions: Sessions;
beforeAll(async () => {
  sessions = await openSessions();
});
afterAll(() => sessions.close());

const directives = (program: Program, openCalls: number[] = []) =>
  readWaitDirectives(sessions.context, [{ leaseId: program.held.leaseId, openCalls }]);
const wait = async (program: Program, after: number) => {
  const answer = await program.call({ kind: "wait", on: { kind: "stream", stream: "answers", after_sequence: after }, parkable: true });
  assert(answer.state === "waiting", "The wait is open");
};

test("an outcome too large for a push comes with the next renewal", async () => {
  const program = await sessions.program();
  await wait(program, 0);
  await sessions.append(program.sessionId, { data: "x".repeat(sessionLimits.eventPayloadBytesMax) });
  expect(await directives(program)).toEqual([]);
  expect(await directives(program, [1])).toMatchObject([
    { type: "wait.resolved", call_id: 1, outcome: { status: "completed", record: { sequence: 1 } } },
  ]);
  // In the timeline it is named, not repeated.
  expect((await sessions.timeline(program.runId)).at(-1)).toMatchObject({
    kind: "run_wait.completed",
    attributes: { payload: { omitted: true, bytes: sessionLimits.eventPayloadBytesMax + 2 } },
  });
});

test("a program with many waits behind it is told of the latest only", async () => {
  const program = await sessions.program();
  for (let index = 0; index < sessionLimits.pushedOutcomesMax + 4; index += 1) {
    await wait(program, index);
    await sessions.append(program.sessionId, { data: index });
  }
  const told = await directives(program);
  expect(told).toHaveLength(sessionLimits.pushedOutcomesMax);
  expect(told.map((directive) => (directive.type === "wait.resolved" ? directive.call_id : 0)).sort((left, right) => left - right)[0]).toBe(
    5,
  );
});

test("what was answered at once is not told again, and another lease hears nothing", async () => {
  const [program, other] = [await sessions.program(), await sessions.program()];
  await sessions.append(program.sessionId);
  await program.call({ kind: "wait", on: { kind: "stream", stream: "answers" }, parkable: true });
  expect(await directives(program)).toEqual([]);
  expect(await directives(other, [1])).toEqual([]);
  expect(await directives(program, [1])).toHaveLength(1);
  await sessions.complete(program.held);
  expect(await directives(program, [1])).toEqual([]);
});
