/**
 * A lease that this process holds: its deadline, which moves with every renewal, and the end of holding it.
 *
 *   held → released   the holder has completed its work
 *        → lost       stale (the control plane says so), expired (no renewal arrived in time), fenced (told so at once)
 *
 * Whoever works under it listens to `lost` and kills the machine first; then nothing more is said about the lease.
 */
import type { Directive, Lease } from "@helmr/protocol/worker";

export type LossReason = "stale" | "expired" | "fenced";

export interface LeaseReport {
  /** Time the user's code was active, for the renewal. */
  activeMs(): number;
  /** Program calls that wait for an answer. */
  openCalls(): number[];
}

export class HeldLease {
  readonly lease: Lease;
  private readonly losing = new AbortController();
  private deadlineAt: number;
  private timer: NodeJS.Timeout | undefined;
  private ended = false;
  private extended: (() => void)[] = [];
  private handlers: ((directive: Directive) => void)[] = [];
  /** Directives that came before anybody listened. */
  private early: Directive[] = [];
  report: LeaseReport | undefined;
  /** Its machine stands still for a cut that is being stored, or moves again. */
  onStanding: (state: "still" | "moving") => void = () => {};

  /** `since`: when the answer that granted it was asked for or received, on the clock of `performance.now()`. */
  constructor(lease: Lease, since: number) {
    this.lease = lease;
    this.deadlineAt = since + lease.ttl_ms;
    this.watch();
  }

  get id(): string {
    return this.lease.lease_id;
  }

  get fenced(): { lease_id: string; fence: number } {
    return { lease_id: this.lease.lease_id, fence: this.lease.fence };
  }

  /** Aborted with a LossReason when the lease is lost. */
  get lost(): AbortSignal {
    return this.losing.signal;
  }

  get lossReason(): LossReason | undefined {
    return this.losing.signal.reason as LossReason | undefined;
  }

  readonly deadline = (): number => this.deadlineAt;

  leftMs(): number {
    return Math.max(0, Math.floor(this.deadlineAt - performance.now()));
  }

  extend(ttlMs: number, since: number): void {
    if (this.ended || this.losing.signal.aborted) return;
    this.deadlineAt = Math.max(this.deadlineAt, since + ttlMs);
    this.watch();
    for (const listener of this.extended) listener();
  }

  /** Called after each renewal, to tell the guest. */
  onExtended(listener: () => void): void {
    this.extended.push(listener);
  }

  onDirective(handler: (directive: Directive) => void): void {
    this.handlers.push(handler);
    const early = this.early;
    this.early = [];
    for (const directive of early) handler(directive);
  }

  direct(directive: Directive): void {
    if (directive.type === "fenced") {
      this.lose("fenced");
      return;
    }
    if (this.handlers.length === 0) this.early.push(directive);
    for (const handler of this.handlers) handler(directive);
  }

  lose(reason: LossReason): void {
    if (this.ended || this.losing.signal.aborted) return;
    clearTimeout(this.timer);
    this.losing.abort(reason);
  }

  /** The work is done and said: nothing is watched any more. */
  release(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.extended = [];
    this.handlers = [];
  }

  private watch(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.lose("expired"), this.leftMs());
  }
}
