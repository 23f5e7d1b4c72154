/**
 * All leases this process holds, and their renewal: one call for all of them every `leaseRenewMs`, and at once when somebody says that there
 * is news. A call that fails is repeated sooner; what that means for a lease is its own deadline's to say. Directives come with renewals and
 * over the channel; each is safe to repeat, so both ways just deliver.
 */
import { limits as wireLimits } from "@helmr/protocol/shared";
import type { Directive, Lease } from "@helmr/protocol/worker";
import { pause } from "../host/pause.ts";
import type { WorkerClient } from "./client.ts";
import { HeldLease } from "./held-lease.ts";

export interface LeaseTableOptions {
  client: WorkerClient;
  epoch: number;
  renewMs?: number;
  onDrain: () => void;
}

const retryMs = 1_000;

export class LeaseTable {
  private readonly options: LeaseTableOptions;
  private readonly held = new Map<string, HeldLease>();
  private readonly stopping = new AbortController();
  private wake = new AbortController();

  constructor(options: LeaseTableOptions) {
    this.options = options;
  }

  ids(): string[] {
    return [...this.held.keys()];
  }

  all(): HeldLease[] {
    return [...this.held.values()];
  }

  add(lease: Lease, since: number): HeldLease {
    const held = new HeldLease(lease, since);
    this.held.set(held.id, held);
    return held;
  }

  remove(held: HeldLease): void {
    held.release();
    this.held.delete(held.id);
  }

  direct(directive: Directive): void {
    this.held.get(directive.lease_id)?.direct(directive);
  }

  /** Renews as soon as possible: the channel was away, or a lease is new. */
  renewSoon(): void {
    this.wake.abort();
  }

  /** Renews until `stop`. Never rejects. */
  async run(): Promise<void> {
    const { signal } = this.stopping;
    let waitMs = this.renewMs;
    while (!signal.aborted) {
      await pause(waitMs, AbortSignal.any([signal, this.wake.signal]));
      this.wake = new AbortController();
      if (signal.aborted) return;
      waitMs = (await this.renew()) ? this.renewMs : Math.min(retryMs, this.renewMs);
    }
  }

  stop(): void {
    this.stopping.abort();
  }

  private get renewMs(): number {
    return this.options.renewMs ?? wireLimits.leaseRenewMs;
  }

  private async renew(): Promise<boolean> {
    const leases = this.all().filter((held) => !held.lost.aborted);
    if (leases.length === 0) return true;
    const since = performance.now();
    const body = {
      epoch: this.options.epoch,
      leases: leases.map(({ fenced, report }) => ({
        ...fenced,
        ...(report === undefined ? {} : { active_ms: Math.round(report.activeMs()), open_calls: report.openCalls().slice(0, 64) }),
      })),
    };
    // Not longer than one period: the next call then says what is true by then.
    const result = await this.client.call("renew", body, { deadline: () => since + this.renewMs, signal: this.stopping.signal });
    if (result.kind !== "ok") return false;
    for (const one of result.value.results) {
      const held = this.held.get(one.lease_id);
      if (held === undefined) continue;
      if (one.state === "stale") held.lose("stale");
      else {
        held.extend(one.ttl_ms, since);
        for (const directive of one.directives) held.direct(directive);
      }
    }
    if (result.value.drain) this.options.onDrain();
    return true;
  }

  private get client(): WorkerClient {
    return this.options.client;
  }
}
