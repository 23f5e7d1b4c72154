/**
 * Parking one run: when its wait has been live for long enough, its machine is cut, the cut stored, and the control plane told, which makes it true.
 *
 *   live ──window over, or asked for──▶ still ──▶ cut ──▶ storing ──▶ said ──parked──▶ (over: `onParked`)
 *    ▲                                    └─────────┴─────────┴─────────┴─ resolved, refused, failed ──▶ thawed, live again
 *
 * The machine stands still from the cut on and its guest is frozen, so whatever is not `parked` in the end goes on exactly where it was: a failed park never
 * fails a run, it is tried again after a pause that grows. What resolves the wait meanwhile calls the park off, unless the control plane was being told:
 * then its answer says which came first. It stops no machine and releases nothing; that is the run's.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { StoredDisk } from "../disks/layered-disk.ts";
import { tenantKeys } from "../chunks/sealing.ts";
import type { TemplateMemory } from "../checkpoints/template-memory.ts";
import type { StoredMemory } from "../checkpoints/cut.ts";
import { leaseAccess } from "../control/lease-access.ts";
import type { GuestMachine, MachineDisks } from "../guest/guest-machine.ts";
import { newId } from "../new-id.ts";
import { errorText } from "../telemetry.ts";
import { workerFacts } from "../worker-facts.ts";
import type { Snapshot } from "../vm/driver.ts";
import { workerRestores } from "@helmr/protocol/worker";
import type { Access } from "../workspace/base-store.ts";
import type { ParkableWait, ProgramCalls } from "./program-calls.ts";
import type { RunParts } from "./run-state.ts";

/** A cut that the control plane has accepted; its files are this host's copy. */
export interface ParkedCut {
  checkpointId: string;
  files: Snapshot;
  workspace: StoredDisk;
  scratch: StoredDisk;
}

export interface ParkingGround {
  parts: RunParts;
  guest: GuestMachine;
  disks: MachineDisks;
  /** Memory that the difference is made against. */
  template: () => Promise<TemplateMemory>;
  calls: ProgramCalls;
  /** Somebody works in the machine beside the program: it is not frozen under their hands. */
  isBusy: () => boolean;
  onParked: (cut: ParkedCut) => void;
}

const pauses = { firstMs: 5_000, maxMs: 300_000, busyMs: 2_000 } as const;

/** A step of a park that was called off. */
class CalledOff extends Error {
  override name = "CalledOff";
}

interface Stored extends StoredMemory {
  workspace: StoredDisk;
  scratch: StoredDisk;
}

export class RunParking {
  private readonly ground: ParkingGround;
  private timer: NodeJS.Timeout | undefined;
  private attempt: { callId: number; off: AbortController; done: Promise<void> } | undefined;
  private failures = 0;
  private notBefore = 0;
  private atOnce = false;
  private stopped = false;

  constructor(ground: ParkingGround) {
    this.ground = ground;
  }

  /** What the program waits for has changed. */
  changed(): void {
    clearTimeout(this.timer);
    if (this.stopped) return;
    const wait = this.ground.calls.parkable();
    if (this.attempt !== undefined) {
      if (this.attempt.callId !== wait?.callId) this.attempt.off.abort();
      return;
    }
    if (wait === undefined) return;
    const now = performance.now();
    const at = Math.max(this.atOnce ? now : wait.liveUntil, this.notBefore);
    this.timer = setTimeout(() => this.begin(), Math.min(2 ** 31 - 1, Math.max(0, at - now)));
  }

  /** The host wants its memory back, or ends: no live window any more. */
  parkSoon(): void {
    this.atOnce = true;
    this.notBefore = 0;
    this.changed();
  }

  /** Whether a park is under way, or will be as soon as it may. */
  get pending(): boolean {
    return (
      !this.stopped && (this.attempt !== undefined || (this.atOnce && this.ground.calls.parkable() !== undefined && this.failures === 0))
    );
  }

  /** The run has been decided otherwise. Resolves when nothing is under way any more; the machine may be left standing still. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    this.attempt?.off.abort();
    await this.attempt?.done;
  }

  /** The user wants the program to react: what is under way is called off, and the machine does not stand still any more. */
  callOff(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.attempt?.off.abort();
  }

  private begin(): void {
    const wait = this.ground.calls.parkable();
    if (wait === undefined || this.attempt !== undefined || this.stopped) return;
    if (this.ground.isBusy()) {
      this.notBefore = performance.now() + pauses.busyMs;
      this.changed();
      return;
    }
    const off = new AbortController();
    const done = this.park(wait, off.signal).finally(() => {
      this.attempt = undefined;
      this.changed();
    });
    this.attempt = { callId: wait.callId, off, done };
  }

  /** Never rejects. */
  private async park(wait: ParkableWait, off: AbortSignal): Promise<void> {
    const { parts, guest } = this.ground;
    const { host, held } = parts;
    const signal = AbortSignal.any([off, held.lost, AbortSignal.timeout(host.limits.parkMs)]);
    const directory = join(parts.directory, `cut-${newId()}`);
    let state: "live" | "still" | "paused" = "live";
    try {
      await guest.link.request({ type: "park.prepare" }, host.limits.parkPrepareMs);
      state = "still";
      checkOn(signal);
      state = "paused";
      const cut = await guest.machine.snapshot(directory, () => Promise.resolve());
      held.onStanding("still");
      const outcome = await this.storeAndSay(wait, { cut, signal, directory });
      if (outcome === "parked") return;
      this.goneWrong(outcome === "refused");
    } catch (error) {
      this.goneWrong(!off.aborted);
      if (!off.aborted && !held.lost.aborted)
        host.telemetry("background.failed", { what: `park of run ${parts.lease.run.id}`, message: errorText(error) });
    }
    await this.thaw(state);
    await rm(directory, { recursive: true, force: true });
  }

  private async storeAndSay(
    wait: ParkableWait,
    work: { cut: Snapshot; signal: AbortSignal; directory: string },
  ): Promise<"parked" | "live" | "refused"> {
    const { parts, calls, onParked } = this.ground;
    const { cut, signal } = work;
    const began = performance.now();
    const access = leaseAccess(parts.host, parts.held, signal);
    const template = await this.ground.template();
    const stored = await this.store(access, { ...work, template });
    checkOn(signal);
    const checkpointId = newId();
    const answer = await this.say(wait, { checkpointId, stored, cut });
    parts.host.telemetry("run.park", {
      leaseId: parts.held.id,
      answer,
      pausedMs: Math.round(cut.pausedMs),
      ms: Math.round(performance.now() - began),
      newBytes: newBytesOf(stored),
      differingBytes: stored.differingBytes,
    });
    if (answer !== "parked") return answer;
    await template.confirmed(access).catch(() => {
      // It is stored again at the next park.
    });
    this.stopped = true;
    calls.stop();
    onParked({ checkpointId, files: cut, workspace: stored.workspace, scratch: stored.scratch });
    return "parked";
  }

  private async store(
    access: Access,
    { cut, directory, template }: { cut: Snapshot; directory: string; template: TemplateMemory },
  ): Promise<Stored> {
    const { parts, disks } = this.ground;
    const { host } = parts;
    const [memory, workspace, scratch] = await settled([
      host.cuts.store({ memory: cut.memory, device: cut.device, template, directory }, access),
      disks.workspace.store(host.artifacts, access),
      disks.scratch.store(host.artifacts, access),
      parts.reporter.drain(),
    ]);
    return { ...memory, workspace, scratch };
  }

  private async say(
    wait: ParkableWait,
    { checkpointId, stored, cut }: { checkpointId: string; stored: Stored; cut: Snapshot },
  ): Promise<"parked" | "live" | "refused"> {
    const { parts, guest, calls } = this.ground;
    const { host, held, lease, spool, clock } = parts;
    const { machine } = guest;
    const { sizeBytes, entryCount } = stored.workspace.tree;
    const facts = await workerFacts(host);
    const said = await host.client.call(
      "park",
      {
        ...held.fenced,
        attempt_id: lease.run.attempt_id,
        wait_id: wait.waitId,
        checkpoint_id: checkpointId,
        active_ms: Math.min(clock.activeMs, lease.run.active_ms_left),
        report_through: spool.lastItem,
        compatibility: { ...machine.compatibility },
        requires: workerRestores(facts),
        resume_state: { streams: parts.output.received, workspaceBytes: this.ground.disks.workspace.sizeBytes },
        template: stored.template,
        memory: stored.memory,
        device: stored.device,
        scratch: stored.scratch.artifact,
        workspace: {
          status: "captured",
          version_id: newId(),
          artifact: stored.workspace.artifact,
          size_bytes: sizeBytes,
          entry_count: entryCount,
        },
        key_id: tenantKeys(lease.storage).current,
        stored_bytes: newBytesOf(stored),
        pause_ms: Math.round(cut.pausedMs),
      },
      // Not to be called off any more: the answer says what is true.
      { id: lease.run.id, deadline: held.deadline, signal: held.lost },
    );
    if (said.kind === "stale") held.lose("stale");
    if (said.kind === "refused") await (await this.ground.template()).refused(leaseAccess(parts.host, parts.held, held.lost));
    if (said.kind !== "ok") throw new CalledOff(`The park was not accepted: ${JSON.stringify(said)}`);
    if (said.value.state === "resolved") calls.resolved(wait.callId, said.value.outcome);
    if (said.value.state === "refused") return "refused";
    return said.value.state === "parked" ? "parked" : "live";
  }

  /** The machine goes on where it was. A guest that does not is seen by those who watch it. */
  private async thaw(state: "live" | "still" | "paused"): Promise<void> {
    const { parts, guest } = this.ground;
    if (parts.held.lost.aborted) return;
    parts.held.onStanding("moving");
    try {
      if (state === "paused") await guest.machine.resume();
      if (state !== "live") await guest.link.request({ type: "park.abort" }, parts.host.limits.parkPrepareMs);
    } catch (error) {
      if (!this.stopped)
        parts.host.telemetry("background.failed", { what: `thaw of run ${parts.lease.run.id}`, message: errorText(error) });
    }
  }

  private goneWrong(counts: boolean): void {
    if (!counts) return;
    this.notBefore = performance.now() + Math.min(pauses.maxMs, pauses.firstMs * 2 ** this.failures);
    this.failures += 1;
  }
}

function newBytesOf(stored: Stored): number {
  return stored.newBytes + stored.workspace.newBytes + stored.scratch.newBytes;
}

function checkOn(signal: AbortSignal): void {
  if (signal.aborted) throw new CalledOff("The park was called off");
}

/** All of them, or the first failure once none is under way: the files they read are about to change. */
async function settled<A, B, C, D>(works: readonly [Promise<A>, Promise<B>, Promise<C>, Promise<D>]): Promise<[A, B, C, D]> {
  const results = await Promise.allSettled(works);
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as [A, B, C, D];
}
