/** Schedules over HTTP (http §8): every route, status and rule, in both families; what a fire starts; and what promotion does. */
import { deployProject, projectIndex, taskDeclaration } from "@helmr/test/platform";
import { until } from "@helmr/test/services";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { instant, openSessionPlane, type SessionPlane, sessionProject, unknownId, uuid } from "./session-plane.ts";

let plane: SessionPlane;
let login: string;
let prefix: string;
let sql: pg.Client;
beforeAll(async () => {
  const nightly = taskDeclaration("nightly", { schedule: { cron: "0 3 * * *", timezone: "Europe/Berlin" } });
  plane = await openSessionPlane({ project: { ...sessionProject, tasks: [...projectIndex().tasks, nightly] } });
  const answer = await fetch(plane.plane.install.loginUrl.replace(/^https?:\/\/[^/]+/, plane.plane.url), { redirect: "manual" });
  login = /helmr_session_dev=([^;]+)/.exec(answer.headers.get("set-cookie") ?? "")?.[1] ?? "";
  const { projectId, environmentId } = plane.plane.install;
  prefix = `/api/projects/${projectId}/environments/${environmentId}`;
  sql = new pg.Client({ connectionString: plane.plane.config.databaseUrl });
  await sql.connect();
});
afterAll(async () => {
  expect(plane.plane.faults).toEqual([]);
  await sql.end();
  await plane.close();
});

const base = { task: "hello", cron: "0 9 * * 1-5" };
let keys = 0;
const key = () => `key-${(keys += 1)}`;
const post = (body: object = {}) => plane.post("/api/schedules", { deduplication_key: key(), ...base, ...body });
const made = async (body: object = {}) => {
  const answer = await post(body);
  expect(answer.status, answer.text).toBe(201);
  return answer.json as { id: string; [member: string]: unknown };
};
const call = (method: string, path: string, body?: unknown, bearer?: string) =>
  plane.plane.api.call(method, path, { ...(body === undefined ? {} : { body }), ...(bearer === undefined ? {} : { bearer }) });
/** As if the time of its next occurrence had come. */
async function makeDue(id: string): Promise<void> {
  await sql.query("update schedules set next_fire_at = date_trunc('minute', now()), due_at = now() where id = $1", [id]);
  plane.plane.parts.engine.hints.send("reconcile:fire-schedules");
}

describe("POST schedules", () => {
  test("201 with everything that was given", async () => {
    const answer = await post({
      deduplication_key: "morning-report",
      external_id: " team-7 ",
      timezone: "Europe/Berlin",
      options: { queue: { name: "task/hello" }, concurrency_key: "k", priority: -5, ttl: "1h", max_duration_seconds: 60 },
    });
    expect(answer.status).toBe(201);
    const { projectId, environmentId } = plane.plane.install;
    expect(answer.json).toEqual({
      id: expect.stringMatching(uuid) as string,
      type: "imperative",
      project_id: projectId,
      environment_id: environmentId,
      task: "hello",
      deduplication_key: "morning-report",
      external_id: "team-7",
      cron: "0 9 * * 1-5",
      timezone: "Europe/Berlin",
      options: { queue: { name: "task/hello" }, concurrency_key: "k", priority: -5, ttl: "1h", max_duration_seconds: 60 },
      active: true,
      status: "active",
      next_fire_at: expect.stringMatching(/T0[78]:00:00Z$/) as string,
      created_at: expect.stringMatching(instant) as string,
      updated_at: expect.stringMatching(instant) as string,
    });
  });

  test("a second POST updates, also with 201", async () => {
    const first = await made({ deduplication_key: "twice", options: { priority: 1 } });
    const second = await made({ deduplication_key: "twice", cron: "30 9 * * *", timezone: "utc" });
    expect(second).toMatchObject({ id: first.id, cron: "30 9 * * *", timezone: "UTC" });
    expect(second).not.toHaveProperty("options");
    const { schedules } = (await plane.get("/api/schedules")).json;
    expect(schedules.filter((row: { deduplication_key?: string }) => row.deduplication_key === "twice")).toHaveLength(1);
  });

  test("inactive from the start has no next fire", async () => {
    const row = await made({ active: false });
    expect(row).toMatchObject({ active: false, status: "inactive" });
    expect(row).not.toHaveProperty("next_fire_at");
  });

  test.each([
    [{ deduplication_key: undefined }, "deduplication_key is required"],
    [{ deduplication_key: "no blanks" }, "deduplication_key must be a name that matches ^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"],
    [{ task: "unknown" }, 'task "unknown" is not part of the current deployment'],
    [{ cron: "@daily" }, "cron must have exactly five fields, such as 0 9 * * 1-5"],
    [{ cron: "0 0 9 * * 1" }, "cron must have exactly five fields, such as 0 9 * * 1-5"],
    [{ cron: "0 25 * * *" }, 'cron "0 25 * * *" is not valid: Invalid value for hour: 25'],
    [{ cron: "0 0 30 2 *" }, 'cron "0 0 30 2 *" never occurs'],
    [{ timezone: "Mars/Olympus" }, "timezone must be an IANA time zone such as Europe/Berlin"],
    [{ timezone: "+02:00" }, "timezone must be an IANA time zone such as Europe/Berlin"],
    [{ options: { deployment_id: unknownId } }, "options.deployment_id is not accepted for schedules"],
    [{ options: { version: "1" } }, "options.version is not accepted for schedules"],
    [{ options: { ttl: "soon" } }, "options.ttl must be a duration greater than zero, such as 90s, 1h30m or 7d"],
    [{ surplus: 1 }, 'unknown field "surplus"'],
    [{ project_id: "x" }, "project_id and environment_id are not accepted with API keys"],
  ])("%j is 400", async (body, error) => {
    expect(await post(body)).toMatchObject({ status: 400, json: { error } });
  });

  test("unknown options are ignored, blank scope fields accepted", async () => {
    expect(await made({ options: { surplus: 1, priority: 2 }, project_id: "", environment_id: " " })).toMatchObject({
      options: { priority: 2 },
    });
  });
});

describe("one schedule", () => {
  test("GET, PUT, activate, deactivate, DELETE", async () => {
    const { id, ...row } = await made({ external_id: "e" });
    expect((await plane.get(`/api/schedules/${id}`)).json).toEqual({ id, ...row });
    const put = await call("PUT", `/api/schedules/${id}`, { task: "hello", cron: "15 8 * * *" });
    expect(put).toMatchObject({ status: 200, json: { id, cron: "15 8 * * *", deduplication_key: row["deduplication_key"], active: true } });
    expect(put.json).not.toHaveProperty("external_id");
    const off = await call("POST", `/api/schedules/${id}/deactivate`);
    expect(off).toMatchObject({ status: 200, json: { active: false, status: "inactive" } });
    expect(off.json).not.toHaveProperty("next_fire_at");
    expect((await call("PUT", `/api/schedules/${id}`, base)).json).toMatchObject({ active: false });
    const on = await call("POST", `/api/schedules/${id}/activate`);
    expect(on).toMatchObject({
      status: 200,
      json: { active: true, status: "active", next_fire_at: expect.stringMatching(instant) as string },
    });
    expect((await call("PUT", `/api/schedules/${id}`, { ...base, deduplication_key: "x" })).status).toBe(400);
    expect(await call("DELETE", `/api/schedules/${id}`)).toMatchObject({ status: 204, text: "" });
    for (const [method, path] of [
      ["GET", ""],
      ["PUT", ""],
      ["POST", "/activate"],
      ["POST", "/deactivate"],
      ["DELETE", ""],
    ] as const) {
      const body = method === "PUT" ? base : undefined;
      expect(await call(method, `/api/schedules/${id}${path}`, body)).toMatchObject({ status: 404, json: { error: "schedule not found" } });
      expect(await call(method, `/api/schedules/x${path}`, body)).toMatchObject({ status: 400, json: { error: "invalid schedule id" } });
    }
  });

  test("every route has both families", async () => {
    const created = await call("POST", `${prefix}/schedules`, { deduplication_key: key(), ...base }, login);
    expect(created.status).toBe(201);
    const { id } = created.json;
    expect((await call("GET", `${prefix}/schedules`, undefined, login)).json.schedules.map((row: { id: string }) => row.id)).toContain(id);
    expect((await call("GET", `${prefix}/schedules/${id}`, undefined, login)).status).toBe(200);
    expect((await call("PUT", `${prefix}/schedules/${id}`, base, login)).status).toBe(200);
    expect((await call("POST", `${prefix}/schedules/${id}/deactivate`, undefined, login)).status).toBe(200);
    expect((await call("POST", `${prefix}/schedules/${id}/activate`, undefined, login)).status).toBe(200);
    expect((await call("DELETE", `${prefix}/schedules/${id}`, undefined, login)).status).toBe(204);
    expect(await call("POST", `${prefix}/schedules`, { deduplication_key: key(), ...base, project_id: "x" }, login)).toMatchObject({
      status: 400,
    });
  });
});

describe("a fire", () => {
  test("starts a session with the payload of its occurrence; the schedule goes on", async () => {
    const { id } = await made({ cron: "* * * * *", timezone: "Europe/Berlin", external_id: "e1", options: { priority: 9 } });
    await makeDue(id);
    const session = await until("the schedule fires", async () => {
      const { sessions } = (await plane.get("/api/sessions?task_id=hello&status=all")).json;
      for (const one of sessions) {
        const { events } = (await plane.get(`/api/runs/${one.current_run_id}/events`)).json;
        if (events[0].attributes.payload.scheduleId === id) return { ...one, created: events[0].attributes };
      }
      return undefined;
    });
    expect(session).toMatchObject({ task_id: "hello", status: "open" });
    const { payload, reason } = session.created;
    expect(reason).toBe("schedule");
    expect(payload).toEqual({
      timestamp: expect.stringMatching(/:00Z$/) as string,
      timezone: "Europe/Berlin",
      scheduleId: id,
      scheduleType: "imperative",
      externalId: "e1",
      upcoming: expect.any(Array) as unknown[],
    });
    const minutes = (index: number) => new Date(Date.parse(payload.timestamp) + (index + 1) * 60_000).toISOString().replace(".000Z", "Z");
    expect(payload.upcoming).toEqual([0, 1, 2, 3, 4].map(minutes));
    const after = (await plane.get(`/api/schedules/${id}`)).json;
    expect(after).toMatchObject({ status: "active", last_fire_at: payload.timestamp, next_fire_at: payload.upcoming[0] });
    await call("DELETE", `/api/schedules/${id}`);
  });

  test("that fails is shown, and tried again a minute later", async () => {
    const { id } = await made({ cron: "* * * * *", options: { queue: { name: "nowhere" } } });
    const before = Date.now();
    await makeDue(id);
    const row = await until("the failure is shown", async () => {
      const { json } = await plane.get(`/api/schedules/${id}`);
      return json.status === "errored" && json;
    });
    expect(row).toMatchObject({ active: true, last_error: 'queue "nowhere" is not declared in the current deployment' });
    const delay = Date.parse(row.next_fire_at) - before;
    expect(delay).toBeGreaterThan(59_000);
    expect(delay).toBeLessThan(75_000);
    expect((await call("PUT", `/api/schedules/${id}`, { ...base, cron: "* * * * *" })).json).toMatchObject({ status: "active" });
    await call("DELETE", `/api/schedules/${id}`);
  });
});

describe("declarative schedules", () => {
  const declared = async () =>
    (await plane.get("/api/schedules")).json.schedules.filter((row: { type: string }) => row.type === "declarative") as {
      id: string;
      task: string;
      cron: string;
    }[];

  test("are listed without a key, and cannot be changed here", async () => {
    const [row] = await declared();
    expect(row).toMatchObject({ task: "nightly", cron: "0 3 * * *", timezone: "Europe/Berlin", active: true, status: "active" });
    expect(row).not.toHaveProperty("deduplication_key");
    for (const [method, path] of [
      ["PUT", ""],
      ["POST", "/activate"],
      ["POST", "/deactivate"],
      ["DELETE", ""],
    ] as const)
      expect((await call(method, `/api/schedules/${row?.id}${path}`, method === "PUT" ? base : undefined)).status).toBe(400);
    expect((await plane.get(`/api/schedules/${row?.id}`)).status).toBe(200);
  });

  test("follow the promoted deployment, and fire as what they are", async () => {
    const first = (await plane.get("/api/deployments/current")).json.deployment.id;
    const [before] = await declared();
    await deployProject(plane.plane, {
      tasks: [
        taskDeclaration("hello"),
        taskDeclaration("nightly", { schedule: { cron: "0 4 * * *", timezone: "Europe/Berlin" } }),
        taskDeclaration("hourly", { schedule: { cron: "0 * * * *", timezone: "UTC" } }),
      ],
    });
    const rows = (await declared()).sort((left, right) => left.task.localeCompare(right.task));
    expect(rows).toMatchObject([{ task: "hourly" }, { task: "nightly", id: before?.id, cron: "0 4 * * *" }]);
    await makeDue(rows[0]?.id ?? "");
    const sessions = await until("it fires", async () => {
      const answer = (await plane.get("/api/sessions?task_id=hourly")).json.sessions;
      return answer.length > 0 && answer;
    });
    const { events } = (await plane.get(`/api/runs/${sessions[0].current_run_id}/events`)).json;
    expect(events[0].attributes.payload).toMatchObject({ scheduleType: "declarative", scheduleId: rows[0]?.id });
    await plane.post(`/api/deployments/${first}/promote`);
    expect(await declared()).toMatchObject([{ task: "nightly", id: before?.id, cron: "0 3 * * *" }]);
  });
});

test("GET schedules gives at most 200, the newest", async () => {
  await sql.query(
    `insert into schedules (id, org_id, project_id, environment_id, kind, task_id, deduplication_key, cron, timezone, state, created_at)
     select gen_random_uuid(), s.org_id, s.project_id, s.environment_id, 'imperative', 'hello', 'bulk-' || n, '0 0 * * *', 'UTC', 'inactive', now() + n * interval '1 ms'
       from (select * from schedules limit 1) s, generate_series(1, 250) n`,
  );
  const { schedules } = (await plane.get("/api/schedules")).json;
  expect(schedules).toHaveLength(200);
  expect(schedules[0]).toMatchObject({ deduplication_key: "bulk-250" });
});
