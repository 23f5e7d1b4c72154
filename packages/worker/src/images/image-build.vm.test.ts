/** Images built in real machines, from a real registry; the control plane stands at the wire. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { guestCacheDirectory } from "@helmr/test/services/guest";
import type { BuildLease, RunLease } from "@helmr/protocol/worker";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Build } from "../build/build.ts";
import type { BlobPort } from "../chunks/blob-port.ts";
import { tenantKeys } from "../chunks/sealing.ts";
import { HeldLease } from "../control/held-lease.ts";
import { dataExtents } from "../disks/data-extents.ts";
import { type RealHost, realHost } from "../run/real-host.fixture.ts";
import { Run } from "../run/run.ts";
import { TestControlPlane } from "../testing/control-plane.ts";
import { buildLeaseOfTest, runLeaseOfTest } from "../testing/leases.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { storageKeysOfTest } from "../testing/tenant.ts";
import { baseTar, type LocalRegistry, localRegistry, writeLayout } from "./local-registry.fixture.ts";

const root = temporaryDirectory("image-builds");
const storage = storageKeysOfTest();
const scope = buildLeaseOfTest({}, storage).deployment;
const needs = { milli_cpu: 2000, memory_mib: 1024, disk_mib: 4096 };
const sdk = ["@helmr", "sdk"].join("/");
const base = "node:24-bookworm-slim";
/** As bun writes them into its lock file. */
const bunPackages = {
  "is-number": [
    "is-number@6.0.0",
    "",
    {},
    "sha512-Wu1VHeILBK8KAWJUAiSZQX94GmOE45Rg6/538fKwiloUu21KncEkYGPqob2oSZ5mUT73vLGrHQjKw3KMPwfDzg==",
  ],
  "is-odd": [
    "is-odd@3.0.1",
    "",
    { dependencies: { "is-number": "^6.0.0" } },
    "sha512-CQpnWPrDwmP1+SMHXZhtLtJv90yiyVfluGsX5iNCVkrhQtU3TQHsUWPG9wkdk9Lgd5yNpAg9jQEo90CBaXgWMA==",
  ],
};

let plane: TestControlPlane;
let real: RealHost;
let registry: LocalRegistry;

beforeAll(async () => {
  plane = await TestControlPlane.start();
  plane.binary = true;
  registry = await localRegistry(join(root, "registry"));
  real = await realHost(plane, {
    images: { mirrors: `docker.io=${registry.url}`, registries: registry.url },
    allow: "deb.debian.org:80",
  });
  const tree = await baseTar(real.host.builtInImage, guestCacheDirectory());
  const empty = join(root, "empty.tar");
  writeFileSync(empty, Buffer.alloc(1024));
  const layout = join(root, "layout");
  await writeLayout(layout, [
    {
      tag: "base",
      layers: [tree],
      config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "FROM_BASE=yes"], WorkingDir: "/base" },
    },
    { tag: "empty", layers: [empty] },
  ]);
  registry.push(layout, "base", `library/${base}`);
  registry.push(layout, "empty", "library/scratch-like:1");
});
afterAll(async () => {
  await real?.close();
  await registry?.close();
  await plane?.api.close();
});
beforeEach(() => {
  plane.items.length = 0;
  plane.completions.length = 0;
});

const task = `
export const hello = task({ id: "hello", sandbox: sandbox("box").image(tools), payload: anything, run: (payload: any) => {
  const out = execFileSync("sh", ["-c", payload.command], { encoding: "utf8" });
  return out;
} } as never);
`;

function project(images: string, files: Record<string, string> = {}): Buffer {
  const directory = join(
    root,
    `source-${createHash("sha256")
      .update(images + JSON.stringify(files))
      .digest("hex")
      .slice(0, 12)}`,
  );
  const all: Record<string, string> = {
    "package.json": JSON.stringify({ name: "p", type: "module", packageManager: "npm@11.0.0", dependencies: { [sdk]: "0.1.0" } }),
    "helmr.config.ts": `import { defineConfig } from "${sdk}"; export default defineConfig({ project: "p", dirs: ["./tasks"] });`,
    "tasks/all.ts": `import { execFileSync } from "node:child_process";
import { cache, image, sandbox, source, task } from "${sdk}";
const anything = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) } };
${images}
${task}`,
    ...files,
  };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  return execFileSync("tar", ["-C", directory, "--sort=name", "-cf", "-", "."], { maxBuffer: 1e9 });
}

interface Played {
  result: NonNullable<(typeof plane.builds)[number]>["result"];
  steps: { message: string; cached: boolean; reason: string | undefined }[];
  log: string;
}

async function build(source: Buffer, change: Partial<BuildLease["deployment"]> = {}): Promise<Played> {
  const lease = buildLeaseOfTest({ needs, ttl_ms: 3_600_000 }, storage);
  lease.deployment = {
    ...lease.deployment,
    project_id: scope.project_id,
    environment_id: scope.environment_id,
    timeout_ms: 600_000,
    content_hash: `sha256:${createHash("sha256").update(source).digest("hex")}`,
    source_bytes: source.length,
    ...change,
  };
  plane.sources.set(lease.deployment.id, source);
  plane.buildEvents.length = 0;
  plane.builds.length = 0;
  const held = new HeldLease(lease, performance.now());
  await new Build(real.host, held).execute();
  held.release();
  const [completed] = plane.builds;
  if (completed === undefined) throw new TypeError(`The build said nothing: ${JSON.stringify(real.events.slice(-5))}`);
  const steps = plane.buildEvents
    .filter((event) => event.kind === "deployment.image.step")
    .map(({ message, attributes }) => ({
      message,
      cached: attributes["cached"] === true,
      reason: attributes["reason"] as string | undefined,
    }));
  const log = plane.buildEvents
    .filter((event) => event.kind === "deployment.log")
    .map((event) => event.message)
    .join("\n");
  return { result: completed.result, steps, log };
}

function builtImage({ result, log }: Played) {
  if (result.status !== "built") throw new TypeError(`The build ended otherwise: ${JSON.stringify(result)}\n${log.slice(-4000)}`);
  const [image] = result.images;
  if (image === undefined) throw new TypeError("No image was built");
  return { image, result };
}

/** A run in the image that was built: what its command prints. */
async function run(played: Played, command: string): Promise<string> {
  const { image, result } = builtImage(played);
  const stored = [...plane.imageSteps.values()].find((step) => step.artifact.artifact_id === image.artifact_id);
  const lease: RunLease = runLeaseOfTest({ needs: { ...needs, milli_cpu: 1000 }, ttl_ms: 3_600_000, task_tree: result.task_tree }, storage);
  lease.image = { ref: image.digest, artifact: stored?.artifact ?? null, config: image.config };
  lease.run = { ...lease.run, task_id: "hello", module: result.index.tasks[0]?.module ?? "", export_name: "hello", payload: { command } };
  const held = new HeldLease(lease, performance.now());
  await new Run(real.host, held).execute();
  held.release();
  const end = plane.completions.find((completion) => completion.lease_id === lease.lease_id)?.end;
  if (end?.status !== "succeeded") throw new TypeError(`The run ended otherwise: ${JSON.stringify(end)} ${plane.text("stderr")}`);
  return String(end.output?.value);
}

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
    first = await build(project(images(command), files));
    const { image } = builtImage(first);
    expect(image.config).toMatchObject({ env: { BUILT: "with spaces", FROM_BASE: "yes" }, workdir: "/base/app", user: "dev" });
    expect(first.steps.map((step) => [step.cached, step.reason])).toEqual(first.steps.map(() => [false, "it was not built before"]));
    expect(first.steps).toHaveLength(6);
    const said = await run(
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
    const again = await build(project(images(command), { ...files, "tasks/other.ts": "export const nothing = 1;" }));
    expect(again.steps.map((step) => step.cached)).toEqual(first.steps.map(() => true));
    expect(builtImage(again).image.artifact_id).toBe(builtImage(first).image.artifact_id);
  });

  test("a changed step is run, and those behind it, and the reason is said", { timeout: 300_000 }, async () => {
    const changed = await build(project(images(`${command}; echo more >> /result`), files));
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
    plane.secrets.set("NPM_TOKEN", secret);
    const images = (count: number) => `const other = image("other").from("scratch-like:1").copy("/data/", source.directory("files"));
const tools = image("tools").from("${base}")
  .run(["sh", "-ec", "echo ${count} >> /cache/counted; cp /cache/counted /counted"], { cache: [{ mountPath: "/cache", cache: cache("kept") }] })
  .copyFrom("/copied", other, "/data")
  .run(["sh", "-ec", "cat /run/secrets/token; sha256sum < /run/secrets/token > /secret.sum; stat -c '%U %a' /run/secrets/token > /secret.mode"], { secrets: [{ mountPath: "/run/secrets/token", secret: "NPM_TOKEN" }] });`;
    const files = { "files/a.txt": "from another image" };
    builtImage(await build(project(images(1), files)));
    const played = await build(project(images(2), files));
    builtImage(played);
    const said = await run(
      played,
      "cat /counted /copied/a.txt /secret.mode; cut -c1-64 /secret.sum; ls -A /cache | wc -l; ls /run/secrets 2>&1 | wc -l",
    );
    const sum = createHash("sha256").update(secret).digest("hex");
    expect(said.split("\n")).toEqual(["1", "2", "from another imageroot 400", sum, "0", expect.any(String), ""]);
    expect(played.log).toContain("***");
    const stored = [...plane.imageSteps.values(), ...plane.imagePlaces.values(), ...plane.builds, ...plane.buildEvents];
    expect(JSON.stringify(stored)).not.toContain(secret);
    expect(await findInArtifacts(secret)).toEqual([]);
    expect(await findInArtifacts("from another image")).not.toEqual([]);
  });

  test(
    "a command that fails ends the deployment with its output; an image without node says what to add",
    { timeout: 300_000 },
    async () => {
      const failed = await build(project(`const tools = image("tools").from("${base}").run(["sh", "-c", "echo about to fail; exit 3"]);`));
      const message = expect.stringMatching(/image "tools", step 2 \(run sh.*code 3.*about to fail/s);
      expect(failed.result).toMatchObject({ status: "failed", failure: { kind: "image_failed", message } });
      const bare = await build(project(`const tools = image("tools").from("scratch-like:1");`));
      expect(bare.result).toMatchObject({ status: "failed", failure: { message: expect.stringMatching(/has no node.*Begin with/s) } });
    },
  );
});

/** Minutes under emulation, and the network: asked for with HELMR_TEST_IMAGE_TOOLS=1. */
describe.runIf(process.env["HELMR_TEST_IMAGE_TOOLS"] === "1")("tools of the world", () => {
  test("by apt, by npm with a cache mount, by bun with its lock file", { timeout: 1_800_000 }, async () => {
    const lock = JSON.stringify({
      lockfileVersion: 1,
      workspaces: { "": { name: "b", dependencies: { "is-odd": "3.0.1" } } },
      packages: bunPackages,
    });
    const images = `const tools = image("tools").from("${base}")
  .run(["sh", "-ec", "apt-get update -q && apt-get install -y -q --no-install-recommends jq && rm -rf /var/lib/apt/lists/*"])
  .run(["sh", "-ec", "cd /opt && npm init -y >/dev/null && npm install --cache /cache is-number@7.0.0 && ls /cache > /opt/cached"], { cache: [{ mountPath: "/cache", cache: cache("npm") }] })
  .run(["npm", "install", "-g", "bun@1.2.2"])
  .copy("/bunny/", source.directory("bunny")).workdir("/bunny").run(["bun", "install", "--frozen-lockfile"]);`;
    const files = { "bunny/package.json": JSON.stringify({ name: "b", dependencies: { "is-odd": "3.0.1" } }), "bunny/bun.lock": lock };
    const played = await build(project(images, files), { timeout_ms: 1_700_000 });
    builtImage(played);
    const said = await run(played, "jq --version; ls /opt/node_modules /bunny/node_modules; cat /opt/cached");
    expect(said).toMatch(/^jq-1\.6\n/);
    for (const part of ["is-number", "is-odd", "_cacache"]) expect(said).toContain(part);
  });
});

/** What the control plane of the test was given. */
const blobs: BlobPort = {
  get: (key, { range }) => Promise.resolve(plane.blobs.get(key)?.subarray(range?.start, range?.end) ?? Buffer.alloc(0)),
  put: () => Promise.reject(new TypeError("nothing is stored here")),
};

/** Keys of the steps in whose disks a text stands. */
async function findInArtifacts(text: string): Promise<string[]> {
  const found: string[] = [];
  const access = { keys: tenantKeys(storage), blobs, signal: AbortSignal.timeout(120_000) };
  for (const { artifact, key } of plane.imageSteps.values()) {
    const held = await real.host.bases.acquire(artifact, access);
    if (await standsIn(held.path, text)) found.push(key);
    held.release();
  }
  return found;
}

/** Only where the file has data: a disk is 16 GiB of mostly nothing. */
async function standsIn(path: string, text: string): Promise<boolean> {
  await using file = await open(path, "r");
  const buffer = Buffer.alloc(4 * 1024 * 1024 + text.length);
  for (const { start, end } of await dataExtents(path)) {
    for (let at = start; at < end; at += buffer.length - text.length) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - at + text.length), at);
      if (buffer.subarray(0, bytesRead).includes(text)) return true;
    }
  }
  return false;
}
