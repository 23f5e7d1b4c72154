/**
 * A cancel of a run, which may be asked for several times and harder each time:
 *
 *   asked before the program runs   decided at once: there is nothing to stop gently
 *   asked                            the guest aborts the task's signal and stops it after its grace
 *   asked with force                 the guest stops the program at once
 *   `cancelTotalMs` after the first, or `forceMs` after the first with force, and still running: decided here, with the machine
 */
import type { Directive } from "@helmr/protocol/worker";
import type { HostRequest } from "../guest/guest-link.ts";
import type { RunLimits } from "../limits.ts";

type Cancel = Extract<Directive, { type: "cancel" }>;
type Send = (request: Extract<HostRequest, { type: "run.cancel" }>) => Promise<unknown>;

export class CancelWatch {
  /** What was asked for so far. */
  asked: { forced: boolean } | undefined;
  private readonly limits: RunLimits;
  private readonly onLate: (forced: boolean) => void;
  private send: Send | undefined;
  private timer: NodeJS.Timeout | undefined;
  private lateAt = Infinity;
  private stopped = false;

  constructor(limits: RunLimits, onLate: (forced: boolean) => void) {
    this.limits = limits;
    this.onLate = onLate;
  }

  /** From here on there is a program that can be told. */
  begin(send: Send): void {
    this.send = send;
  }

  ask(cancel: Cancel, phase: "running" | "not_running"): void {
    if (this.stopped) return;
    const repeated = this.asked !== undefined && (this.asked.forced || !cancel.force);
    if (repeated) return;
    this.asked = { forced: cancel.force };
    if (phase === "not_running") {
      this.onLate(cancel.force);
      return;
    }
    const graceMs = cancel.force ? 0 : this.limits.cancelGraceMs;
    // An error answer means that the program has ended by itself, or that the guest is gone; both are seen elsewhere.
    this.send?.({ type: "run.cancel", force: cancel.force, reason: cancel.reason.slice(0, 4096), graceMs }).catch(() => {});
    this.lateAt = Math.min(this.lateAt, performance.now() + (cancel.force ? this.limits.forceMs : this.limits.cancelTotalMs));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.onLate(true), Math.max(0, this.lateAt - performance.now()));
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }
}
