/** Images built in real machines, from a real registry; the control plane stands at the wire. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { base, builtImage, ImageBuilds, type Played } from "./image-builds.fixture.ts";

let on: ImageBuilds;
beforeAll(async () => {
  on = await ImageBuilds.open("image-builds");
});
afterAll(async () => {
  await on?.close();
});
beforeEach(() => {
  on.plane.items.length = 0;
  on.plane.completions.length = 0;
});

describe("an image", () => {
  const images = (command: string) => `const tools = image("tools").from("${base}")
  .env("BUILT", "with spaces").workdir("app").copy("./", source.directory("files", { ignore: ["*.log", "!keep.log", "sub"] })).copy("/etc/one.txt", source.file("files/a.txt"))
  .run(["sh", "-ec", ${JSON.stringify(command)}])
  .run(["useradd", "-m", "-u", "1234", "dev"]).user("dev").run(["sh", "-c", "id -un > ~/who; pwd >> ~/who; echo $BUILT $FROM_BASE >> ~/who"]);`;
  const files = {
    "files/a.txt": "first",
    "files/x.log": "left out",
    "files/keep.log": "kept",
    "files/sub/deep.txt": "left out",
    "files/run.sh": "#!/bin/sh",
  };
  const command =
    "cat a.txt keep.log > /result; ls >> /result; mkdir -p /opt/helmr-task/node_modules/own; echo own > /opt/helmr-task/node_modules/own/x";
  let first: Played;

  test("is built step by step, and runs see what the steps left, as their user", { timeout: 300_000 }, async () => {
    first = await on.build(on.project(images(command), files));
    const { image } = builtImage(first);
    expect(image.config).toMatchObject({ env: { BUILT: "with spaces", FROM_BASE: "yes" }, workdir: "/base/app", user: "dev" });
    expect(first.steps.map((step) => [step.cached, step.reason])).toEqual(first.steps.map(() => [false, "it was not built before"]));
    expect(first.steps).toHaveLength(6);
    expect(first.steps.map((step) => step.baseDigest)).toEqual([expect.stringMatching(/^sha256:[0-9a-f]{64}$/), ...Array(5)]);
    const said = await on.run(
      first,
      "cat /result /etc/one.txt /home/dev/who; id -un; stat -c '%U %a' /base/app/run.sh /base/app; cat /opt/helmr-task/node_modules/own/x",
    );
    expect(said.split("\n")).toEqual([
      "firstkepta.txt",
      "keep.log",
      "run.sh",
      "firstdev",
      "/base/app",
      "with spaces yes",
      "dev",
      "root 644",
      "root 755",
      "own",
      "",
    ]);
  });

  test("an unchanged one is not built again; a changed task file runs no step", { timeout: 300_000 }, async () => {
    const again = await on.build(on.project(images(command), { ...files, "tasks/other.ts": "export const nothing = 1;" }));
    expect(again.steps.map((step) => step.cached)).toEqual(first.steps.map(() => true));
    expect(builtImage(again).image.artifact_id).toBe(builtImage(first).image.artifact_id);
  });

  test("a changed step is run, and those behind it, and the reason is said", { timeout: 300_000 }, async () => {
    const changed = await on.build(on.project(images(`${command}; echo more >> /result`), files));
    expect(changed.steps.map((step) => step.reason)).toEqual([
      undefined,
      undefined,
      undefined,
      "the command changed",
      "the step before it changed",
      "the step before it changed",
    ]);
  });
});

describe("what steps bring", () => {
  const secret = "a-secret-that-is-nowhere-7f3a";

  test("a cache that lasts, another image's files, a secret that leaves no trace", { timeout: 600_000 }, async () => {
    on.plane.secrets.set("NPM_TOKEN", secret);
    const images = (count: number) => `const other = image("other").from("scratch-like:1").copy("/data/", source.directory("files"));
const tools = image("tools").from("${base}")
  .run(["sh", "-ec", "echo ${count} >> /cache/counted; cp /cache/counted /counted"], { cache: [{ mountPath: "/cache", cache: cache("kept") }] })
  .copyFrom("/copied", other, "/data")
  .run(["sh", "-ec", "cat /run/secrets/token; sha256sum < /run/secrets/token > /secret.sum; stat -c '%U %a' /run/secrets/token > /secret.mode"], { secrets: [{ mountPath: "/run/secrets/token", secret: "NPM_TOKEN" }] });`;
    const files = { "files/a.txt": "from another image" };
    builtImage(await on.build(on.project(images(1), files)));
    const played = await on.build(on.project(images(2), files));
    builtImage(played);
    const said = await on.run(
      played,
      "cat /counted /copied/a.txt /secret.mode; cut -c1-64 /secret.sum; ls -A /cache | wc -l; ls /run/secrets 2>&1 | wc -l",
    );
    const sum = createHash("sha256").update(secret).digest("hex");
    expect(said.split("\n")).toEqual(["1", "2", "from another imageroot 400", sum, "0", expect.any(String), ""]);
    expect(played.log).toContain("***");
    const stored = [...on.plane.imageSteps.values(), ...on.plane.imagePlaces.values(), ...on.plane.builds, ...on.plane.buildEvents];
    expect(JSON.stringify(stored)).not.toContain(secret);
    expect(await on.findInArtifacts(secret)).toEqual([]);
    expect(await on.findInArtifacts("from another image")).not.toEqual([]);
  });

  test(
    "a command that fails ends the deployment with its output; an image without node says what to add",
    { timeout: 300_000 },
    async () => {
      const failed = await on.build(
        on.project(`const tools = image("tools").from("${base}").run(["sh", "-c", "echo about to fail; exit 3"]);`),
      );
      const message = expect.stringMatching(/image "tools", step 2 \(run sh.*code 3.*about to fail/s);
      expect(failed.result).toMatchObject({ status: "failed", failure: { kind: "image_failed", message } });
      const bare = await on.build(on.project(`const tools = image("tools").from("scratch-like:1");`));
      expect(bare.result).toMatchObject({ status: "failed", failure: { message: expect.stringMatching(/has no node.*Begin with/s) } });
    },
  );
});
