import { afterAll, beforeAll, expect, test } from "vitest";
import { continueSessions } from "../reconcilers/continue-sessions.ts";
import { continueSession } from "./continue-session.ts";
import { eachStep } from "./engine.fixture.ts";
import { openSessions, type Sessions } from "./sessions.fixture.ts";

let sessions: Sessions;
beforeAll(async () => {
  sessions = await openSessions();
});
afterAll(async () => {
  expect(await sessions.invariants()).toEqual([]);
  await sessions.close();
});

/** What only a bug could leave behind: the run is over, and its session's request is still there. */
async function stranded(): Promise<string> {
  const program = await sessions.program();
  await sessions.complete(program.held);
  const { record } = await sessions.append(program.sessionId);
  const next = await sessions.programOf(program.sessionId);
  await sessions.complete(next.held);
  await sessions.sql("update continuations set state = 'pending', run_id = null where record_id = $1", [record.id]);
  await sessions.sql("update run_events set attributes = attributes - 'cause' where run_id = $1 and kind = 'run.created'", [next.runId]);
  return program.sessionId;
}

const turns = (sessionId: string) => sessions.sql("select 1 from runs where session_id = $1", [sessionId]).then((rows) => rows.length);

test("the loop starts what nobody started, once", async () => {
  const live = await sessions.program();
  await sessions.append(live.sessionId);
  const ids = [await stranded(), await stranded()];
  const loop = continueSessions(sessions.context);
  expect(await loop.run()).toMatchObject({ changed: 2, skipped: 0 });
  expect(await loop.run()).toMatchObject({ changed: 0 });
  for (const id of ids) expect(await turns(id)).toBe(3);
  expect(await turns(live.sessionId)).toBe(1);
});

test("a session past its expiry gets none, and its request is done with", async () => {
  const id = await stranded();
  await sessions.sql("update sessions set expires_at = now() - interval '1 second' where id = $1", [id]);
  expect(await continueSession(sessions.context, sessions.scope.environmentId, id)).toBe(true);
  expect(await continueSession(sessions.context, sessions.scope.environmentId, id)).toBe(false);
  expect(await turns(id)).toBe(2);
  expect(await sessions.sql("select state from continuations where session_id = $1", [id])).toEqual([{ state: "skipped" }]);
});

test("every step of the end of a run that goes on may fail and be repeated: one more run", async () => {
  const failures = await eachStep(sessions, {
    setup: async () => {
      const program = await sessions.program();
      await sessions.append(program.sessionId);
      return program;
    },
    act: (program) => sessions.complete(program.held),
    check: async (program, result) => {
      expect(result).toEqual({ state: "finished" });
      expect(await turns(program.sessionId)).toBe(2);
    },
  });
  expect(failures).toBeGreaterThan(15);
}, 60_000);
