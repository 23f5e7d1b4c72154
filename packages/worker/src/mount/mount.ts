/**
 * A workspace that is mounted without a run: one machine of this host, from its lease to the captured tree.
 *
 *   preparing ──▶ booting ──▶ mounted ──▶ ending ──▶ finished
 *       └────────────┴───────────┴─ decided: unmounted (asked for, or this worker stops), failed (no machine, or it ended by itself), or lost
 *
 * The first decision counts. A lost lease kills the machine and says nothing more. Otherwise what runs is ended, the file system made quiet, the machine
 * stopped, the tree stored when anything may have been written, and all of it said in one call. The mount does not decide when it is idle; the control
 * plane does.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { HelloMessage } from "@helmr/protocol/guest";
import type { Directive, MountEnd, MountLease, WorkspaceResult } from "@helmr/protocol/worker";
import { assert, unreachable } from "../assert.ts";
import { memoryOfTemplate, type TemplateMemory } from "../checkpoints/template-memory.ts";
import type { HeldLease } from "../control/held-lease.ts";
import { leaseAccess } from "../control/lease-access.ts";
import {
  acquireTemplate,
  attachGuest,
  cleanUp,
  type GuestMachine,
  type MachineDisks,
  type MachinePlan,
  serveMachine,
  startMachine,
} from "../guest/guest-machine.ts";
import { Cleanup } from "../host/cleanup.ts";
import { pause } from "../host/pause.ts";
import { watchMachine } from "../run/machine-watch.ts";
import { type RunJournal, writeJournal } from "../run/run-journal.ts";
import { errorText } from "../telemetry.ts";
import type { WorkerHost } from "../worker-host.ts";
import { captureFailed, captureTree, leaveTree, unchangedTree } from "../workspace/captured-tree.ts";
import { LiveWorkspace } from "./live-workspace.ts";
import { MountSeat } from "./mount-seat.ts";
import { prepareMountDisks, reopenMountDisks } from "./mount-disks.ts";

type Decision =
  | { by: "lost" }
  | { by: "end"; end: MountEnd }
  /** With the run in it: the control plane has both. */
  | { by: "parked" };

const unmounted: Decision = { by: "end", end: { status: "unmounted" } };
class Decided extends Error {
  override name = "Decided";
}

export class Mount {
  private readonly host: WorkerHost;
  private readonly held: HeldLease;
  private readonly lease: MountLease;
  private readonly directory: string;
  private readonly cleanup = new Cleanup();
  private readonly stopping = new AbortController();
  private readonly began = performance.now();
  private decision: Decision | undefined;
  private decided: (decision: Decision) => void = () => {};
  private readonly ended: Promise<Decision>;
  private disks: MachineDisks | undefined;
  private guest: GuestMachine | undefined;
  private live: LiveWorkspace | undefined;
  private early: Directive[] = [];
  /** Of the run that uses this machine. */
  readonly seat = new MountSeat({
    end: () => this.decide(unmounted),
    parked: () => this.decide({ by: "parked" }),
    left: () => this.isLeaving && this.parkSoon(),
  });
  /** This worker is to be left: the mount goes as soon as nothing runs in it. */
  private isLeaving = false;
  private template: () => Promise<TemplateMemory> = () => unreachable("A machine has its template before it is lent");

  constructor(host: WorkerHost, held: HeldLease) {
    assert(held.lease.kind === "mount", `Lease ${held.id} is no mount lease`);
    this.host = host;
    this.held = held;
    this.lease = held.lease;
    this.directory = join(host.leasesDirectory, held.id);
    this.ended = new Promise((resolve) => {
      this.decided = resolve;
    });
  }

  /** This worker ends: what was done is kept. */
  interrupt(_message: string): void {
    this.decide(unmounted);
  }

  /** Nothing runs in it: it could go. */
  isWaiting(): boolean {
    return this.live?.active === 0 && !this.seat.isTaken;
  }

  /** This worker is to be left, or needs the memory: a mount in which nothing runs is captured and let go. */
  parkSoon(): void {
    this.isLeaving = true;
    if (this.live === undefined || this.isWaiting()) this.decide(unmounted);
  }

  /** Runs to the end and cleans up. `journal`: the machine runs already. Never rejects. */
  async execute(journal?: RunJournal): Promise<void> {
    this.held.lost.addEventListener("abort", () => this.decide({ by: "lost" }), { once: true });
    this.held.onDirective((directive) => this.direct(directive));
    let state = "lost";
    try {
      state = await this.work(journal);
    } catch (error) {
      state = "failed";
      this.host.telemetry("background.failed", { what: `mount ${this.lease.workspace.mount_id}`, message: errorText(error) });
    } finally {
      await cleanUp(this.host, this.cleanup, `mount ${this.lease.workspace.mount_id}`);
      this.seat.close();
    }
    this.host.telemetry("lease.finished", { leaseId: this.held.id, state, ms: Math.round(performance.now() - this.began) });
  }

  private async work(journal: RunJournal | undefined): Promise<string> {
    await mkdir(this.directory, { recursive: true, mode: 0o711 });
    await this.cleanup.add("lease directory", () => rm(this.directory, { recursive: true, force: true }));
    try {
      if (journal === undefined) await this.start();
      else await this.takeOver(journal);
    } catch (error) {
      if (!(error instanceof Decided)) this.fail("machine_failed", errorText(error));
    }
    const decision = await this.ended;
    if (decision.by === "lost") {
      this.host.telemetry("lease.lost", { leaseId: this.held.id, reason: this.held.lossReason ?? "" });
      return "lost";
    }
    if (decision.by === "parked") {
      await this.live?.stop();
      // The run takes what is here of machine and disks.
      await this.seat.whenLeft();
      return "parked";
    }
    return this.conclude(decision.end);
  }

  private async start(): Promise<void> {
    const { host, lease, directory, cleanup } = this;
    const signal = AbortSignal.any([this.stopping.signal, AbortSignal.timeout(host.limits.prepareMs)]);
    const access = leaseAccess(this.host, this.held, signal);
    const template = await acquireTemplate(host, lease, { access, cleanup, onWait: () => {} });
    this.template = () => Promise.resolve(memoryOfTemplate(host.artifacts, template.template));
    const disks = await prepareMountDisks(host, lease, { directory, access, cleanup });
    this.disks = disks;
    this.check();
    const guest = await startMachine(host, this.plan(), { template, disks, cleanup, signal });
    this.guest = guest;
    this.check();
    host.spares.used(template.again());
    watchMachine(guest, (verdict) => this.fail(verdict.kind, "message" in verdict ? verdict.message : verdict.kind));
    await attachGuest(host, this.plan(), { link: guest.link, disks });
    this.check();
    this.serve(guest);
    await this.journal(guest, disks);
    await this.ready();
  }

  private async takeOver(journal: RunJournal): Promise<void> {
    const { host, held, lease, cleanup } = this;
    const access = leaseAccess(this.host, this.held, AbortSignal.any([this.stopping.signal, AbortSignal.timeout(host.limits.prepareMs)]));
    this.disks = await reopenMountDisks(host, lease, { directory: this.directory, journal, access, cleanup });
    this.template = () => this.templateAgain();
    const machine = await host.driver.adopt(journal.machine);
    if (machine === "gone") return this.fail("monitor_died", "its worker had ended before");
    await this.seat.whenHeard();
    const guest = await serveMachine(host, this.plan(), { machine, cleanup });
    this.guest = guest;
    const hello = new Promise<HelloMessage>((resolve) => guest.link.on("hello", resolve));
    this.serve(guest, hello);
    watchMachine(guest, (verdict) => this.fail(verdict.kind, "message" in verdict ? verdict.message : verdict.kind));
    held.onExtended(() => guest.link.notify({ type: "lease.extend", leaseMs: held.leftMs() }));
    await machine.resume();
    const said = await Promise.race([hello, pause(host.limits.attachMs), this.ended]);
    this.check();
    if (said === undefined || !("state" in said))
      return this.fail("guest_silent", "The guest did not announce itself to the worker that took it over");
    guest.link.notify({ type: "lease.extend", leaseMs: held.leftMs() });
    return this.ready();
  }

  private async templateAgain(): Promise<TemplateMemory> {
    const { host, held, lease, cleanup } = this;
    const access = leaseAccess(host, held, AbortSignal.timeout(host.limits.prepareMs));
    const template = await acquireTemplate(host, lease, { access, cleanup, onWait: () => {} });
    return memoryOfTemplate(host.artifacts, template.template);
  }

  private serve(guest: GuestMachine, hello?: Promise<HelloMessage>): void {
    const { host, held } = this;
    const onFault = (error: unknown) => host.telemetry("background.failed", { what: `exec in ${held.id}`, message: errorText(error) });
    const live = new LiveWorkspace({ desk: host.live, held, link: guest.link, onFault });
    if (hello) live.expectAdopted(hello);
    guest.link.on("fenced", () => this.fail("guest_fenced", "The guest stopped because its lease was not extended in time"));
    const { disks, directory } = this;
    if (disks !== undefined) {
      const access = (signal: AbortSignal) => leaseAccess(host, held, signal);
      const ground = { host, held, guest, workspace: disks.workspace, mountId: this.lease.workspace.mount_id, directory, access };
      live.makesVersions(ground, { alwaysWrites: () => this.seat.isTaken });
    }
    this.live = live;
    if (disks !== undefined) this.seat.serve({ guest, disks, live, hello, template: () => this.template() });
    for (const directive of this.early) live.direct(directive);
    this.early = [];
  }

  private async ready(): Promise<void> {
    const { host, held, lease } = this;
    const options = { id: lease.workspace.mount_id, deadline: held.deadline, signal: this.stopping.signal };
    const answer = await host.client.call("mountReady", held.fenced, options);
    this.check();
    if (answer.kind === "stale") held.lose("stale");
    else if (answer.kind === "ok" && answer.value.state === "unmounting") this.decide(unmounted);
    else if (answer.kind !== "ok") this.fail("ready_refused", JSON.stringify(answer));
    else this.seat.ready();
  }

  private direct(directive: Directive): void {
    if (directive.type === "unmount" || directive.type === "cancel") this.decide(unmounted);
    else if (this.live) this.live.direct(directive);
    else this.early.push(directive);
  }

  private async conclude(end: MountEnd): Promise<string> {
    const { host, held, lease, guest, disks, live } = this;
    await live?.stop();
    if (guest !== undefined && end.status === "unmounted") {
      // What the guest had flushed is there all the same.
      await guest.link.request({ type: "sync", freeze: true }, host.limits.syncMs).catch(() => undefined);
    }
    await guest?.machine.stop().catch((error: unknown) => {
      host.telemetry("background.failed", { what: "stopping a machine", message: errorText(error) });
    });
    const dirty = disks !== undefined && live?.written === true;
    const captured = dirty ? await captureTree(host, held, (access) => disks.workspace.store(host.artifacts, access)) : unchangedTree;
    let { stored } = captured;
    if (held.lost.aborted) return "lost";
    const said = (workspace: WorkspaceResult) =>
      host.client.call(
        "mountEnded",
        { ...held.fenced, end, workspace },
        { id: lease.workspace.mount_id, deadline: held.deadline, signal: held.lost },
      );
    let answer = await said(captured.result);
    if (answer.kind === "refused" && stored !== undefined) {
      host.telemetry("background.failed", { what: `end of mount ${lease.workspace.mount_id}`, message: answer.message });
      answer = await said(captureFailed(answer.message).result);
      stored = undefined;
    }
    if (answer.kind === "stale") held.lose("stale");
    if (disks !== undefined)
      await leaveTree(host, held, { disk: disks.workspace, stored: answer.kind === "ok" ? stored : undefined, cleanup: this.cleanup });
    return answer.kind === "ok" ? answer.value.state : answer.kind;
  }

  private decide(decision: Decision): void {
    if (this.decision !== undefined) return;
    this.decision = decision;
    if (decision.by !== "parked")
      this.seat.ends(decision.by === "end" && decision.end.status === "failed" ? decision.end.message : "The workspace is being unmounted");
    this.stopping.abort();
    this.decided(decision);
  }

  private fail(reason: string, message: string): void {
    this.decide({ by: "end", end: { status: "failed", reason: reason.slice(0, 64), message: message.slice(0, 4096) } });
  }

  private check(): void {
    if (this.decision !== undefined) throw new Decided("The mount is decided");
  }

  private plan(): MachinePlan {
    const { held, directory, lease } = this;
    const { image, network, workspace } = lease;
    return { held, directory, image, network, hostname: `ws-${workspace.workspace_id.slice(-12)}`, workspacePath: workspace.mount_path };
  }

  private async journal(guest: GuestMachine, disks: MachineDisks): Promise<void> {
    const { held, lease } = this;
    const workspace = { sizeBytes: disks.workspace.sizeBytes, base: lease.workspace.base };
    await writeJournal(this.directory, { leaseId: held.id, fence: lease.fence, machine: guest.machine.handle, workspace });
  }
}
