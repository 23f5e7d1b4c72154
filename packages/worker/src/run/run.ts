/**
 * One leased run on this host, from its lease to its completion.
 *
 *   preparing ──▶ booting ──▶ attached ──▶ running ──▶ ending ──▶ finished
 *       │            │           │            │
 *       ├────────────┴───────────┴────────────┴─ decided: by the guest (`run.ended`), by the host (cancel, time, a dead or silent guest, a full
 *       │                                         disk), parked, or lost with its lease
 *       └─▶ restoring (a run that was parked) ──▶ running, or decided
 *
 * The first decision counts. What follows it is in run-conclusion.ts, but for a lost lease: then the machine is killed first and nothing more is
 * said. Everything acquired is in the cleanup, undone last in first out. The run does not choose what it runs, does not renew its lease and keeps
 * nothing of the tenant beyond its end but the base of the captured workspace.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { createMasker, type Masker } from "@helmr/protocol/shared";
import type { Directive, RunLease } from "@helmr/protocol/worker";
import type { HelloMessage } from "@helmr/protocol/guest";
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
import { GuestSilent } from "../guest/guest-link.ts";
import { Cleanup } from "../host/cleanup.ts";
import { pause } from "../host/pause.ts";
import { errorText } from "../telemetry.ts";
import type { WorkerHost } from "../worker-host.ts";
import { LiveWorkspace } from "../mount/live-workspace.ts";
import { type LentMachine, MountGone, type MountSeat, type SeatTaker } from "../mount/mount-seat.ts";
import { ActiveClock } from "./active-clock.ts";
import { CancelWatch } from "./cancel-watch.ts";
import { ProgramCalls } from "./program-calls.ts";
import { Reporter } from "./reporter.ts";
import { leaveMount } from "./leave-mount.ts";
import { watchMachine } from "./machine-watch.ts";
import { concludePark } from "./park-conclusion.ts";
import { type ParkingGround, RunParking } from "./park-run.ts";
import { readResumeState, restoreFailure, restoreMachine } from "./resume-run.ts";
import { concludeRun } from "./run-conclusion.ts";
import { prepareRunDisks, reopenRunDisks } from "./run-disks.ts";
import type { HostVerdict } from "./run-end.ts";
import { verdictOf } from "./run-failure.ts";
import { type RunJournal, writeJournal } from "./run-journal.ts";
import { RunOutput } from "./run-output.ts";
import { runStartRequest, sayResumed, sayStarted } from "./run-steps.ts";
import type { Decision, RunParts, RunState } from "./run-state.ts";
import { RunTimeline } from "./run-timeline.ts";
import { Spool } from "./spool.ts";
import type { StreamOffsets } from "./spool-records.ts";

/** What a machine is started with. */
interface Prepared {
  template: Awaited<ReturnType<typeof acquireTemplate>>;
  disks: MachineDisks;
  signal: AbortSignal;
}

type LentParts = Pick<LentMachine, "guest" | "disks">;

/** A decision fell while something was under way. */
class Decided extends Error {
  override name = "Decided";
}

export class Run {
  private readonly host: WorkerHost;
  private readonly held: HeldLease;
  private readonly lease: RunLease;
  private readonly directory: string;
  private readonly cleanup = new Cleanup();
  private readonly masker: Masker;
  private readonly clock: ActiveClock;
  private readonly cancel: CancelWatch;
  private readonly stopping = new AbortController();
  /** Aborted when the task's own code runs. */
  private readonly begun = new AbortController();
  private readonly timeline = new RunTimeline();
  private state: RunState = { phase: "preparing" };
  private decision: Decision | undefined;
  private decided: (decision: Decision) => void = () => {};
  private readonly ended: Promise<Decision>;
  private calls: ProgramCalls | undefined;
  private parking: RunParking | undefined;
  private parkAtOnce = false;
  private template: () => Promise<TemplateMemory> = () => unreachable("A run parks with the template that it began with");
  private resumedFrom: RunLease["checkpoint"] | undefined;
  private live: LiveWorkspace | undefined;
  /** What should run beside the program, and came before its machine was up. */
  private beside: Directive[] = [];

  /** Of the mount whose machine it uses; undefined with `in_mount`: that mount is not here any more. */
  private readonly seat: MountSeat | undefined;
  private parts: RunParts | undefined;
  private lent: LentMachine | undefined;
  private openedNow: () => void = () => {};
  private takenNow: (machine: LentMachine) => void = () => {};
  private readonly taken: Promise<LentMachine>;
  /** As the seat of a mount knows this run. */
  private readonly taker: SeatTaker;

  constructor(host: WorkerHost, held: HeldLease, seat?: MountSeat) {
    assert(held.lease.kind === "run", `Lease ${held.id} is no run lease`);
    this.host = host;
    this.held = held;
    this.lease = held.lease;
    this.directory = join(host.leasesDirectory, held.id);
    this.masker = createMasker(this.lease.run.secrets.map((secret) => secret.value));
    const limitMs = this.lease.run.active_ms_left + host.limits.guestSlackMs;
    this.clock = new ActiveClock(limitMs, () =>
      this.decide({ by: "host", verdict: { kind: "timeout", limitMs: this.lease.run.active_ms_left } }),
    );
    this.cancel = new CancelWatch(host.limits, (forced) => this.decide({ by: "host", verdict: { kind: "cancelled", forced } }));
    this.ended = new Promise((resolve) => {
      this.decided = resolve;
    });
    this.seat = seat;
    this.taken = new Promise((resolve) => {
      this.takenNow = resolve;
    });
    this.taker = {
      opened: new Promise((resolve) => {
        this.openedNow = resolve;
      }),
      taken: (machine) => this.takeIn(machine),
      machineEnds: (message) => this.machineEnded({ kind: "machine_failed", code: "mount_ended", message }),
    };
  }

  get phase(): RunState["phase"] {
    return this.state.phase;
  }

  /** Without a live window from here on: the host needs its memory, or ends. */
  parkSoon(): void {
    this.parkAtOnce = true;
    this.parking?.parkSoon();
  }

  get isParking(): boolean {
    return this.parking?.pending ?? false;
  }

  /** Its program does nothing but wait, and may be parked. */
  get isWaiting(): boolean {
    return this.calls?.parkable() !== undefined;
  }

  /** Ends the run because this worker ends: what it has done is kept. */
  interrupt(message: string): void {
    this.decide({ by: "host", verdict: { kind: "machine_failed", code: "worker_stopped", message } });
  }

  /** Runs to the end and cleans up. `journal`: the machine runs already, started by an earlier process of this worker. Never rejects. */
  async execute(journal?: RunJournal): Promise<void> {
    this.held.report = { activeMs: () => this.clock.activeMs, openCalls: () => this.calls?.openWaits() ?? [] };
    this.held.lost.addEventListener("abort", () => this.decide({ by: "lost" }), { once: true });
    this.held.onDirective((directive) => this.direct(directive));
    if (journal !== undefined) this.seat?.expect(this.taker);
    let state = "lost";
    try {
      state = await this.work(journal);
    } catch (error) {
      state = "failed";
      this.host.telemetry("background.failed", { what: `run ${this.lease.run.id}`, message: errorText(error) });
    } finally {
      this.cancel.stop();
      this.clock.stop();
      this.openedNow();
      await cleanUp(this.host, this.cleanup, `run ${this.lease.run.id}`);
      this.seat?.leave(this.taker);
      this.state = { phase: "finished" };
    }
    this.host.telemetry("lease.finished", { leaseId: this.held.id, state, ms: this.timeline.ms });
    this.host.telemetry("run.timeline", { leaseId: this.held.id, runId: this.lease.run.id, ...this.timeline.passed });
  }

  private async work(journal: RunJournal | undefined): Promise<string> {
    await mkdir(this.directory, { recursive: true, mode: 0o711 });
    await this.cleanup.add("lease directory", () => rm(this.directory, { recursive: true, force: true }));
    const parts = await this.openParts(journal);
    this.parts = parts;
    this.openedNow();
    try {
      if (this.lease.in_mount !== undefined) await this.useMount(parts, journal);
      else if (journal !== undefined) await this.takeOver(parts, journal);
      else if (this.lease.checkpoint !== null) await this.resume(parts, this.lease.checkpoint);
      else {
        const prepared = await this.prepare(parts);
        await this.host.starts.run(() => this.boot(parts, prepared), this.stopping.signal);
      }
    } catch (error) {
      this.fail(error);
    }
    const decision = await this.ended;
    const before = this.state;
    this.state = { phase: "ending" };
    this.clock.stop();
    this.cancel.stop();
    if (decision.by === "unrestored") return "unrestored";
    if (decision.by === "parked") {
      this.seat?.parked();
      await this.live?.stop();
      return concludePark(parts, { before, cut: decision.cut });
    }
    // Nobody but the decision touches the machine from here on.
    await this.parking?.stop();
    if (decision.by === "lost") {
      parts.reporter.stop();
      this.host.telemetry("lease.lost", { leaseId: this.held.id, reason: this.held.lossReason ?? "" });
      // Its program may be there still.
      if (before.phase === "running") void this.seat?.end();
      return "lost";
    }
    if (this.lease.in_mount !== undefined) return leaveMount(parts, { decision, before, cancel: this.cancel.asked }, this.seat);
    // What runs beside the program ends with it, and says so while the lease is held.
    await this.live?.stop();
    return concludeRun(parts, { decision, before, cancel: this.cancel.asked });
  }

  /** Spool first: whatever happens later can be said. */
  private async openParts(journal: RunJournal | undefined): Promise<RunParts> {
    const { report, run } = this.lease;
    const spool = await Spool.open({
      directory: join(this.directory, "spool"),
      accepted: { items: report.accepted, lengths: [report.stdout, report.stderr, report.logger] },
      from: journal?.streams ?? resumedStreams(this.lease),
      bytesMax: this.host.limits.spoolBytesMax,
      onFailed: (error) => this.decide({ by: "host", verdict: { kind: "spool_failed", message: error.message } }),
    });
    await this.cleanup.add("spool", () => spool.close());
    const output = new RunOutput(spool, this.masker);
    spool.onWritten = (taken) => {
      this.timeline.mark("first_output");
      output.written(taken);
    };
    const onRefused = (message: string) => this.decide({ by: "host", verdict: { kind: "spool_failed", message } });
    const ids = { runId: run.id, attemptId: run.attempt_id };
    const reporter = new Reporter({ client: this.host.client, held: this.held, ...ids, spool, onRefused }, report.accepted);
    const { host, held, lease, directory, cleanup, masker, clock, timeline } = this;
    const isResumed = this.lease.checkpoint !== null || journal?.streams !== undefined;
    return { isResumed, timeline, host, held, lease, directory, cleanup, masker, clock, spool, output, reporter };
  }

  /** Disks and template side by side. */
  private async prepare(parts: RunParts): Promise<Prepared> {
    const { host, lease, directory, cleanup } = this;
    const signal = AbortSignal.any([this.stopping.signal, AbortSignal.timeout(host.limits.prepareMs)]);
    const access = leaseAccess(this.host, this.held, signal);
    const onWait = () =>
      parts.output.say(`Preparing a machine for image ${lease.image.ref}: the first run with it on this worker takes longer`);
    const [template, disks] = await both(
      acquireTemplate(host, lease, { access, cleanup, onWait }),
      prepareRunDisks(host, lease, { directory, access, cleanup }),
    );
    this.enter({ phase: "booting", disks });
    this.timeline.mark("prepared");
    this.template = () => Promise.resolve(memoryOfTemplate(host.artifacts, template.template));
    return { template, disks, signal };
  }

  /** The machine and the program in it, up to the moment where the task's own code runs: what keeps the processors busy. */
  private async boot(parts: RunParts, { template, disks, signal }: Prepared): Promise<void> {
    const { host, cleanup } = this;
    this.check();
    const guest = await startMachine(host, this.plan(), { template, disks, cleanup, signal });
    this.enter({ phase: "attached", disks, guest });
    this.timeline.mark("machine_started");
    host.spares.used(template.again());
    watchMachine(guest, this.machineEnded);
    await attachGuest(host, this.plan(), { link: guest.link, disks });
    this.timeline.mark("attached");
    await this.start(parts);
    await pause(host.limits.startRunMs, AbortSignal.any([this.begun.signal, this.stopping.signal]));
  }

  /** In the machine of a mount: nothing is booted, and the machine is not this run's to end. */
  private async useMount(parts: RunParts, journal: RunJournal | undefined): Promise<void> {
    if (this.seat === undefined) throw new MountGone("it is not on this worker any more");
    if (journal !== undefined) {
      const machine = await Promise.race([this.taken, this.ended]);
      if (!("guest" in machine) || machine.hello === undefined) return;
      const said = await this.heard(machine.hello);
      if (said.state.parked) await this.thaw(machine.guest, journal);
      this.goOn(said);
      return;
    }
    const lent = await this.seat.lend(this.taker);
    this.lent = lent;
    const { guest, disks } = lent;
    this.enter({ phase: "attached", disks, guest });
    this.timeline.mark("attached");
    await this.start(parts);
  }

  /** Before a machine that was taken over says its first word. */
  private takeIn(machine: LentMachine): void {
    const { guest, disks } = machine;
    if (this.parts === undefined || this.decision !== undefined) return;
    this.state = { phase: "running", disks, guest };
    this.lent = machine;
    this.listen(this.parts, { guest, disks });
    this.takenNow(machine);
  }

  private async start(parts: RunParts): Promise<void> {
    const { host, held, lease } = this;
    this.check();
    this.obey(await sayStarted({ host, held, lease, signal: this.stopping.signal }));
    this.timeline.mark("attempt_started");
    assert(this.state.phase === "attached", "A run starts in an attached guest");
    const { guest, disks } = this.state;
    this.enter({ phase: "running", disks, guest });
    this.listen(parts, { guest, disks });
    void this.journal(guest, disks);
    this.clock.start();
    await guest.link.request(runStartRequest(lease), host.limits.startRunMs);
    this.timeline.mark("run_started");
  }

  /** The guest says what goes on in it, and again what was not acknowledged to the process that died. */
  private async takeOver(parts: RunParts, journal: RunJournal): Promise<void> {
    const { host, held, lease, cleanup } = this;
    const access = leaseAccess(this.host, this.held, AbortSignal.any([this.stopping.signal, AbortSignal.timeout(host.limits.prepareMs)]));
    const disks = await reopenRunDisks(host, lease, { directory: this.directory, journal, access, cleanup });
    // A machine that is gone has left its disk: it ends like one that dies now.
    this.state = { phase: "running", disks, guest: undefined };
    const machine = await host.driver.adopt(journal.machine);
    if (machine === "gone") {
      this.decide({ by: "host", verdict: { kind: "monitor_died", message: "its worker had ended before" } });
      return;
    }
    const guest = await serveMachine(host, this.plan(), { machine, cleanup });
    const hello = new Promise<HelloMessage>((resolve) => guest.link.on("hello", resolve));
    this.enter({ phase: "running", disks, guest });
    this.listen(parts, { guest, disks }, hello);
    watchMachine(guest, this.machineEnded);
    this.template = once(async () => {
      const limit = AbortSignal.timeout(host.limits.prepareMs);
      const template = await acquireTemplate(host, lease, { access: leaseAccess(this.host, this.held, limit), cleanup, onWait: () => {} });
      return memoryOfTemplate(host.artifacts, template.template);
    });
    held.onExtended(() => guest.link.notify({ type: "lease.extend", leaseMs: held.leftMs() }));
    await machine.resume();
    const said = await this.heard(hello);
    guest.link.notify({ type: "lease.extend", leaseMs: held.leftMs() });
    if (said.state.parked) await this.thaw(guest, journal);
    this.goOn(said);
  }

  private async heard(hello: Promise<HelloMessage>): Promise<HelloMessage> {
    const said = await Promise.race([hello, pause(this.host.limits.attachMs), this.ended]);
    this.check();
    if (said === undefined || !("state" in said))
      throw new GuestSilent("guest_silent", "The guest did not announce itself to the worker that took it over");
    return said;
  }

  private goOn({ state }: HelloMessage): void {
    if (state.run?.attemptId === this.lease.run.attempt_id) this.clock.start();
    else this.machineEnded({ kind: "machine_failed", code: "start_lost", message: "The worker ended while the run was being started" });
  }

  /** The worker of before ended while it parked the run, or while it brought it back. */
  private async thaw(guest: GuestMachine, journal: RunJournal): Promise<void> {
    const { host } = this;
    if (journal.resuming === undefined) {
      await guest.link.request({ type: "park.abort" }, host.limits.parkPrepareMs);
      return;
    }
    await this.sayResumed(journal.resuming);
    await attachGuest(host, this.plan(), { link: guest.link, disks: undefined });
  }

  /** A run that was parked: its machine stands restored, the control plane is told, and only then the guest moves. */
  private async resume(parts: RunParts, checkpoint: NonNullable<RunLease["checkpoint"]>): Promise<void> {
    const { host, held, lease, directory, cleanup } = this;
    const began = performance.now();
    const access = leaseAccess(this.host, this.held, AbortSignal.any([this.stopping.signal, AbortSignal.timeout(host.limits.prepareMs)]));
    const restored = await restoreMachine({ host, lease, checkpoint, directory, access, cleanup }).catch((error: unknown) =>
      this.unrestored(error, checkpoint.checkpoint_id),
    );
    this.check();
    this.template = () => Promise.resolve(restored.template);
    const { machine, disks } = restored;
    const guest = await serveMachine(host, this.plan(), { machine, cleanup });
    this.enter({ phase: "attached", disks, guest });
    watchMachine(guest, this.machineEnded);
    this.timeline.mark("machine_started");
    this.resumedFrom = checkpoint;
    // From the next step on another process of this worker must know where this one was.
    await this.journal(guest, disks, checkpoint.checkpoint_id);
    await this.sayResumed(checkpoint.checkpoint_id);
    this.enter({ phase: "running", disks, guest });
    this.listen(parts, { guest, disks });
    if (checkpoint.outcome !== null) this.calls?.expect(checkpoint.call_id, checkpoint.outcome);
    this.clock.start();
    await attachGuest(host, this.plan(), { link: guest.link, disks: undefined });
    this.timeline.mark("attached");
    await this.journal(guest, disks);
    void host.checkpoints.drop(checkpoint.checkpoint_id);
    host.telemetry("run.resumed", { leaseId: held.id, from: restored.from, ms: Math.round(performance.now() - began) });
  }

  /** Repeating it is safe: the control plane knows that this lease has gone on. */
  private async sayResumed(checkpointId: string): Promise<void> {
    const { host, held, lease } = this;
    this.obey(await sayResumed({ host, held, lease, signal: this.stopping.signal }, checkpointId));
  }

  /** What the control plane answered to a step. */
  private obey(answer: HostVerdict | "go on" | "stale"): void {
    this.check();
    if (answer === "stale") this.held.lose("stale");
    else if (answer !== "go on") this.machineEnded(answer);
    this.check();
  }

  /** What failed is the checkpoint's: the control plane decides what becomes of the run, and this lease is over. */
  private async unrestored(error: unknown, checkpointId: string): Promise<never> {
    const { host, held, lease } = this;
    const failure = this.decision === undefined ? restoreFailure(error) : undefined;
    if (failure === undefined) throw error;
    await host.checkpoints.drop(checkpointId);
    host.telemetry("background.failed", { what: `restore of run ${lease.run.id}`, message: failure.message });
    const body = { ...held.fenced, attempt_id: lease.run.attempt_id, checkpoint_id: checkpointId };
    const said = await host.client.call(
      "restoreFailed",
      { ...body, reason: failure.reason, message: failure.message.slice(0, 4096) },
      { id: lease.run.id, deadline: held.deadline, signal: held.lost },
    );
    if (said.kind !== "ok") throw error;
    this.decide({ by: "unrestored" });
    throw new Decided("The run is decided");
  }

  /** What runs beside the program; in the machine of a mount that is the mount's. */
  private openLive({ guest, disks }: LentParts, hello: Promise<HelloMessage> | undefined): LiveWorkspace | undefined {
    const { host, held, lease, directory } = this;
    if (lease.in_mount !== undefined) return undefined;
    const onFault = (error: unknown) =>
      host.telemetry("background.failed", { what: `exec beside ${lease.run.id}`, message: errorText(error) });
    const live = new LiveWorkspace({ desk: host.live, held, link: guest.link, onFault });
    if (hello) live.expectAdopted(hello);
    const access = (signal: AbortSignal) => leaseAccess(host, held, signal);
    const ground = { host, held, guest, workspace: disks.workspace, mountId: lease.workspace.mount_id, directory, access };
    // The program runs.
    live.makesVersions(ground, { alwaysWrites: () => true });
    for (const directive of this.beside.splice(0)) live.direct(directive);
    guest.link.on("fenced", () => this.machineEnded({ kind: "guest_fenced" }));
    return live;
  }

  private listen(parts: RunParts, { guest, disks }: LentParts, hello?: Promise<HelloMessage>): void {
    const { run } = this.lease;
    const { link } = guest;
    parts.output.attach(link);
    const live = this.openLive({ guest, disks }, hello);
    this.live = live;
    const calls = new ProgramCalls({
      client: this.host.client,
      held: this.held,
      runId: run.id,
      attemptId: run.attempt_id,
      masker: this.masker,
      answer: (answer) => link.notify(answer),
      spoolMetadata: (operation) => parts.spool.appendMetadata(operation),
      onWait: (change) => (change === "opened" ? this.clock.waitOpened() : this.clock.waitClosed()),
      onChange: () => this.parking?.changed(),
      onFlood: () => this.decide({ by: "host", verdict: { kind: "guest_violation", message: "too many calls at once" } }),
    });
    this.calls = calls;
    this.parking = this.openParking({ parts, guest, disks, calls });
    if (this.parkAtOnce) this.parking.parkSoon();
    link.on("program.call", (message) => calls.receive(message));
    link.on("run.started", () => {
      this.timeline.mark("program_started");
      this.begun.abort();
    });
    link.on("run.ended", (ended) => {
      this.timeline.mark("ended");
      if (ended.attemptId === run.attempt_id) this.decide({ by: "guest", ended });
    });
    this.cancel.begin((request) => link.request(request, this.host.limits.cancelTotalMs));
  }

  /** Somebody who works in the machine keeps it: also in that of a mount. */
  private openParking(ground: Omit<ParkingGround, "template" | "isBusy" | "onParked">): RunParking {
    const { lent } = this;
    const live = this.live ?? lent?.live;
    return new RunParking({
      ...ground,
      template: () => lent?.template() ?? this.template(),
      isBusy: () => lent?.isFresh === false || (live !== undefined && (live.active > 0 || live.capturing)),
      onParked: (cut) => this.decide({ by: "parked", cut }),
    });
  }

  private readonly machineEnded = (verdict: HostVerdict): void => this.decide({ by: "host", verdict });

  private direct(directive: Directive): void {
    if (directive.type === "cancel") {
      this.parking?.callOff();
      this.cancel.ask(directive, this.state.phase === "running" ? "running" : "not_running");
    } else if (directive.type === "park") this.parkSoon();
    else if (directive.type === "process") this.besideProgram(directive);
    else if (directive.type === "wait.resolved") this.calls?.resolved(directive.call_id, directive.outcome);
  }

  private besideProgram(directive: Directive): void {
    if (this.live) this.live.direct(directive);
    else this.beside.push(directive);
  }

  private decide(decision: Decision): void {
    // A lost lease outranks what was decided but not yet told: nothing may be told any more.
    if (this.decision !== undefined) return;
    this.decision = decision;
    this.stopping.abort();
    this.decided(decision);
  }

  private fail(error: unknown): void {
    if (error instanceof Decided || this.decision !== undefined) return;
    const verdict = verdictOf(error);
    if (verdict === "stale") this.held.lose("stale");
    else this.decide({ by: "host", verdict });
  }

  private enter(state: RunState): void {
    this.state = state;
    this.check();
  }

  private check(): void {
    if (this.decision !== undefined) throw new Decided("The run is decided");
  }

  private plan(): MachinePlan {
    const { held, directory, lease } = this;
    const { image, network, workspace, run } = lease;
    return { held, directory, image, network, hostname: `run-${run.id.slice(-12)}`, workspacePath: workspace.mount_path };
  }

  private async journal(guest: GuestMachine, disks: MachineDisks, resuming?: string): Promise<void> {
    const { held, lease } = this;
    const entry = {
      leaseId: held.id,
      fence: lease.fence,
      machine: guest.machine.handle,
      workspace: { sizeBytes: disks.workspace.sizeBytes, base: lease.workspace.base },
      resuming,
      ...(this.resumedFrom === undefined || this.resumedFrom === null
        ? {}
        : { scratch: this.resumedFrom.scratch, streams: readResumeState(this.resumedFrom).streams }),
    };
    await writeJournal(this.directory, entry).catch((error: unknown) => {
      this.host.telemetry("background.failed", { what: `journal of run ${lease.run.id}`, message: errorText(error) });
    });
  }
}

function resumedStreams({ checkpoint }: RunLease): StreamOffsets | undefined {
  return checkpoint === null ? undefined : readResumeState(checkpoint).streams;
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** Waits for both; when one fails, for the other too, so that what it acquired is in the cleanup. */
async function both<A, B>(left: Promise<A>, right: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([left, right]);
  if (a.status === "rejected") throw a.reason;
  if (b.status === "rejected") throw b.reason;
  return [a.value, b.value];
}
