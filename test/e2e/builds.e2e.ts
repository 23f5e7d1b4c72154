/** Sources that cannot be built: each fails its deployment with a sentence that names what is wrong, and leaves what is deployed alone. */
import { rm } from "node:fs/promises";
import { tarOf, upload } from "@helmr/test/platform";
import { until } from "@helmr/test/services";
import { pack } from "tar-stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type SharedInstall, sharedInstall } from "./shared-install.ts";
import { taskProject } from "./task-project.ts";

let install: SharedInstall;
let good: string | undefined;
let goodId: string;
beforeAll(async () => {
  install = await sharedInstall();
  good = await taskProject({ "tasks/good.ts": taskFile("good", 'run: () => "still here"') });
  goodId = (await install.deploy(good)).id;
});
afterAll(async () => {
  await install?.expectSound();
  install?.close();
  if (good !== undefined) await rm(good, { recursive: true, force: true });
});

const manifest = JSON.stringify({ type: "module", packageManager: "npm@11.19.1", dependencies: { "@helmr/sdk": "0.1.0" } });
const config = 'import { defineConfig } from "@helmr/sdk";\nexport default defineConfig({ project: "e2e", dirs: ["./tasks"] });\n';

function taskFile(id: string, members: string, more = ""): string {
  return `import { image, queue, sandbox, task } from "@helmr/sdk";\n${more}\nexport const one = task({ id: "${id}", sandbox: sandbox("box"), ${members} });\n`;
}

/** Uploads an archive and waits for the end of its build. */
async function built(source: Buffer) {
  const created = await upload(install.api, source);
  expect(created.status, created.text).toBe(201);
  return until(
    `the build of ${created.json.id} ends`,
    async () => {
      const deployment = await install.get(`/api/deployments/${created.json.id}`);
      return deployment.status === "failed" || deployment.status === "deployed" ? deployment : undefined;
    },
    150_000,
  );
}

async function expectFailed(source: Buffer, ...texts: (string | RegExp)[]): Promise<void> {
  const deployment = await built(source);
  expect(deployment).toMatchObject({ status: "failed", tasks: [], built_at: null, deployed_at: null });
  for (const text of texts) expect(deployment.error.message).toMatch(text);
  const { events } = await install.get(`/api/deployments/${deployment.id}/events`);
  expect(events.at(-1)).toMatchObject({ kind: "deployment.failed" });
  const promoted = await install.api.call("POST", `/api/deployments/${deployment.id}/promote`, { body: {} });
  expect(promoted).toMatchObject({ status: 400, json: { error: "deployment is not deployable" } });
}

const project = (files: Record<string, string>) => tarOf({ "package.json": manifest, "helmr.config.ts": config, ...files });

async function archiveOf(...entries: Parameters<ReturnType<typeof pack>["entry"]>[0][]): Promise<Buffer> {
  const archive = pack();
  for (const entry of entries) archive.entry(entry, "");
  archive.finalize();
  const parts: Buffer[] = [];
  for await (const part of archive as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

describe("an archive is refused at its upload", () => {
  const refused = async (source: Buffer) => {
    const answer = await upload(install.api, source);
    expect(answer.status, answer.text).toBe(400);
    return answer.json.error as string;
  };

  test("that is none", async () => {
    expect(await refused(Buffer.alloc(4096, "not a tar archive"))).toMatch(/^the source archive is not a plain tar: /);
  });

  test("that was cut off", async () => {
    const whole = await project({ "tasks/one.ts": taskFile("one", "run: () => 1"), "tasks/large.txt": "x".repeat(10_000) });
    expect(await refused(whole.subarray(0, whole.length - 8_000))).toMatch(/^the source archive is not a plain tar: /);
  });

  test("that reaches outside, by its name or by a link", async () => {
    expect(await refused(await archiveOf({ name: "../outside.txt", size: 0 }))).toMatch(/\.\.\/outside\.txt/);
    expect(await refused(await archiveOf({ name: "link", type: "symlink", linkname: "/etc/passwd" }))).toMatch(/"link"/);
  });

  test("with a device in it", async () => {
    const source = await archiveOf({ name: "disk", type: "block-device", devmajor: 8, devminor: 0 });
    expect(await refused(source)).toBe(
      'the source archive has the entry "disk" of type block-device; only files, directories and symbolic links are accepted',
    );
  });
});

describe.concurrent("a project", () => {
  test("without helmr.config.ts", async () => {
    const source = await tarOf({ "package.json": manifest, "tasks/one.ts": taskFile("one", "run: () => 1") });
    await expectFailed(source, /helmr\.config\.ts/);
  });

  test("without a task", async () => {
    await expectFailed(await project({ "tasks/none.ts": "export const nothing = 1;\n" }), /task/);
  });

  test("that cannot be compiled: file, line and column", async () => {
    await expectFailed(await project({ "tasks/broken.ts": 'export const a = 1;\nconst b = "unfinished;\n' }), /tasks\/broken\.ts:2:\d+/);
  });

  test("that imports what is not there: file, line and column", async () => {
    const source = await project({ "tasks/lost.ts": taskFile("lost", "run: () => gone", 'import { gone } from "./gone.ts";') });
    await expectFailed(source, /tasks\/lost\.ts:2:\d+/, /gone/);
  });

  test("that throws while it is loaded", async () => {
    const source = await project({ "tasks/throws.ts": taskFile("throws", "run: () => 1", 'throw new Error("at load time");') });
    await expectFailed(source, /at load time/, /tasks\/throws\.ts:2/);
  });

  test("with one id twice: both files are named", async () => {
    const same = taskFile("same", "run: () => 1");
    await expectFailed(await project({ "tasks/a.ts": same, "tasks/b.ts": same }), /same/, /tasks\/a\.ts/, /tasks\/b\.ts/);
  });

  test("with a queue that nobody declares", async () => {
    await expectFailed(
      await project({ "tasks/one.ts": taskFile("one", 'queue: "nowhere", run: () => 1') }),
      /task "one" references undefined queue "nowhere"/,
    );
  });

  test("with an image that begins with nothing", async () => {
    const declared = 'const own = sandbox("own").image(image("own").run(["true"]).from("debian:12"));';
    const text = `import { image, sandbox, task } from "@helmr/sdk";\n${declared}\nexport const one = task({ id: "one", sandbox: own, run: () => 1 });\n`;
    await expectFailed(await project({ "tasks/one.ts": text }), /image "own"/, /run step before \.from\(/);
  });

  test("with a dependency that no registry has", async () => {
    const dependencies = { "@helmr/sdk": "0.1.0", "@helmr-e2e/there-is-no-such-package": "1.0.0" };
    const source = await tarOf({
      "package.json": JSON.stringify({ type: "module", packageManager: "npm@11.19.1", dependencies }),
      "helmr.config.ts": config,
      "tasks/one.ts": taskFile("one", "run: () => 1"),
    });
    await expectFailed(source, /npm ended with code 1/, /there-is-no-such-package/);
  });
});

test("the command says what is wrong in one line and exits 1", async () => {
  const bad = await taskProject({ "tasks/one.ts": taskFile("one", 'queue: "nowhere", run: () => 2') });
  try {
    const { code, stdout, stderr } = await install.local.helmr(["deploy", bad]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(
      /^deployment [0-9a-f-]{36} failed: .*task "one" references undefined queue "nowhere"$/,
    );
  } finally {
    await rm(bad, { recursive: true, force: true });
  }
});

test("what was deployed before is deployed still", async () => {
  expect((await install.get("/api/deployments/current")).deployment.id).toBe(goodId);
  expect((await install.play("good")).run).toMatchObject({ status: "succeeded", output: "still here" });
});
