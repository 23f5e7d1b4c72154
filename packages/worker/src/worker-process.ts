/**
 * A worker: the parts of worker-host.ts, the leases it holds, and the loops that get and keep them.
 *
 *   starting ──▶ working ──drain──▶ draining ──▶ stopped
 *
 * Starting looks for what an earlier process left, asks the control plane which of it is still this worker's, goes on with that and removes the
 * rest. Draining claims nothing more, parks what waits, and lets work end for a bounded time; what runs then is interrupted, which keeps its output and
 * its files.
 */
import type { Lease, WorkerFacts } from "@helmr/protocol/worker";
import { Build } from "./build/build.ts";
import { Channel } from "./control/channel.ts";
import { ClaimLoop } from "./control/claim-loop.ts";
import type { HeldLease } from "./control/held-lease.ts";
import { LeaseTable } from "./control/lease-table.ts";
import { CapacityLedger } from "./host/capacity-ledger.ts";
import type { DiskRoom } from "./host/disk-room.ts";
import { pause } from "./host/pause.ts";
import { type Adoptable, findAdoptable, removeLeftovers } from "./leftovers.ts";
import { Mount } from "./mount/mount.ts";
import type { MountSeat } from "./mount/mount-seat.ts";
import { Run } from "./run/run.ts";
import type { RunJournal } from "./run/run-journal.ts";
import { errorText } from "./telemetry.ts";
import { WarmTemplates } from "./templates/warm-templates.ts";
import type { MachineShape } from "./vm/driver.ts";
import { workerFacts } from "./worker-facts.ts";
import type { WorkerHost } from "./worker-host.ts";

export interface WorkerProcessOptions {
  host: WorkerHost;
  room: DiskRoom;
  capacity: { milliCpu: number; memoryMib: number; slots: number };
  warmShapes: readonly MachineShape[];
  drainMs: number;
}

/** The monitor's own memory beside its guest's: measured 60 to 90 MiB. */
const machineOverheadMib = 96;
const startMs = 10 * 60_000;
const interruptMs = 60_000;
/** A park that is under way when a drain's time is over may end. */
const parkOnDrainMs = 15_000;
const lookMs = 500;

/** Work under one lease. Only runs park. */
interface Working {
  done: Promise<void>;
  interrupt: (message: string) => void;
  parkSoon?: () => void;
  isParking?: () => boolean;
  isWaiting?: () => boolean;
}
const builtInRef = "helmr/node:24";
/** How far after the time a granted lease was received its renewal clock may lag: the answer took a moment. */
const receivedMarginMs = 2_000;

export class WorkerRefused extends Error {
  override name = "WorkerRefused";
  readonly code = "worker_refused";
}

export class WorkerProcess {
  private readonly options: WorkerProcessOptions;
  private readonly host: WorkerHost;
  private readonly ledger: CapacityLedger;
  private readonly warming: WarmTemplates;
  private readonly working = new Map<string, Working>();
  /** Of the mounts that are here, by their leases. */
  private readonly seats = new Map<string, MountSeat>();
  private readonly loops: Promise<void>[] = [];
  private table: LeaseTable | undefined;
  private claims: ClaimLoop | undefined;
  private channel: Channel | undefined;
  private draining: Promise<void> | undefined;
  /** Resolves when the control plane does not want this process any more. */
  readonly refused: Promise<string>;
  private refuse: (message: string) => void = () => {};

  constructor(options: WorkerProcessOptions) {
    this.options = options;
    this.host = options.host;
    const { capacity, room } = options;
    const total = { milli_cpu: capacity.milliCpu, memory_mib: capacity.memoryMib, disk_mib: room.usableMib, slots: capacity.slots };
    this.ledger = new CapacityLedger(total, machineOverheadMib);
    this.warming = new WarmTemplates({ ...this.host, room: (shape, signal) => this.roomFor(shape, signal) });
    this.refused = new Promise((resolve) => {
      this.refuse = resolve;
    });
  }

  async start(): Promise<WorkerFacts> {
    const { host } = this;
    const facts = await workerFacts(host);
    const adoptable = await findAdoptable(host.leasesDirectory);
    const until = performance.now() + startMs;
    const answer = await host.client.call(
      "start",
      { facts, total: this.ledger.total, adopt: adoptable.map(({ journal }) => ({ lease_id: journal.leaseId, fence: journal.fence })) },
      { deadline: () => until },
    );
    if (answer.kind !== "ok") throw new WorkerRefused(`The control plane did not take this worker: ${JSON.stringify(answer)}`);
    const { epoch, leases = [] } = answer.value;
    const adopted = leases.filter((lease) => lease.kind === "run" || lease.kind === "mount");
    await removeLeftovers(host.driver, host.leasesDirectory, new Set(adopted.map((lease) => lease.lease_id)));
    this.openLoops(epoch);
    // Mounts first: the runs in their machines find them.
    adopted.sort((left, right) => Number(right.kind === "mount") - Number(left.kind === "mount"));
    for (const lease of adopted) this.begin(lease, performance.now(), journalOf(adoptable, lease.lease_id));
    host.telemetry("worker.started", { epoch, adopted: adopted.length, accelerator: facts.accelerator });
    return facts;
  }

  /** Makes the templates of the default shapes; work may come meanwhile. */
  async warm(): Promise<void> {
    const { host } = this;
    for (const shape of this.options.warmShapes) {
      const began = performance.now();
      try {
        const held = await host.templates.acquire({ ref: builtInRef, path: host.builtInImage }, shape, {
          signal: AbortSignal.timeout(startMs),
        });
        host.spares.used(held);
        host.telemetry("template.ready", { image: builtInRef, ...shape, ms: Math.round(performance.now() - began) });
      } catch (error) {
        host.telemetry("background.failed", { what: `template ${shape.vcpus}x${shape.memoryMib}`, message: errorText(error) });
      }
    }
  }

  /** No new work; what runs may end by itself for a while. Idempotent. */
  drain(reason: string): Promise<void> {
    this.draining ??= this.drainNow(reason);
    return this.draining;
  }

  private async drainNow(reason: string): Promise<void> {
    this.host.telemetry("worker.draining", { reason });
    this.claims?.stop();
    const cold = this.warming.close();
    for (const work of this.working.values()) work.parkSoon?.();
    await this.untilIdle(this.options.drainMs);
    await this.untilIdle(parkOnDrainMs, ({ isParking }) => isParking?.() === true);
    for (const work of this.working.values()) work.interrupt(`The worker was stopped: ${reason}`);
    await this.untilIdle(interruptMs);
    this.table?.stop();
    this.channel?.stop();
    await Promise.all([...this.loops, cold]);
    this.host.telemetry("worker.stopped", { reason });
  }

  /** `counts`: only such work is waited for. */
  private async untilIdle(limitMs: number, counts: (work: Working) => boolean = () => true): Promise<void> {
    const until = performance.now() + limitMs;
    while (performance.now() < until) {
      const left = [...this.working.values()].filter(counts);
      if (left.length === 0) return;
      await Promise.race([...left.map((work) => work.done), pause(Math.min(lookMs, until - performance.now()))]);
    }
  }

  /** The host runs out of memory: what only waits gives its own back. */
  relieve(): void {
    for (const work of this.working.values()) if (work.isWaiting?.() === true) work.parkSoon?.();
  }

  private openLoops(epoch: number): void {
    const { client } = this.host;
    const onDrain = () => void this.drain("asked by the control plane");
    const table = new LeaseTable({ client, epoch, onDrain });
    this.table = table;
    const { live } = this.host;
    const channel = new Channel({
      client,
      onOpen: () => {
        table.renewSoon();
        live.connected({ text: (message) => channel.send(JSON.stringify(message)), bytes: (frame) => channel.send(frame) });
      },
      onClose: () => live.disconnected(),
      onBytes: (frame) => live.received(frame),
      onMessage: (message) => {
        if (message.type === "directive") table.direct(message.directive);
        else if (message.type === "drain") onDrain();
        else live.receive(message);
      },
    });
    this.channel = channel;
    this.claims = new ClaimLoop({
      client,
      epoch,
      ledger: this.ledger,
      kinds: ["run", "build", "mount"],
      warm: () => ({
        images: this.host.templates.warmImages().slice(0, 1000),
        workspaces: [],
        checkpoints: this.host.checkpoints.ids().slice(0, 10_000),
      }),
      held: () => table.ids(),
      mounted: () => this.seats.size > 0,
      room: (free) => ({ ...free, disk_mib: Math.min(free.disk_mib, this.options.room.usableMib) }),
      onLeases: (leases, receivedAt) => {
        for (const lease of leases) this.begin(lease, receivedAt - receivedMarginMs);
      },
      onRefused: (message) => {
        this.host.telemetry("worker.refused", { message });
        this.refuse(message);
      },
    });
    this.loops.push(table.run(), this.channel.run(), this.claims.run());
  }

  private begin(lease: Lease, since: number, journal?: RunJournal): void {
    const { table } = this;
    if (table === undefined || this.working.has(lease.lease_id)) return;
    const held = table.add(lease, since);
    const inMount = lease.kind === "run" && lease.in_mount !== undefined;
    // The machine of a mount is counted once.
    if (!inMount) this.ledger.take(held.id, lease.needs);
    held.onStanding = (state) => this.ledger.standStill(held.id, state);
    this.host.telemetry("lease.claimed", { leaseId: held.id, kind: lease.kind });
    const work = this.workOf(held);
    const done = work.execute(journal).finally(() => {
      table.remove(held);
      this.working.delete(held.id);
      this.seats.delete(held.id);
      this.ledger.release(held.id);
      if (work instanceof Build && this.draining === undefined) this.warming.wish(work.warm, lease.storage);
    });
    this.working.set(held.id, { done, interrupt: (message) => work.interrupt(message), ...parkingOf(work) });
  }

  /** What nothing has taken, processors included: leases come first. */
  private async roomFor(shape: MachineShape, signal: AbortSignal): Promise<boolean> {
    for (;;) {
      if (signal.aborted) return false;
      const { milli_cpu: milliCpu, memory_mib: memoryMib, slots } = this.ledger.free();
      if (slots > 0 && memoryMib >= shape.memoryMib && milliCpu >= Math.min(1000 * shape.vcpus, this.ledger.total.milli_cpu)) return true;
      await this.ledger.released(signal);
    }
  }

  private workOf(held: HeldLease): { execute(journal?: RunJournal): Promise<void>; interrupt(message: string): void } {
    const { lease } = held;
    if (lease.kind === "run") return new Run(this.host, held, lease.in_mount && this.seats.get(lease.in_mount.lease_id));
    if (lease.kind === "build") return new Build(this.host, held);
    const mount = new Mount(this.host, held);
    this.seats.set(held.id, mount.seat);
    return mount;
  }
}

/** How work makes room that only waits: a run is parked, a mount captured. */
function parkingOf(work: object): Pick<Working, "parkSoon" | "isParking" | "isWaiting"> {
  if (work instanceof Run) return { parkSoon: () => work.parkSoon(), isParking: () => work.isParking, isWaiting: () => work.isWaiting };
  return work instanceof Mount ? { parkSoon: () => work.parkSoon(), isWaiting: () => work.isWaiting() } : {};
}

function journalOf(adoptable: Adoptable[], leaseId: string): RunJournal | undefined {
  return adoptable.find(({ journal }) => journal.leaseId === leaseId)?.journal;
}
