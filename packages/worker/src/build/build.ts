/**
 * One leased deployment build: source and machine side by side, the build in the guest, its tree as an artifact, the completion.
 *
 *   preparing ──▶ building ──▶ storing ──▶ completed
 *
 *   built        the guest says so: the disk is stored and named
 *   failed       the project is wrong, or took too long: another attempt would end the same way
 *   interrupted  anything of ours went wrong: another attempt may help
 *
 * A lost lease kills the machine first and says nothing more. A build does not outlive its worker: it begins again elsewhere.
 */
import { createReadStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type BuildFailure, buildResult, firstDynamicStream, guestStreams, type ProjectIndex } from "@helmr/protocol/guest";
import type { BuildLease, WorkerBody } from "@helmr/protocol/worker";
import { assert } from "../assert.ts";
import { tenantKeys } from "../chunks/sealing.ts";
import { GrantedBlobs } from "../control/blob-grants.ts";
import type { HeldLease } from "../control/held-lease.ts";
import type { LayeredDisk, StoredDisk } from "../disks/layered-disk.ts";
import { GuestSilent } from "../guest/guest-link.ts";
import { acquireTemplate, attachGuest, cleanUp, type GuestMachine, type MachinePlan, startMachine } from "../guest/guest-machine.ts";
import { Cleanup } from "../host/cleanup.ts";
import { ImageBuilder } from "../images/image-builder.ts";
import { ImageError } from "../images/image-error.ts";
import type { HeldTemplate } from "../templates/template-store.ts";
import { emptyDisk } from "../run/run-disks.ts";
import { errorText } from "../telemetry.ts";
import type { MachineExit } from "../vm/driver.ts";
import type { WorkerHost } from "../worker-host.ts";
import type { Access } from "../workspace/base-store.ts";
import { BuildEvents } from "./build-events.ts";
import { fetchSource, SourceUnavailable } from "./build-source.ts";

type BuildOutcome = WorkerBody<"buildComplete">["result"];

const MiB = 1024 * 1024;
/** Where the task tree is mounted, in the build guest as later in every guest of the deployment. */
const taskTreePath = "/opt/helmr-task";

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
    const [, tree] = await bothDone(fetchSource(host.client, { held, lease }, { path: source, signal }), this.boot(access));
    const answer = await this.buildInGuest(source, signal);
    const parsed = buildResult.safeParse(answer);
    if (!parsed.success)
      return { status: "interrupted", message: `The build guest answered something else: ${parsed.error.message.slice(0, 1000)}` };
    this.events.endLog();
    if (parsed.data.status === "failed") return parsed.data;
    // The guest has trimmed and frozen the tree: the machine may go, the disk is what it will be.
    await this.guest?.machine.stop();
    this.events.say("deployment.storing", "Storing the task tree");
    const stored = await tree.store(host.artifacts, { ...access, signal: this.stopping.signal }, "small");
    this.stored = { tree, disk: stored };
    const images = await this.buildImages(parsed.data.index, { access, source });
    return { status: "built", index: parsed.data.index, task_tree: stored.artifact, images };
  }

  private async buildImages(index: ProjectIndex, { access, source }: { access: Access; source: string }) {
    const { host, held, lease, directory, events, template } = this;
    const used = index.sandboxes.flatMap((sandbox) => (sandbox.image === undefined ? [] : [sandbox.image]));
    if (used.length === 0) return [];
    assert(template !== undefined, "A build has the template of its machines");
    const untilMs = this.startedAt + lease.deployment.timeout_ms;
    return new ImageBuilder({ host, held, lease, directory, template, events, access, source, untilMs }, index.images).build(used);
  }

  private async boot(access: Access): Promise<LayeredDisk> {
    const { host, lease, cleanup, directory } = this;
    const onWait = () => this.events.say("deployment.preparing", "Preparing a build machine: the first build on this worker takes longer");
    const template = await acquireTemplate(host, lease, { access, cleanup, onWait });
    this.template = template;
    const workspace = await emptyDisk(host, "workspace", { path: join(directory, "tree.qcow2"), sizeBytes: lease.needs.disk_mib * MiB });
    await cleanup.add("tree", () => workspace.release());
    const scratch = await emptyDisk(host, "scratch", {
      path: join(directory, "scratch.qcow2"),
      sizeBytes: Math.max(host.scratchMib, lease.needs.disk_mib) * MiB,
    });
    await cleanup.add("scratch disk", () => scratch.release());
    const disks = { scratch, workspace, task: undefined };
    const guest = await startMachine(host, this.plan(), { template, disks, cleanup, signal: access.signal });
    this.guest = guest;
    // A machine that dies, or a guest that breaks its protocol, ends whatever is waited for.
    void guest.machine.exited.then((exit) => {
      this.exit = exit;
      guest.link.abandon();
    });
    this.stopping.signal.addEventListener("abort", () => guest.link.abandon(), { once: true });
    await attachGuest(host, this.plan(), { link: guest.link, disks });
    return workspace;
  }

  private async buildInGuest(source: string, signal: AbortSignal): Promise<unknown> {
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
        installDependencies: true,
        timeoutMs,
      },
      timeoutMs + this.host.limits.guestSlackMs,
    );
    // A guest that has seen enough stops the stream, and its answer says why.
    link.sendStream(firstDynamicStream, createReadStream(source)).catch(() => {});
    signal.throwIfAborted();
    return answer;
  }

  private outcomeOf(error: unknown): BuildOutcome {
    if (this.cancelled !== undefined)
      return { status: "failed", failure: { kind: "bad_request", message: `The build was cancelled: ${this.cancelled}` } };
    if (this.interrupted !== undefined) return { status: "interrupted", message: this.interrupted };
    const { name } = error as Error;
    const late = name === "TimeoutError" || (error instanceof GuestSilent && error.code === "guest_silent");
    if (late && performance.now() - this.startedAt >= this.lease.deployment.timeout_ms)
      return {
        status: "failed",
        failure: { kind: "timeout", message: `The build took longer than ${Math.round(this.lease.deployment.timeout_ms / 1000)} s` },
      };
    if (error instanceof ImageError && !error.retryable)
      return { status: "failed", failure: { kind: imageFailures[error.code] ?? "image_failed", message: error.message } };
    if (error instanceof SourceUnavailable && error.code === "lease_stale") this.held.lose("stale");
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
    const { tree, disk } = this.stored;
    const { org_id: orgId } = this.lease.storage;
    try {
      await tree.advance(this.host.bases, orgId, disk);
      await this.host.artifacts.learn(orgId, disk.manifest);
    } catch (error) {
      this.host.telemetry("background.failed", { what: "local base of a task tree", message: errorText(error) });
    }
  }

  private plan(): MachinePlan {
    const { held, directory, lease } = this;
    const { image, network, deployment } = lease;
    return { held, directory, image, network, hostname: `build-${deployment.id.slice(-12)}`, workspacePath: taskTreePath };
  }
}

const imageFailures: Partial<Record<ImageError["code"], BuildFailure["kind"]>> = {
  step_timeout: "timeout",
  step_out_of_memory: "out_of_memory",
};

/** Waits for both, also when one fails. */
async function bothDone<A, B>(left: Promise<A>, right: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([left, right]);
  if (a.status === "rejected") throw a.reason;
  if (b.status === "rejected") throw b.reason;
  return [a.value, b.value];
}
