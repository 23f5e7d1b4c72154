/**
 * Images through the command line: a project whose task brings its own image, from a registry that the install is told of as a mirror. `helmr deploy` says
 * what it did for each step, a run finds what the steps left, and a change of the task's code runs no step again. An install of its own, because its
 * worker must know the registry.
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "@helmr/test/services";
import { guestCacheDirectory } from "@helmr/test/services/guest";
import { baseTar, localRegistry, writeLayout } from "@helmr/worker/images";
import { afterAll, beforeAll, expect, test } from "vitest";
import { installDirectory, LocalInstall } from "./local-install.ts";
import { SharedInstall } from "./shared-install.ts";
import { taskProject } from "./task-project.ts";

const deployMs = 900_000;
const secret = "a-token-of-the-build-9c41";

let local: LocalInstall;
let install: SharedInstall;
let registry: Awaited<ReturnType<typeof localRegistry>>;
let project: string;

beforeAll(async () => {
  local = await LocalInstall.open(await installDirectory());
  registry = await localRegistry(join(local.directory, "registry"));
  const environment = { HELMR_REGISTRY_MIRRORS: `docker.io=${registry.url}`, HELMR_REGISTRIES: registry.url };
  const up = await local.front(["up", "--detach", "--json"], { env: environment });
  if (up.code !== 0) throw new TypeError(`up failed: ${up.stderr}\n${await local.logTails()}`);
  install = new SharedInstall(local, JSON.parse(up.stdout));
  const { baseImage } = JSON.parse(await readFile(join(guestCacheDirectory(), "ingredients.json"), "utf8")) as {
    baseImage: { path: string };
  };
  const layout = join(local.directory, "layout");
  const config = { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], WorkingDir: "/base" };
  await writeLayout(layout, [{ tag: "base", layers: [await baseTar(baseImage.path, guestCacheDirectory())], config }]);
  registry.push(layout, "base", "library/node:24-bookworm-slim");
  project = await taskProject({
    "tasks/tools.ts": taskFile("first"),
    "files/one.txt": "one\n",
    "files/two.log": "left out\n",
    "files/keep.log": "kept\n",
  });
}, 400_000);

afterAll(async () => {
  try {
    await install?.expectSound();
  } finally {
    install?.close();
    await local?.down();
    await until("nothing of the install runs any more", async () => (await local.processes()).length === 0, 60_000);
    await registry?.close();
    await local?.remove();
    if (project !== undefined) await rm(project, { recursive: true, force: true });
  }
}, 120_000);

const taskFile = (answer: string) => `import { execFileSync } from "node:child_process";
import { cache, image, sandbox, source, task } from "@helmr/sdk";
const data = image("data").from("node:24-bookworm-slim").copy("/data/", source.directory("files", { ignore: ["*.log", "!keep.log"] }));
const tools = image("tools")
  .from("node:24-bookworm-slim")
  .run(["sh", "-ec", "echo x >> /cache/used; wc -l < /cache/used > /used"], { cache: [{ mountPath: "/cache", cache: cache("used") }] })
  .run(["sh", "-ec", "cat /run/secrets/token; cut -c1-7 /run/secrets/token > /token-begins"], { secrets: [{ mountPath: "/run/secrets/token", secret: "BUILD_TOKEN" }] })
  .copyFrom("/from-data", data, "/data")
  .run(["useradd", "-m", "dev"])
  .user("dev");
const look = "id -un; ls /from-data; cat /from-data/keep.log /used /token-begins; node -p 1+1";
export const tool = task({ id: "tool", sandbox: sandbox("tools").image(tools), run: () => "${answer}: " + execFileSync("sh", ["-c", look], { encoding: "utf8" }).trim().split("\\n").join(" ") });
`;

async function deploy(): Promise<string[]> {
  const { code, stdout, stderr } = await local.helmr(["deploy", "--timeout", "15m", project], { timeoutMs: deployMs });
  expect({ code }, `${stdout}\n${stderr}`).toEqual({ code: 0 });
  expect(stderr).not.toContain(secret);
  return stderr.split("\n").filter((line) => /image "\w+" \d+\/\d+/.test(line));
}

test("a project with an image of its own is deployed, runs, and its code is changed without a step", { timeout: 1_700_000 }, async () => {
  const { code, stderr } = await local.helmr(["secret", "set", "BUILD_TOKEN", secret]);
  expect({ code }, stderr).toEqual({ code: 0 });

  const first = await deploy();
  const made = first.map((line) =>
    /image "(\w+)" (\d+)\/\d+ (from|run|copy) .*: (?:(cached)|\d+\.\d s, \d+\.\d MiB stored.* \(not cached: (.*)\))$/.exec(line),
  );
  expect(
    made.map((found) => found?.slice(1, 6)),
    first.join("\n"),
  ).toEqual([
    ["data", "1", "from", undefined, "it was not built before"],
    ["data", "2", "copy", undefined, "it was not built before"],
    // The same base: its disk is there.
    ["tools", "1", "from", "cached", undefined],
    ...["2", "3"].map((number) => ["tools", number, "run", undefined, "it was not built before"]),
    ["tools", "4", "copy", undefined, "it was not built before"],
    ["tools", "5", "run", undefined, "it was not built before"],
  ]);
  const { run } = await install.play("tool");
  expect(run).toMatchObject({ status: "succeeded", output: "first: dev keep.log one.txt kept 1 a-token 2" });

  await writeFile(join(project, "tasks/tools.ts"), taskFile("second"));
  const second = await deploy();
  expect(second).toHaveLength(first.length);
  for (const line of second) expect(line).toMatch(/: cached$/);
  expect((await install.play("tool")).run).toMatchObject({ status: "succeeded", output: "second: dev keep.log one.txt kept 1 a-token 2" });
});
