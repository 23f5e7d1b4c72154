import { afterAll, beforeAll, expect, test } from "vitest";
import { type Engine, eachStep, openEngine, taskDeclaration, uploadSource } from "./engine.fixture.ts";
import { promoteDeployment } from "./promote-deployment.ts";
import { readCurrentDeployment } from "./read-deployments.ts";

let engine: Engine;
const promoted: string[] = [];
beforeAll(async () => {
  engine = await openEngine({ deploymentPromoted: [async (_tx, { deploymentId }) => void promoted.push(deploymentId)] });
});
afterAll(() => engine.close());

const promote = (ref: string, reason?: string) => promoteDeployment(engine.context, { scope: engine.scope, ref, reason });

test("moves the environment's pointer; live runs stay where they are", async () => {
  const first = await engine.deploy({ tasks: [taskDeclaration("hello")] });
  const { run, session } = await engine.start();
  const second = await engine.deploy({ tasks: [taskDeclaration("hello"), taskDeclaration("more")] });
  expect(await readCurrentDeployment(engine.context, engine.scope.environmentId)).toMatchObject({
    deployment: { id: second },
    tasks: [{ task_id: "hello" }, { task_id: "more" }],
  });
  expect(
    await engine.one("select r.deployment_id, s.active_deployment_id from runs r join sessions s on s.id = r.session_id where r.id = $1", [
      run.id,
    ]),
  ).toEqual({ deployment_id: first, active_deployment_id: first });
  expect(session.active_deployment_id).toBe(first);
  expect(promoted).toEqual([first, second]);
  const { version } = await engine.one<{ version: string }>("select version from deployments where id = $1", [first]);
  expect(await promote(version, "roll back")).toMatchObject({ id: first });
  expect(await engine.one("select attributes from deployment_events where deployment_id = $1 order by seq desc limit 1", [first])).toEqual({
    attributes: { reason: "roll back", previous_deployment_id: second },
  });
});

test("only what is deployed can be promoted", async () => {
  const queued = await uploadSource(engine);
  expect(await promote(queued.id)).toMatchObject({ status: 400, message: "deployment is not deployable" });
  expect(await promote("20200101.1")).toMatchObject({ status: 404 });
  const foreign = await promoteDeployment(engine.context, {
    scope: { ...engine.scope, environmentId: "01980a00-0000-7000-8000-000000000001" },
    ref: queued.id,
    reason: undefined,
  });
  expect(foreign).toMatchObject({ status: 404 });
  await engine.sql("update deployments set state = 'failed' where id = $1", [queued.id]);
});

test("each step may fail: the last word counts", async () => {
  const id = await engine.deploy();
  await eachStep(engine, {
    setup: async () => id,
    act: () => promote(id),
    check: async (_, result) => expect(result).toMatchObject({ id }),
  });
});
