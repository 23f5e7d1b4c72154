/**
 * Sends what is in the spool to the control plane, in order, one request at a time: at once when nothing is under way, and everything that has
 * come meanwhile with the next. A request is repeated to the end of the lease; what was accepted leaves the spool.
 */
import type { WorkerClient } from "../control/client.ts";
import type { HeldLease } from "../control/held-lease.ts";
import type { Spool } from "./spool.ts";

export interface ReporterOptions {
  client: WorkerClient;
  held: HeldLease;
  runId: string;
  attemptId: string;
  spool: Spool;
  /** The control plane will never take what is in the spool. */
  onRefused: (message: string) => void;
}

const batch = { items: 1000, bytes: 768 * 1024 } as const;

export class Reporter {
  private readonly options: ReporterOptions;
  private sending: Promise<void> | undefined;
  private over = false;
  /** Last item that the control plane has. */
  accepted: number;

  constructor(options: ReporterOptions, accepted: number) {
    this.options = options;
    this.accepted = accepted;
    options.spool.patient = () => this.sending !== undefined;
    options.spool.onItems = () => this.pump();
    options.held.lost.addEventListener("abort", () => this.stop(), { once: true });
  }

  pump(): void {
    if (this.sending !== undefined || this.over) return;
    this.sending = this.sendAll().finally(() => {
      this.sending = undefined;
      this.options.spool.pump();
    });
  }

  /** Resolves when everything in the spool was accepted, or nothing will be any more. */
  async drain(): Promise<void> {
    const { spool } = this.options;
    for (;;) {
      await spool.flush();
      if (this.over || this.accepted >= spool.lastItem) return;
      this.pump();
      await this.sending;
    }
  }

  stop(): void {
    this.over = true;
  }

  private async sendAll(): Promise<void> {
    const { spool, client, held, runId, attemptId, onRefused } = this.options;
    while (!this.over) {
      const next = await spool.batch(batch);
      if (next === undefined) return;
      const body = { ...held.fenced, attempt_id: attemptId, ...next };
      const result = await client.call("report", body, { id: runId, deadline: held.deadline, signal: held.lost });
      if (result.kind === "ok") {
        this.accepted = Math.max(this.accepted, result.value.accepted);
        await spool.accepted(result.value.accepted);
      } else {
        this.over = true;
        if (result.kind === "stale") held.lose("stale");
        else if (result.kind === "lost") held.lose("expired");
        else
          onRefused(
            result.kind === "gap"
              ? `item ${result.expected} is expected, but ${next.first} is the oldest here`
              : `${result.status}: ${result.message}`,
          );
      }
    }
  }
}
