/** What a build asks for its images, over the worker's wire: steps that were kept, values of secrets, a deployment that names its image. */
import { randomBytes } from "node:crypto";
import { newArtifact, projectIndex, tarOf, upload } from "@helmr/test/platform";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Api, openApi } from "./api-fixture.ts";

let api: Api;
beforeAll(async () => {
  api = await openApi({});
});
afterAll(() => api.close());

test("a step is kept once and found; secrets are given by name; the deployment's sandbox has the image", async () => {
  const put = await api.plane.api.call("PUT", "/api/secrets/TOKEN", { body: { value: "the value" } });
  expect(put.status).toBe(200);
  const created = await upload(api.plane.api, await tarOf({ "package.json": randomBytes(8).toString("hex") }));
  const worker = await api.worker();
  const [lease] = await worker.claim({ kinds: ["build"], wait_ms: 10_000 });
  if (lease?.kind !== "build") throw new TypeError("no build lease was given");
  const { id, org_id: orgId } = lease.deployment;
  const fenced = { lease_id: lease.lease_id, fence: lease.fence };
  const key = `sha256:${"a".repeat(64)}`;
  const config = { env: { PATH: "/bin" }, workdir: "/app", user: "dev", node: "24.21.0" };
  const asked = { ...fenced, steps: [{ key, place: "tools 2" }] };

  expect(await worker.post("imageStepsFind", asked, id)).toEqual({ found: [], previous: [] });
  const artifact = newArtifact(orgId);
  const kept = await worker.post("imageStepsKeep", { ...fenced, key, place: "tools 2", inputs: { command: "c" }, artifact, config }, id);
  expect(kept).toMatchObject({ step: { key, artifact: { artifact_id: artifact.artifact_id }, config } });
  expect(await worker.post("imageStepsFind", asked, id)).toEqual({ found: [kept.step], previous: [] });
  expect(await worker.post("buildSecrets", { ...fenced, names: ["TOKEN", "NONE"] }, id)).toEqual({
    values: [{ name: "TOKEN", value: "the value" }],
    unavailable: [{ name: "NONE", message: expect.stringContaining("not found") }],
  });
  await expect(worker.post("imageStepsFind", { ...asked, fence: lease.fence + 1 }, id)).rejects.toMatchObject({
    status: 409,
    code: "stale_lease",
  });

  const box = { id: "box", image: "tools", workspacePath: "/workspace", resources: {}, network: { internet: true } };
  const index = projectIndex({ sandboxes: [box], images: { tools: { id: "tools", steps: [{ kind: "from", ref: "debian" }] } } });
  const images = [
    { image: "tools", digest: artifact.digest, artifact_id: artifact.artifact_id, config: { env: {}, workdir: "/app", user: "dev" } },
  ];
  const result = { status: "built" as const, index, task_tree: newArtifact(orgId), images };
  expect(await worker.post("buildComplete", { ...fenced, report_through: 0, result }, id)).toEqual({
    state: "deployed",
    warm: [{ image: artifact.digest, milli_cpu: 2000, memory_mib: 2048 }],
  });
  const promoted = await api.plane.api.call("POST", `/api/deployments/${created.json.id}/promote`, { body: {} });
  expect(promoted.status).toBe(200);
  const { json } = await api.plane.api.call("GET", "/api/sandboxes/box");
  expect(json).toMatchObject({ image_artifact_id: artifact.artifact_id, image_digest: artifact.digest, default_workdir: "/app" });
});
