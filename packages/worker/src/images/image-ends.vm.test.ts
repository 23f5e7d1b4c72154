/** Image builds that end otherwise than by their steps: cancelled, out of time, turned away by the registry. */
import { readdirSync } from "node:fs";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, expect, test } from "vitest";
import { base, builtImage, ImageBuilds } from "./image-builds.fixture.ts";
import { registryPassword } from "./local-registry.fixture.ts";

let on: ImageBuilds;
beforeAll(async () => {
  on = await ImageBuilds.open("image-ends", { locked: true });
});
afterAll(async () => {
  await on?.close();
});

/** Its cache is what the next build must not wait for. */
const stuck = (command: string) =>
  `const tools = image("tools").from("${base}").run(["sh", "-ec", "date >> /cache/seen; ${command}"], { cache: [{ mountPath: "/cache", cache: cache("shared") }] });`;
/** Long before the sleep of a step is over. */
const endMs = 120_000;

test("a build that is cancelled stops its step at once, says so, and holds nothing", { timeout: 1_200_000 }, async () => {
  const { held, ended } = on.start(on.project(stuck("echo the step runs; sleep 3600")), { timeout_ms: 1_800_000 });
  await until("the step", () => on.log().includes("the step runs"), 400_000);
  const began = performance.now();
  held.direct({ type: "cancel", lease_id: held.id, force: false, reason: "not wanted any more" });
  const { result } = await ended;
  expect(performance.now() - began).toBeLessThan(endMs);
  expect(result).toMatchObject({ status: "failed", failure: { message: "The build was cancelled: not wanted any more" } });
  expect(readdirSync(on.real.host.leasesDirectory)).toEqual([]);
  expect(on.real.host.images.making.size).toBe(0);
  const next = await on.build(on.project(stuck("wc -l < /cache/seen")));
  builtImage(next);
  expect(next.steps.map(({ cached }) => cached)).toEqual([true, false]);
});

test("a step that outlasts the build's time ends with it", { timeout: 1_200_000 }, async () => {
  const { held, ended } = on.start(on.project(stuck("echo the step sleeps; sleep 3600")), { timeout_ms: 60_000 });
  const { result } = await ended;
  expect(result).toMatchObject({
    status: "failed",
    failure: {
      kind: "timeout",
      message: expect.stringMatching(/image "tools", step 2 .*longer than \d+ s|The build took longer than 60 s/s),
    },
  });
  expect(held.lost.aborted).toBe(false);
  expect(readdirSync(on.real.host.leasesDirectory)).toEqual([]);
  expect(on.real.host.images.making.size).toBe(0);
});

test("a registry that wants a password gets the environment's, and the build says when there is none", { timeout: 1_200_000 }, async () => {
  const host = new URL(on.locked?.url ?? "").host;
  const source = on.project(`const tools = image("tools").from("${host}/library/${base}");`);
  const refused = await on.build(source);
  expect(refused.result).toMatchObject({
    status: "failed",
    failure: { kind: "image_failed", message: expect.stringMatching(/HELMR_REGISTRY_AUTH/) },
  });
  const auth = (password: string) => JSON.stringify({ auths: { [host]: { auth: Buffer.from(`puller:${password}`).toString("base64") } } });
  on.plane.secrets.set("HELMR_REGISTRY_AUTH", auth("a wrong one"));
  const wrong = await on.build(source);
  expect(wrong.result).toMatchObject({ status: "failed", failure: { kind: "image_failed" } });
  expect(JSON.stringify(wrong)).not.toContain("a wrong one");
  on.plane.secrets.set("HELMR_REGISTRY_AUTH", auth(registryPassword));
  builtImage(await on.build(source));
  expect(JSON.stringify([...on.plane.builds, ...on.plane.buildEvents, ...on.plane.imageSteps.values()])).not.toContain(registryPassword);
});
