/**
 * Asks for work while there is room for it: a long poll with what is free, woken by the control plane. While machines run the poll is short,
 * because what is free changes; an answer may bring several leases. Without room it asks only while mounts are here: a run that uses the machine of
 * one needs nothing; such a poll is given up as soon as there is room again.
 */
import type { Capacity, ClaimRequest, Lease } from "@helmr/protocol/worker";
import type { CapacityLedger } from "../host/capacity-ledger.ts";
import { pause } from "../host/pause.ts";
import type { CallResult, WorkerClient } from "./client.ts";

export interface ClaimLoopOptions {
  client: WorkerClient;
  epoch: number;
  ledger: CapacityLedger;
  kinds: ClaimRequest["kinds"];
  warm: () => ClaimRequest["warm"];
  held: () => string[];
  /** Whether machines of mounts are here, which runs could use. */
  mounted: () => boolean;
  /** Room on the disk, which the ledger cannot know: undefined when nothing may start now. */
  room: (free: Capacity) => Capacity | undefined;
  onLeases: (leases: Lease[], receivedAt: number) => void;
  /** The control plane does not want this process any more (unknown credential, newer epoch). */
  onRefused: (message: string) => void;
}

const nothingFree: Capacity = { milli_cpu: 0, memory_mib: 0, disk_mib: 0, slots: 0 };
const waits = { idleMs: 25_000, busyMs: 3_000, answerMs: 10_000, refusedMs: 5_000, noRoomMs: 2_000 } as const;

export class ClaimLoop {
  private readonly options: ClaimLoopOptions;
  private readonly stopping = new AbortController();

  constructor(options: ClaimLoopOptions) {
    this.options = options;
  }

  get stopped(): boolean {
    return this.stopping.signal.aborted;
  }

  /** Runs until `stop`. Never rejects. */
  async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const free = this.free();
      if (free === undefined && !this.options.mounted()) {
        await Promise.race([this.options.ledger.released(signal), pause(waits.noRoomMs, signal)]);
        continue;
      }
      const result = await (free === undefined ? this.claimWithoutRoom() : this.claim(free, signal));
      if (result.kind === "ok") {
        if (result.value.leases.length > 0) this.options.onLeases(result.value.leases, performance.now());
      } else if (result.kind === "refused") {
        this.options.onRefused(`${result.status} ${result.code}: ${result.message}`);
        await pause(waits.refusedMs, signal);
      }
    }
  }

  /** No further claim; one that is under way is given up. What it might have brought is given again by the next claim, or expires. */
  stop(): void {
    this.stopping.abort();
  }

  private free(): Capacity | undefined {
    const free = this.options.ledger.free();
    if (free.slots === 0 || free.memory_mib === 0 || free.milli_cpu === 0) return undefined;
    return this.options.room(free);
  }

  /** What an answer that is given up might have brought is given again by the next claim. */
  private async claimWithoutRoom(): Promise<CallResult<{ leases: Lease[] }>> {
    const over = new AbortController();
    const signal = AbortSignal.any([this.stopping.signal, over.signal]);
    void this.options.ledger.released(signal).then(() => over.abort());
    try {
      return await this.claim(nothingFree, signal);
    } finally {
      over.abort();
    }
  }

  private claim(free: Capacity, signal: AbortSignal): Promise<CallResult<{ leases: Lease[] }>> {
    const { client, epoch, kinds, ledger, warm, held } = this.options;
    const waitMs = ledger.leases === 0 ? waits.idleMs : waits.busyMs;
    const attemptMs = waitMs + waits.answerMs;
    const since = performance.now();
    const body = { epoch, free, kinds, warm: warm(), held: held(), wait_ms: waitMs };
    return client.call("claim", body, { deadline: () => since + attemptMs, attemptMs, signal });
  }
}
