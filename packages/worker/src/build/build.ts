/**
 * One leased deployment build: source and machine side by side, the build in the guest, its tree as an artifact, the completion.
 *
 *   preparing ──▶ dependencies (unless cached) ──▶ building ──▶ storing ──▶ images ──▶ completed
 *
 *   built        the guest says so: the disk is stored and named
 *   failed       the project is wrong, or took too long: another attempt would end the same way
 *   interrupted  anything of ours went wrong: another attempt may help
 *
 * A lost lease kills the machine first and says nothing more. A build does not outlive its worker: it begins again elsewhere.
 */
import { createReadStream } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type BuildFailure, buildResult, firstDynamicStream, guestStreams, type ProjectIndex } from "@helmr/protocol/guest";
import type { ArtifactRef, BuildLease, WorkerBody } from "@helmr/protocol/worker";
import { assert } from "../assert.ts";
import { tenantKeys } from "../chunks/sealing.ts";
import { GrantedBlobs } from "../control/blob-grants.ts";
import type { HeldLease } from "../control/held-lease.ts";
import { LayeredDisk, type StoredDisk } from "../disks/layered-disk.ts";
import {
  acquireTemplate,
  attachGuest,
  cleanUp,
  type GuestMachine,
  type MachinePlan,
  shapeOf,
  startMachine,
} from "../guest/guest-machine.ts";
import { Cleanup } from "../host/cleanup.ts";
import { ImageBuilder } from "../images/image-builder.ts";
import { ImageError } from "../images/image-error.ts";
import { StepCache } from "../images/step-cache.ts";
import type { HeldTemplate } from "../templates/template-store.ts";
import type { WantedTemplate } from "../templates/warm-templates.ts";
import { emptyDisk } from "../run/run-disks.ts";
import { errorText } from "../telemetry.ts";
import type { MachineExit } from "../vm/driver.ts";
import type { WorkerHost } from "../worker-host.ts";
import type { Access, Base } from "../workspace/base-store.ts";
import { BuildEvents } from "./build-events.ts";
import { fetchSource, SourceUnavailable } from "./build-source.ts";
import { type DependencyInputs, dependencyInputs, explainInstall, installKey } from "./dependency-inputs.ts";

type BuildOutcome = WorkerBody<"buildComplete">["result"];

const MiB = 1024 * 1024;
/** Where the task tree is mounted, in the build guest as later in every guest of the deployment. */
const taskTreePath = "/opt/helmr-task";
/** Of the installed dependencies in the cache of steps: what they are compared with when they are not found. */
const dependencyPlace = "dependencies";

/** One machine of a build: the dependencies alone, or the whole of it over them. */
interface GuestPass {
  access: Access;
  source: string;
  name: "dependencies" | "tree";
  cleanup: Cleanup;
  /** With the dependencies in it; undefined: they are installed now. */
  ground: Base | undefined;
}

export class Build {
  private readonly host: WorkerHost;
  private readonly held: HeldLease;
  private readonly lease: BuildLease;
  private readonly directory: string;
  private readonly cleanup = new Cleanup();
  private readonly events: BuildEvents;
  private readonly stopping = new AbortController();
  private readonly startedAt = performance.now();
  private guest: GuestMachine | undefined;
  private exit: MachineExit | undefined;
  private template: HeldTemplate | undefined;
  private stored: { tree: LayeredDisk; disk: StoredDisk } | undefined;
  /** What the deployment's runs will want. */
  readonly warm: WantedTemplate[] = [];
  private readonly builtImages = new Map<string, ArtifactRef>();
  /** Dependencies that are to be installed. */
  private wanted: DependencyInputs | undefined;
  private cancelled: string | undefined;
  private interrupted: string | undefined;

  constructor(host: WorkerHost, held: HeldLease) {
    assert(held.lease.kind === "build", `Lease ${held.id} is no build lease`);
    this.host = host;
    this.held = held;
    this.lease = held.lease;
    this.directory = join(host.leasesDirectory, held.id);
    this.events = new BuildEvents({
      client: host.client,
      held,
      deploymentId: this.lease.deployment.id,
    });
  }

  /** This worker ends: the build begins again elsewhere. */
  interrupt(message: string): void {
    this.interrupted = message;
    this.stopping.abort();
  }

  /** Runs to the end and cleans up. Never rejects. */
  async execute(): Promise<void> {
    this.held.lost.addEventListener("abort", () => this.stopping.abort(), { once: true });
    this.held.onDirective((directive) => {
      if (directive.type !== "cancel") return;
      this.cancelled = directive.reason;
      this.stopping.abort();
    });
    let state = "failed";
    try {
      await mkdir(this.directory, { recursive: true, mode: 0o711 });
      await this.cleanup.add("lease directory", () => rm(this.directory, { recursive: true, force: true }));
      const outcome = await this.work().catch((error: unknown) => this.outcomeOf(error));
      state = await this.complete(outcome);
    } catch (error) {
      this.host.telemetry("background.failed", { what: `build ${this.lease.deployment.id}`, message: errorText(error) });
    } finally {
      await cleanUp(this.host, this.cleanup, `build ${this.lease.deployment.id}`);
    }
    this.host.telemetry("lease.finished", { leaseId: this.held.id, state, ms: Math.round(performance.now() - this.startedAt) });
  }

  private async work(): Promise<BuildOutcome> {
    const { host, held, lease, directory } = this;
    const { deployment } = lease;
    const signal = AbortSignal.any([this.stopping.signal, AbortSignal.timeout(deployment.timeout_ms)]);
    const blobs = new GrantedBlobs(host.client, { leaseId: held.id, fence: lease.fence, deadline: held.deadline });
    const access: Access = { keys: tenantKeys(lease.storage), blobs, signal };
    const source = join(directory, "source.tar");
    await bothDone(fetchSource(host.client, { held, lease }, { path: source, signal }), this.prepare(access));
    this.wanted = await dependencyInputs(source, signal);
    const ground = await this.dependencies(access, source);
    const { answer, tree } = await this.inGuest({ access, source, name: "tree", cleanup: this.cleanup, ground });
    const parsed = buildResult.safeParse(answer);
    if (!parsed.success)
      return { status: "interrupted", message: `The build guest answered something else: ${parsed.error.message.slice(0, 1000)}` };
    this.events.endLog();
    if (parsed.data.status === "failed") return parsed.data;
    if (parsed.data.status !== "built") return { status: "interrupted", message: `The build guest answered ${parsed.data.status}` };
    // The guest has trimmed and frozen the tree: the machine may go, the disk is what it will be.
    await this.guest?.machine.stop();
    this.events.say("deployment.storing", "Storing the task tree");
    const stored = await tree.store(host.artifacts, { ...access, signal: this.stopping.signal }, "small");
    this.stored = { tree, disk: stored };
    const images = await this.buildImages(parsed.data.index, { access, source });
    return { status: "built", index: parsed.data.index, task_tree: stored.artifact, images };
  }

  private async buildImages(index: ProjectIndex, { access, source }: { access: Access; source: string }) {
    const { host, held, lease, directory, events, template, wanted } = this;
    const used = index.sandboxes.flatMap((sandbox) => (sandbox.image === undefined ? [] : [sandbox.image]));
    if (used.length === 0) return [];
    assert(template !== undefined, "A build has the template of its machines");
    const untilMs = this.startedAt + lease.deployment.timeout_ms;
    const parts = { host, held, lease, directory, template, events, access, source, untilMs, dependencies: wanted };
    const built = await new ImageBuilder(parts, index.images).build(used);
    for (const { artifact } of built) this.builtImages.set(artifact.digest, artifact);
    return built.map(({ completed }) => completed);
  }

  private async prepare(access: Access): Promise<void> {
    const onWait = () => this.events.say("deployment.preparing", "Preparing a build machine: the first build on this worker takes longer");
    this.template = await acquireTemplate(this.host, this.lease, { access, cleanup: this.cleanup, onWait });
  }

  /** The tree with the project's dependencies, of an earlier build or made now; undefined when they are installed by the build itself. */
  private async dependencies(access: Access, source: string): Promise<Base | undefined> {
    const { host, held, lease, events, wanted } = this;
    if (wanted?.isShared !== true) return undefined;
    const cache = new StepCache({ client: host.client, held, deploymentId: lease.deployment.id });
    // The image's directory is named after what it is made of.
    const inputs = { ...wanted.inputs, image: basename(dirname(host.builtInImage)) };
    const key = installKey(inputs);
    const { byKey, previous } = await cache.find([{ key, place: dependencyPlace }]);
    const found = byKey.get(key);
    if (found !== undefined) {
      events.say("deployment.dependencies", "dependencies: cached", { cached: true });
      return this.holdGround(found.artifact, access);
    }
    const began = performance.now();
    const cleanup = new Cleanup();
    try {
      const { answer, tree } = await this.inGuest({ access, source, name: "dependencies", cleanup, ground: undefined });
      events.endLog();
      // What is wrong with the project is said by the build itself.
      if (buildResult.safeParse(answer).data?.status !== "installed") return undefined;
      await this.guest?.machine.stop();
      const stored = await tree.store(host.artifacts, access, "small");
      const kept = await cache.keep({
        key,
        place: dependencyPlace,
        inputs,
        artifact: stored.artifact,
        config: { env: {}, workdir: "", user: "" },
      });
      if (kept.artifact.artifact_id === stored.artifact.artifact_id) await this.keep(tree, stored);
      const ms = Math.round(performance.now() - began);
      const reason = explainInstall(inputs, previous.get(dependencyPlace));
      const size = `${(stored.newBytes / MiB).toFixed(1)} MiB stored`;
      events.say("deployment.dependencies", `dependencies: ${(ms / 1000).toFixed(1)} s, ${size} (not cached: ${reason})`, {
        cached: false,
        ms,
        bytes: stored.newBytes,
        reason,
      });
      return await this.holdGround(kept.artifact, access);
    } finally {
      await cleanUp(host, cleanup, `dependencies of build ${lease.deployment.id}`);
    }
  }

  /** Held twice: it stays a base of its own when the finished tree moves on from it. */
  private async holdGround(artifact: ArtifactRef, access: Access): Promise<Base> {
    const kept = await this.host.bases.acquire(artifact, access);
    await this.cleanup.add("dependencies", () => kept.release());
    return this.host.bases.acquire(artifact, access);
  }

  /** One machine with the source and a tree to write; it still runs when this resolves. */
  private async inGuest(pass: GuestPass): Promise<{ answer: unknown; tree: LayeredDisk }> {
    const tree = await this.boot(pass);
    return { answer: await this.buildInGuest(pass), tree };
  }

  private async boot({ access, name, cleanup, ground }: GuestPass): Promise<LayeredDisk> {
    const { host, lease, template } = this;
    assert(template !== undefined, "A build has the template of its machines");
    const directory = join(this.directory, name);
    await mkdir(directory, { mode: 0o711 });
    const path = join(directory, "tree.qcow2");
    const sizeBytes = lease.needs.disk_mib * MiB;
    const workspace =
      ground === undefined
        ? await emptyDisk(host, "workspace", { path, sizeBytes })
        : await LayeredDisk.create({
            path,
            sizeBytes: Math.max(sizeBytes, (await stat(ground.path)).size),
            ground: { kind: "base", base: ground },
          });
    await cleanup.add("tree", () => workspace.release());
    const scratch = await emptyDisk(host, "scratch", {
      path: join(directory, "scratch.qcow2"),
      sizeBytes: Math.max(host.scratchMib, lease.needs.disk_mib) * MiB,
    });
    await cleanup.add("scratch disk", () => scratch.release());
    const disks = { scratch, workspace, task: undefined };
    const plan = this.plan(directory);
    const guest = await startMachine(host, plan, { template, disks, cleanup, signal: access.signal });
    this.guest = guest;
    // A machine that dies, or a guest that breaks its protocol, ends whatever is waited for.
    void guest.machine.exited.then((exit) => {
      this.exit = exit;
      guest.link.abandon();
    });
    this.stopping.signal.addEventListener("abort", () => guest.link.abandon(), { once: true });
    await attachGuest(host, plan, { link: guest.link, disks });
    return workspace;
  }

  private async buildInGuest({ access, source, name, ground }: GuestPass): Promise<unknown> {
    const { lease, events } = this;
    assert(this.guest !== undefined, "A build runs in an attached guest");
    const { link } = this.guest;
    events.beginLog((offset) => link.acknowledge(guestStreams.buildLog, offset));
    link.receiveStream(guestStreams.buildLog, { data: (data) => events.log(data), end: () => events.endLog() });
    link.on("build.phase", ({ phase, message }) => events.say("deployment.phase", message, { phase }));
    const timeoutMs = Math.max(1_000, Math.round(lease.deployment.timeout_ms - (performance.now() - this.startedAt)));
    const answer = link.request(
      {
        type: "build.start",
        sourceStream: firstDynamicStream,
        sourceBytes: lease.deployment.source_bytes,
        installDependencies: ground === undefined,
        ...(name === "dependencies" ? { only: name } : {}),
        timeoutMs,
      },
      timeoutMs + this.host.limits.guestSlackMs,
    );
    // A guest that has seen enough stops the stream, and its answer says why.
    link.sendStream(firstDynamicStream, createReadStream(source)).catch(() => {});
    access.signal.throwIfAborted();
    return answer;
  }

  private outcomeOf(error: unknown): BuildOutcome {
    if (this.cancelled !== undefined)
      return { status: "failed", failure: { kind: "bad_request", message: `The build was cancelled: ${this.cancelled}` } };
    if (this.interrupted !== undefined) return { status: "interrupted", message: this.interrupted };
    if (error instanceof SourceUnavailable && error.code === "lease_stale") this.held.lose("stale");
    if (error instanceof ImageError && !error.retryable)
      return { status: "failed", failure: { kind: imageFailures[error.code] ?? "image_failed", message: error.message } };
    // Whatever broke when the time was over: another attempt would take as long.
    if (performance.now() - this.startedAt >= this.lease.deployment.timeout_ms)
      return {
        status: "failed",
        failure: { kind: "timeout", message: `The build took longer than ${Math.round(this.lease.deployment.timeout_ms / 1000)} s` },
      };
    const exit = this.exit === undefined ? "" : ` (machine: ${this.exit.reason})`;
    return { status: "interrupted", message: `${errorText(error)}${exit}`.slice(0, 4096) };
  }

  private async complete(result: BuildOutcome): Promise<string> {
    const { host, held, lease, events } = this;
    if (held.lost.aborted) return "lost";
    await events.drain();
    const body = { ...held.fenced, report_through: events.last, result };
    const answer = await host.client.call("buildComplete", body, { id: lease.deployment.id, deadline: held.deadline, signal: held.lost });
    if (answer.kind === "ok") {
      if (answer.value.state === "deployed") await this.keepTree();
      for (const { image, ...needs } of answer.value.warm ?? []) {
        const artifact = this.builtImages.get(image);
        if (artifact !== undefined) this.warm.push({ image, artifact, shape: shapeOf(needs) });
      }
      return answer.value.state;
    }
    if (answer.kind === "stale") held.lose("stale");
    if (answer.kind !== "stale" && answer.kind !== "lost")
      host.telemetry("background.failed", { what: `completion of build ${lease.deployment.id}`, message: JSON.stringify(answer) });
    return answer.kind;
  }

  /** The first run of the deployment on this host finds its tree. */
  private async keepTree(): Promise<void> {
    if (this.stored === undefined) return;
    await this.keep(this.stored.tree, this.stored.disk);
  }

  private async keep(tree: LayeredDisk, disk: StoredDisk): Promise<void> {
    const { org_id: orgId } = this.lease.storage;
    try {
      await tree.advance(this.host.bases, orgId, disk);
      await this.host.artifacts.learn(orgId, disk.manifest);
    } catch (error) {
      this.host.telemetry("background.failed", { what: "local base of a task tree", message: errorText(error) });
    }
  }

  private plan(directory: string): MachinePlan {
    const { held, lease } = this;
    const { image, network, deployment } = lease;
    return { held, directory, image, network, hostname: `build-${deployment.id.slice(-12)}`, workspacePath: taskTreePath };
  }
}

const imageFailures: Partial<Record<ImageError["code"], BuildFailure["kind"]>> = {
  step_timeout: "timeout",
  step_out_of_memory: "out_of_memory",
  dependencies_failed: "dependencies_failed",
};

/** Waits for both, also when one fails. */
async function bothDone<A, B>(left: Promise<A>, right: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([left, right]);
  if (a.status === "rejected") throw a.reason;
  if (b.status === "rejected") throw b.reason;
  return [a.value, b.value];
}
