/** A worker that builds images in real machines from a real registry, against the control plane of the tests: what the tests of image builds share. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { guestCacheDirectory } from "@helmr/test/services/guest";
import type { BuildLease, RunLease } from "@helmr/protocol/worker";
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

export const sdk = ["@helmr", "sdk"].join("/");
export const base = "node:24-bookworm-slim";
const needs = { milli_cpu: 2000, memory_mib: 1024, disk_mib: 4096 };

export interface Played {
  result: NonNullable<TestControlPlane["builds"][number]>["result"];
  steps: { message: string; cached: boolean; reason: string | undefined; baseDigest: unknown }[];
  log: string;
}

export interface StartedBuild {
  held: HeldLease;
  /** Resolves when it has ended and cleaned up. */
  ended: Promise<Played>;
}

const task = `
export const hello = task({ id: "hello", sandbox: sandbox("box").image(tools), payload: anything, run: (payload: any) => {
  const out = execFileSync("sh", ["-c", payload.command], { encoding: "utf8" });
  return out;
} } as never);
`;

export class ImageBuilds {
  readonly plane: TestControlPlane;
  readonly real: RealHost;
  readonly registry: LocalRegistry;
  /** The same images behind a password; where a test asked for it. */
  readonly locked: LocalRegistry | undefined;
  private readonly root: string;
  private readonly storage = storageKeysOfTest();
  private readonly scope = buildLeaseOfTest({}, this.storage).deployment;

  private constructor(parts: {
    plane: TestControlPlane;
    real: RealHost;
    registry: LocalRegistry;
    locked: LocalRegistry | undefined;
    root: string;
  }) {
    this.plane = parts.plane;
    this.real = parts.real;
    this.registry = parts.registry;
    this.locked = parts.locked;
    this.root = parts.root;
  }

  /** The base image, and one with nothing in it, are in the registry. */
  static async open(name: string, options: { locked?: boolean } = {}): Promise<ImageBuilds> {
    const root = temporaryDirectory(name);
    const plane = await TestControlPlane.start();
    plane.binary = true;
    const directory = join(root, "registry");
    const registry = await localRegistry(directory);
    const locked = options.locked === true ? await localRegistry(directory, { auth: "basic" }) : undefined;
    const real = await realHost(plane, {
      images: {
        mirrors: `docker.io=${registry.url}`,
        registries: [registry, locked].flatMap((one) => (one === undefined ? [] : [one.url])).join(","),
      },
      allow: "deb.debian.org:80",
    });
    const tree = await baseTar(real.host.builtInImage, guestCacheDirectory());
    const empty = join(root, "empty.tar");
    writeFileSync(empty, Buffer.alloc(1024));
    const layout = join(root, "layout");
    const config = { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "FROM_BASE=yes"], WorkingDir: "/base" };
    await writeLayout(layout, [
      { tag: "base", layers: [tree], config },
      { tag: "empty", layers: [empty] },
    ]);
    registry.push(layout, "base", `library/${base}`);
    registry.push(layout, "empty", "library/scratch-like:1");
    return new ImageBuilds({ plane, real, registry, locked, root });
  }

  async close(): Promise<void> {
    await this.real.close();
    await this.registry.close();
    await this.locked?.close();
    await this.plane.api.close();
  }

  /** Source of a project with a task `hello` in the image `tools`. */
  project(images: string, files: Record<string, string> = {}): Buffer {
    const hash = createHash("sha256").update(images + JSON.stringify(files));
    const directory = join(this.root, `source-${hash.digest("hex").slice(0, 12)}`);
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

  build(source: Buffer, change: Partial<BuildLease["deployment"]> = {}): Promise<Played> {
    return this.start(source, change).ended;
  }

  start(source: Buffer, change: Partial<BuildLease["deployment"]> = {}): StartedBuild {
    const { plane, real, scope } = this;
    const lease = buildLeaseOfTest({ needs, ttl_ms: 3_600_000 }, this.storage);
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
    const ended = (async () => {
      await new Build(real.host, held).execute();
      held.release();
      return this.played();
    })();
    return { held, ended };
  }

  private played(): Played {
    const { plane, real } = this;
    const [completed] = plane.builds;
    if (completed === undefined) throw new TypeError(`The build said nothing: ${JSON.stringify(real.events.slice(-5))}`);
    const steps = plane.buildEvents
      .filter((event) => event.kind === "deployment.image.step")
      .map(({ message, attributes }) => ({
        message,
        cached: attributes["cached"] === true,
        reason: attributes["reason"] as string | undefined,
        baseDigest: attributes["base_digest"],
      }));
    return { result: completed.result, steps, log: this.log() };
  }

  /** What the build has said so far. */
  log(): string {
    return this.plane.buildEvents
      .filter((event) => event.kind === "deployment.log")
      .map((event) => event.message)
      .join("\n");
  }

  /** A run in the image that was built: what its command prints. */
  async run(played: Played, command: string): Promise<string> {
    const { plane, real } = this;
    const { image, result } = builtImage(played);
    const stored = [...plane.imageSteps.values()].find((step) => step.artifact.artifact_id === image.artifact_id);
    const lease: RunLease = runLeaseOfTest(
      { needs: { ...needs, milli_cpu: 1000 }, ttl_ms: 3_600_000, task_tree: result.task_tree },
      this.storage,
    );
    lease.image = { ref: image.digest, artifact: stored?.artifact ?? null, config: image.config };
    lease.run = { ...lease.run, task_id: "hello", module: result.index.tasks[0]?.module ?? "", export_name: "hello", payload: { command } };
    const held = new HeldLease(lease, performance.now());
    await new Run(real.host, held).execute();
    held.release();
    const end = plane.completions.find((completion) => completion.lease_id === lease.lease_id)?.end;
    if (end?.status !== "succeeded") throw new TypeError(`The run ended otherwise: ${JSON.stringify(end)} ${plane.text("stderr")}`);
    return String(end.output?.value);
  }

  /** Keys of the steps in whose disks a text stands. */
  async findInArtifacts(text: string): Promise<string[]> {
    const { plane, real } = this;
    const found: string[] = [];
    // What the control plane of the test was given.
    const blobs: BlobPort = {
      get: (key, { range }) => Promise.resolve(plane.blobs.get(key)?.subarray(range?.start, range?.end) ?? Buffer.alloc(0)),
      put: () => Promise.reject(new TypeError("nothing is stored here")),
    };
    const access = { keys: tenantKeys(this.storage), blobs, signal: AbortSignal.timeout(120_000) };
    for (const { artifact, key } of plane.imageSteps.values()) {
      const held = await real.host.bases.acquire(artifact, access);
      if (await standsIn(held.path, text)) found.push(key);
      held.release();
    }
    return found;
  }
}

export function builtImage({ result, log }: Played) {
  if (result.status !== "built") throw new TypeError(`The build ended otherwise: ${JSON.stringify(result)}\n${log.slice(-4000)}`);
  const [image] = result.images;
  if (image === undefined) throw new TypeError("No image was built");
  return { image, result };
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
