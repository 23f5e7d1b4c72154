/** The flows of http §17 as a client sees them, driven over HTTP against a whole server with a worker that speaks the real wire. */
import { type ControlPlane, controlPlane, deployProject, type FakeWorker, fakeWorker } from "@helmr/test/platform";
import { type TestDatabase, testDatabase, until } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

describe("a plain run", () => {
  let database: TestDatabase;
  let plane: ControlPlane;
  let worker: FakeWorker;
  beforeAll(async () => {
    database = await testDatabase();
    plane = await controlPlane({ databaseUrl: database.url, migrated: true });
    await deployProject(plane);
    worker = await fakeWorker({ url: plane.url, enrollmentSecret: plane.enrollmentSecret });
  });
  afterAll(async () => {
    await worker.stop();
    await plane.close();
    await database.drop();
    expect(plane.faults).toEqual([]);
  });

  test("goes from queued to succeeded and leaves its session open", async () => {
    const started = await plane.api.call("POST", "/api/sessions", { body: { task_id: "hello", payload: { name: "Ada" } } });
    expect(started.status, started.text).toBe(201);
    const { session, run } = started.json;
    expect(run).toMatchObject({ status: "queued", task_id: "hello", exit_code: null });
    const done = await until("the run ends", async () => {
      const answer = await plane.api.call("GET", `/api/runs/${run.id}`);
      return answer.json.status === "succeeded" && answer.json;
    });
    expect(done).toMatchObject({ exit_code: 0, output: { name: "Ada" }, attempt_number: 1 });
    const after = await plane.api.call("GET", `/api/sessions/${session.id}`);
    expect(after.json).toMatchObject({ status: "open", activity: "idle", can_close: true, current_run_id: run.id });
    const { events } = (await plane.api.call("GET", `/api/runs/${run.id}/events`)).json;
    expect(events.map((event: { kind: string }) => event.kind)).toEqual(["run.created", "run.completed"]);
    expect(events[0].attributes.payload).toEqual({ name: "Ada" });
    expect(events[1].attributes).toEqual({ exit_code: 0 });
  });
});
