/**
 * Builds the images of a deployment (sdk §2.2), step by step.
 *
 *   plan ──▶ keys of all steps ──▶ what is in the cache ──▶ from the last step that is, on: one machine per step, its disk stored and kept
 *
 * Each step's result is a disk of its own in the chunk store, a difference to the one before; so any worker of the project goes on from
 * wherever another one was. Images that are copied from are built first. Said for each step: cached or made, time, size, why not cached.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { ImageDeclaration, ImageStepResult, ProjectIndex } from "@helmr/protocol/guest";
import { firstDynamicStream } from "@helmr/protocol/guest";
import type { ArtifactRef, BuildLease, StoredImageStep, WorkerBody } from "@helmr/protocol/worker";
import { required } from "../assert.ts";
import type { BuildEvents } from "../build/build-events.ts";
import type { DependencyInputs } from "../build/dependency-inputs.ts";
import type { HeldLease } from "../control/held-lease.ts";
import { dataExtents } from "../disks/data-extents.ts";
import { LayeredDisk } from "../disks/layered-disk.ts";
import type { HeldTemplate } from "../templates/template-store.ts";
import type { WorkerHost } from "../worker-host.ts";
import type { Access, Base } from "../workspace/base-store.ts";
import { type BaseImage, findBaseImage } from "./base-image.ts";
import { BuildSecrets } from "./build-secrets.ts";
import { ImageError, type ImageErrorCode } from "./image-error.ts";
import { type FoundSteps, StepCache } from "./step-cache.ts";
import { SourceArchive } from "./steps/source-archive.ts";
import { baseKey, explainMiss, type KeyedStep, stepKey } from "./steps/step-keys.ts";
import { runStep, type StepMachine } from "./steps/step-machine.ts";
import { baseOf, finished, type ImagePlan, planImage, type PlannedStep } from "./steps/step-plan.ts";

export interface ImageBuildParts {
  host: WorkerHost;
  held: HeldLease;
  lease: BuildLease;
  directory: string;
  template: HeldTemplate;
  events: BuildEvents;
  access: Access;
  /** The source archive of the deployment. */
  source: string;
  /** performance.now() when the whole build must be over. */
  untilMs: number;
  /** Of the project; undefined: it has none but the SDK. */
  dependencies: DependencyInputs | undefined;
}

interface BuiltImage {
  artifact: ArtifactRef;
  /** As it is told to the control plane. */
  completed: Extract<WorkerBody<"buildComplete">["result"], { status: "built" }>["images"][number];
}

interface KeyedPlanStep {
  /** Of a `from`: what its name stood for. */
  baseDigest?: string;
  planned: PlannedStep | undefined;
  number: number;
  shown: string;
  keyed: KeyedStep;
}

/** What is told of a step. */
interface Said extends Pick<KeyedPlanStep, "number" | "shown" | "baseDigest"> {
  cached: boolean;
  ms?: number;
  bytes?: number;
  reason?: string;
  detail?: string | undefined;
}

interface FinishedImage {
  base: BaseImage;
  keyed: KeyedStep;
  stored: StoredImageStep;
  plan: ImagePlan;
}

/** A check of an image without a step of its own: `node --version`. */
const checkMs = 60_000;
const oldestNode = 20;
const lastWordsMs = 5_000;

export class ImageBuilder {
  private readonly parts: ImageBuildParts;
  private readonly secrets: BuildSecrets;
  private readonly cache: StepCache;
  private readonly images: ProjectIndex["images"];
  private readonly finished = new Map<string, Promise<FinishedImage>>();
  private sourceArchive: Promise<SourceArchive> | undefined;
  private machines = 0;

  constructor(parts: ImageBuildParts, images: ProjectIndex["images"]) {
    this.parts = parts;
    this.images = images;
    const { client } = parts.host;
    const asked = { client, held: parts.held, deploymentId: parts.lease.deployment.id };
    this.secrets = new BuildSecrets(asked);
    this.cache = new StepCache(asked);
  }

  /** Those that sandboxes use, one after the other: a build has one machine. */
  async build(used: readonly string[]): Promise<BuiltImage[]> {
    const built: BuiltImage[] = [];
    for (const key of new Set(used)) {
      const finishedImage = await this.image(key, []);
      const { plan } = finishedImage;
      const node = finishedImage.stored.config.node ?? (await this.checkNode(finishedImage.stored, plan));
      this.requireNode(key, node, plan);
      const stored = await this.withDependencies(key, finishedImage);
      const { artifact } = stored;
      built.push({ artifact, completed: { image: key, digest: artifact.digest, artifact_id: artifact.artifact_id, config: plan.config } });
    }
    return built;
  }

  /** The project's dependencies, installed by the image's own Node; not for images that are only copied from. */
  private async withDependencies(image: string, { base, keyed, stored, plan }: FinishedImage): Promise<StoredImageStep> {
    const { dependencies, lease } = this.parts;
    if (dependencies === undefined) return stored;
    const number = plan.total + 1;
    const shown = `dependencies by ${dependencies.manager}`;
    const planned: PlannedStep = { number, shown, step: { kind: "dependencies" }, config: plan.config };
    const content = { parent: keyed, environmentId: lease.deployment.environment_id, dependencies: dependencies.inputs };
    const step: KeyedPlanStep = { planned, number, shown, keyed: stepKey(planned, content) };
    const whole = { ...plan, total: number };
    const found = await this.cache.find([{ key: step.keyed.key, place: placeOf(image, number) }]);
    const known = found.byKey.get(step.keyed.key);
    if (known === undefined) return this.perform({ image, plan: whole, step, found, base, below: stored });
    this.say(image, whole, { number, shown, cached: true });
    return known;
  }

  private image(key: string, above: readonly string[]): Promise<FinishedImage> {
    const declaration = this.images[key];
    if (declaration === undefined) throw new ImageError("step_invalid", `image "${key}" is not declared`);
    if (above.includes(key))
      throw new ImageError("step_invalid", `images copy from each other in a cycle: ${[...above, key].join(" from ")}`);
    const known = this.finished.get(key) ?? this.make(key, declaration, [...above, key]);
    this.finished.set(key, known);
    return known;
  }

  private async make(key: string, declaration: ImageDeclaration, above: readonly string[]): Promise<FinishedImage> {
    const { host, lease, access } = this.parts;
    const base = await findBaseImage(host, baseOf(declaration).ref, {
      environmentId: lease.deployment.environment_id,
      credentials: () => this.secrets.registryCredentials(),
      signal: access.signal,
    });
    const plan = planImage(declaration, base);
    const steps = await this.keySteps(plan, { base, above });
    const found = await this.cache.find(steps.map(({ keyed, number }) => ({ key: keyed.key, place: placeOf(key, number) })));
    const last = steps.findLastIndex(({ keyed }) => found.byKey.has(keyed.key));
    for (const step of steps.slice(0, last + 1)) this.say(key, plan, { ...step, cached: true });
    let stored = last < 0 ? undefined : found.byKey.get(steps[last]?.keyed.key ?? "");
    for (const step of steps.slice(last + 1)) stored = await this.perform({ image: key, plan, step, found, base, below: stored });
    return { base, keyed: required(steps.at(-1), "An image has a base").keyed, stored: required(stored, "An image has a step"), plan };
  }

  private async keySteps(plan: ImagePlan, { base, above }: { base: BaseImage; above: readonly string[] }): Promise<KeyedPlanStep[]> {
    const { host, lease, access } = this.parts;
    let parent = baseKey({ digest: base.digest, architecture: host.images.architecture, diskBytes: host.images.limits.diskBytes });
    const from = { planned: undefined, number: plan.from.number, shown: plan.from.shown, keyed: parent, baseDigest: base.digest };
    const steps: KeyedPlanStep[] = [from];
    for (const planned of plan.steps) {
      const { step } = planned;
      const content = { parent, environmentId: lease.deployment.environment_id };
      if (step.kind === "copy") {
        const { digest } = (await this.archive()).select(step.source, access.signal);
        parent = stepKey(planned, { ...content, sourceDigest: digest });
      } else if (step.kind === "copyFrom") parent = stepKey(planned, { ...content, image: (await this.image(step.image, above)).keyed });
      else parent = stepKey(planned, content);
      steps.push({ planned, number: planned.number, shown: planned.shown, keyed: parent });
    }
    return steps;
  }

  /** One at a time for each key on this worker: whoever comes second finds it in the cache. */
  private async perform(work: {
    image: string;
    plan: ImagePlan;
    step: KeyedPlanStep;
    found: FoundSteps;
    base: BaseImage;
    below: StoredImageStep | undefined;
  }): Promise<StoredImageStep> {
    const { host, lease, access } = this.parts;
    const { image, plan, step } = work;
    const { making } = host.images;
    const joined = `${lease.deployment.project_id} ${step.keyed.key}`;
    for (let running = making.get(joined); running !== undefined; running = making.get(joined)) {
      await running;
      access.signal.throwIfAborted();
      const found = (await this.cache.find([{ key: step.keyed.key, place: placeOf(image, step.number) }])).byKey.get(step.keyed.key);
      if (found === undefined) continue;
      this.say(image, plan, { ...step, cached: true });
      return found;
    }
    let finish: () => void = () => {};
    making.set(joined, new Promise((resolve) => (finish = resolve)));
    try {
      const began = performance.now();
      const previous = work.found.previous.get(placeOf(image, step.number));
      const made = step.planned === undefined ? await this.makeBase(work) : await this.makeStep({ ...work, planned: step.planned });
      const reason = explainMiss(step.keyed.inputs, previous);
      this.say(image, plan, {
        ...step,
        cached: false,
        ms: Math.round(performance.now() - began),
        bytes: made.newBytes,
        reason,
        detail: made.detail,
      });
      return made.stored;
    } finally {
      making.delete(joined);
      finish();
    }
  }

  private async makeBase({ image, step, base }: { image: string; step: KeyedPlanStep; base: BaseImage }) {
    const { host, access, directory } = this.parts;
    this.parts.events.say("deployment.phase", `image "${image}": fetching ${base.shown}`, { image, phase: "pulling" });
    const target = join(directory, `base-${step.keyed.key.slice(7, 23)}.raw`);
    try {
      const detail = await base.fetch(target, access.signal);
      const { diskBytes } = host.images.limits;
      const source = { kind: "raw" as const, path: target, lengthBytes: diskBytes, extents: await dataExtents(target) };
      const { artifact, manifest, newBytes } = await host.artifacts.store({ source, compression: "small", ...access });
      const { orgId } = access.keys;
      await host.bases.adopt({ orgId, digest: artifact.digest, manifest }, target);
      const config = finished(base.config);
      const probe: StoredImageStep = { key: step.keyed.key, artifact, config };
      const node = await this.probeNode(probe, config);
      const stored = await this.keep(image, step, { artifact, config, node });
      await host.artifacts.learn(orgId, manifest);
      return { stored, newBytes, detail };
    } finally {
      await rm(target, { force: true });
    }
  }

  private async makeStep(work: { image: string; step: KeyedPlanStep; planned: PlannedStep; below: StoredImageStep | undefined }) {
    const { host, access, directory, lease } = this.parts;
    const { image, step, planned } = work;
    const below = required(work.below, "A step has one before it");
    const base = await host.bases.acquire(below.artifact, access);
    // Held twice: the disk of the step before stays a base of its own, for the next build.
    const kept = await host.bases.acquire(below.artifact, access);
    this.machines += 1;
    const disk = await LayeredDisk.create({
      path: join(directory, `step-${this.machines}.qcow2`),
      sizeBytes: below.artifact.length_bytes,
      ground: { kind: "base", base },
    });
    try {
      const result = await this.runWork(planned, { image, disk });
      if (result.status === "failed") throw this.failure(image, planned, result);
      const stored = await disk.store(host.artifacts, access, "small");
      const own = await this.keep(image, step, { artifact: stored.artifact, config: finished(planned.config), node: result.nodeVersion });
      if (own.artifact.artifact_id === stored.artifact.artifact_id) {
        await disk.advance(host.bases, lease.storage.org_id, stored);
        await host.artifacts.learn(lease.storage.org_id, stored.manifest);
      }
      return { stored: own, newBytes: stored.newBytes, detail: result.note };
    } finally {
      await disk.release();
      kept.release();
    }
  }

  private async runWork({ step, config }: PlannedStep, on: { image: string; disk: LayeredDisk }): Promise<ImageStepResult> {
    const { host, lease, access } = this.parts;
    const machine = { config: finished(config), image: on.disk };
    if (step.kind === "run") {
      const values = await this.secrets.values(step.secrets.map(({ secret }) => secret));
      const caches = await host.images.caches.acquire(
        lease.deployment.project_id,
        step.caches.map(({ id }) => id),
        access.signal,
      );
      try {
        return await this.start({
          ...machine,
          caches: step.caches.map(({ mountPath, id }) => ({ mountPath, disk: required(caches.get(id), "Every cache was acquired") })),
          step: {
            kind: "run",
            argv: step.argv,
            secrets: step.secrets.map(({ mountPath, secret }) => ({ path: mountPath, value: values.get(secret) ?? "" })),
          },
        });
      } finally {
        for (const cache of caches.values()) cache.release();
      }
    }
    if (step.kind === "copyFrom") {
      const { stored } = await this.image(step.image, [on.image]);
      const source: Base = await host.bases.acquire(stored.artifact, access);
      try {
        return await this.start({
          ...machine,
          caches: [],
          copyFrom: source.path,
          step: { kind: "copyFrom", destination: step.destination, source: step.source },
        });
      } finally {
        source.release();
      }
    }
    const archive = await this.archive();
    if (step.kind === "dependencies") {
      const whole = archive.select({ kind: "directory", path: "", ignore: [] }, access.signal);
      return this.start({
        ...machine,
        // Whoever runs in the image may read them; nobody but root may change them.
        config: { ...machine.config, user: "root" },
        caches: [],
        step: { kind: "dependencies", stream: firstDynamicStream, bytes: whole.bytes },
        input: () => whole.stream(),
      });
    }
    const selection = archive.select(step.source, access.signal);
    return this.start({
      ...machine,
      caches: [],
      step: {
        kind: "copy",
        destination: step.destination,
        stream: firstDynamicStream,
        bytes: selection.bytes,
        ...(selection.file === undefined ? {} : { file: selection.file }),
      },
      input: () => selection.stream(),
    });
  }

  private start(
    work: Pick<StepMachine, "config" | "image" | "caches" | "step" | "copyFrom" | "input">,
    limitMs = Infinity,
  ): Promise<ImageStepResult> {
    const { host, held, template, lease, events, access, directory, untilMs } = this.parts;
    this.machines += 1;
    const left = Math.round(untilMs - performance.now());
    if (left < 1_000) throw new ImageError("step_timeout", "The build ran out of time");
    return runStep({
      ...work,
      host,
      held,
      directory: join(directory, `step-${this.machines}`),
      template,
      network: lease.network,
      // It ends before the build does, so that its name and its last words are told.
      timeoutMs: Math.max(1_000, Math.min(left - lastWordsMs, limitMs)),
      signal: access.signal,
      log: {
        begin: (acknowledge) => events.beginLog(acknowledge, this.secrets.masker),
        data: (bytes) => events.log(bytes),
        end: () => events.endLog(),
      },
    });
  }

  private keep(
    image: string,
    step: KeyedPlanStep,
    made: { artifact: WorkerBody<"imageStepsKeep">["artifact"]; config: ImagePlan["config"]; node: string | undefined },
  ): Promise<StoredImageStep> {
    return this.cache.keep({
      key: step.keyed.key,
      place: placeOf(image, step.number),
      inputs: step.keyed.inputs,
      artifact: made.artifact,
      config: { ...made.config, ...(made.node === undefined ? {} : { node: made.node }) },
    });
  }

  private async probeNode(stored: StoredImageStep, config: ImagePlan["config"]): Promise<string | undefined> {
    const { host, access, directory } = this.parts;
    const base = await host.bases.acquire(stored.artifact, access);
    this.machines += 1;
    const path = join(directory, `check-${this.machines}.qcow2`);
    const disk = await LayeredDisk.create({ path, sizeBytes: stored.artifact.length_bytes, ground: { kind: "base", base } });
    try {
      const result = await this.start({ config, image: disk, caches: [], step: { kind: "check" } }, checkMs);
      return result.status === "done" ? result.nodeVersion : undefined;
    } finally {
      await disk.release();
    }
  }

  /** PATH or user may have been changed after the last step. */
  private checkNode(stored: StoredImageStep, plan: ImagePlan): Promise<string | undefined> {
    return this.probeNode(stored, plan.config);
  }

  private requireNode(image: string, version: string | undefined, plan: ImagePlan): void {
    const add = `Begin with .from("node:24-bookworm-slim"), or add .copyFrom("/usr/local/", image("node").from("node:24-bookworm-slim"), "/usr/local")`;
    const path = plan.config.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin";
    if (version === undefined)
      throw new ImageError("node_missing", `image "${image}" has no node that runs on its PATH (${path}), which tasks need. ${add}`);
    if (Number(version.split(".")[0]) < oldestNode)
      throw new ImageError("node_too_old", `image "${image}" has Node.js ${version}; tasks need ${oldestNode} or newer. ${add}`);
  }

  private failure(image: string, planned: PlannedStep, result: Extract<ImageStepResult, { status: "failed" }>): ImageError {
    const codes: Partial<Record<typeof result.reason, ImageErrorCode>> = {
      timeout: "step_timeout",
      out_of_memory: "step_out_of_memory",
      disk_full: "step_disk_full",
      dependencies_failed: "dependencies_failed",
    };
    const message = this.secrets.masker.maskText(result.message);
    return new ImageError(
      codes[result.reason] ?? "step_failed",
      `image "${image}", step ${planned.number} (${planned.shown}): ${message}`.slice(0, 60_000),
    );
  }

  private archive(): Promise<SourceArchive> {
    this.sourceArchive ??= SourceArchive.read(this.parts.source, this.parts.access.signal);
    return this.sourceArchive;
  }

  private say(image: string, plan: ImagePlan, step: Said): void {
    const { number, shown, cached, ms = 0, bytes = 0, reason, detail, baseDigest } = step;
    const size = `${(bytes / 1024 / 1024).toFixed(1)} MiB stored`;
    const what = cached
      ? "cached"
      : `${(ms / 1000).toFixed(1)} s, ${size}${detail === undefined ? "" : `, ${detail}`} (not cached: ${reason})`;
    this.parts.events.say(
      "deployment.image.step",
      `image "${image}" ${number}/${plan.total} ${this.secrets.masker.maskText(shown)}: ${what}`,
      {
        image,
        step: number,
        steps: plan.total,
        cached,
        ...(cached ? {} : { ms, bytes, reason }),
        ...(baseDigest === undefined ? {} : { base: plan.from.ref, base_digest: baseDigest }),
      },
    );
  }
}

function placeOf(image: string, number: number): string {
  return `${image} ${number}`.slice(-300);
}
