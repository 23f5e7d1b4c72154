import { afterAll, beforeAll, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { sessionLimits } from "../session-limits.ts";
import { appendOutput } from "./append-stream-record.ts";
import { listRecords, listStreams, readRecord } from "./read-streams.ts";
import { openSessions, type Sessions } from "./sessions.fixture.ts";

let sessions: Sessions;
beforeAll(async () => {
  sessions = await openSessions();
});
afterAll(() => sessions.close());

const environmentId = () => sessions.scope.environmentId;
const query = (id: string, over: object = {}) => ({
  environmentId: environmentId(),
  key: { id },
  direction: "output" as const,
  stream: "answers",
  after: 0,
  limit: 100,
  correlationId: undefined,
  ...over,
});
const output = (id: string, data: unknown) =>
  appendOutput(sessions.context, {
    environmentId: environmentId(),
    key: { id },
    stream: "answers",
    body: { data: data as never, content_type: "application/json" },
  });

test("a stream has its id before it has a record, and keeps it", async () => {
  const { session } = await sessions.start();
  const before = await listStreams(sessions.context, environmentId(), { id: session.id });
  const appended = await output(session.id, 1);
  const after = await listStreams(sessions.context, environmentId(), { id: session.id });
  if (isRefusal(before) || isRefusal(appended) || isRefusal(after)) throw new TypeError("refused");
  expect(after.map((stream) => [stream.id, stream.created_at])).toEqual(before.map((stream) => [stream.id, stream.created_at]));
  expect(after.find((stream) => stream.direction === "output")).toMatchObject({ id: appended.record.stream_id, sequence: 1 });
});

test("a page ends where its data would become too much, but never before its first record", async () => {
  const { session } = await sessions.start();
  for (let index = 0; index < 5; index += 1) await output(session.id, index);
  // As large as bodies may be: what they are said to have is what counts.
  await sessions.sql(
    "update stream_records r set data_bytes = $2 from session_streams t where t.id = r.stream_id and t.session_id = $1 and r.sequence in (1, 2, 4)",
    [session.id, sessionLimits.recordPageBytesMax - 10],
  );
  const page = async (after: number) => {
    const rows = await listRecords(sessions.context, query(session.id, { after, limit: 100 }));
    return isRefusal(rows) ? rows : rows.map((row) => row.sequence);
  };
  expect(await page(0)).toEqual([1]);
  expect(await page(1)).toEqual([2, 3]);
  expect(await page(3)).toEqual([4, 5]);
  await sessions.sql("update stream_records set data_bytes = $1 where sequence = 4", [sessionLimits.recordPageBytesMax * 2]);
  expect(await page(3)).toEqual([4]);
  expect(await readRecord(sessions.context.db, query(session.id, { after: 3 }))).toMatchObject({ sequence: 4 });
});

test("reading through the API takes nothing away", async () => {
  const { session } = await sessions.start();
  const { record } = await sessions.append(session.id);
  await listRecords(sessions.context, query(session.id, { direction: "input", limit: 10 }));
  expect(await sessions.sql("select state from continuations where record_id = $1", [record.id])).toEqual([{ state: "pending" }]);
});

test("a session of another environment is not there", async () => {
  const { session } = await sessions.start();
  const { id } = await sessions.one<{ id: string }>("select id from environments where id <> $1 limit 1", [environmentId()]);
  expect(await listStreams(sessions.context, id, { id: session.id })).toMatchObject({ status: 404 });
  expect(await readRecord(sessions.context.db, query(session.id, { environmentId: id }))).toMatchObject({ status: 404 });
});
