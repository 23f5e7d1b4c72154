/** What a run is while it is on this host: what it has, where it stands, what was decided. Its life is in run.ts. */
import type { RunEnded } from "@helmr/protocol/guest";
import type { Masker } from "@helmr/protocol/shared";
import type { RunLease } from "@helmr/protocol/worker";
import type { HeldLease } from "../control/held-lease.ts";
import type { GuestMachine, MachineDisks } from "../guest/guest-machine.ts";
import type { Cleanup } from "../host/cleanup.ts";
import type { WorkerHost } from "../worker-host.ts";
import type { ActiveClock } from "./active-clock.ts";
import type { ParkedCut } from "./park-run.ts";
import type { Reporter } from "./reporter.ts";
import type { HostVerdict } from "./run-end.ts";
import type { RunOutput } from "./run-output.ts";
import type { RunTimeline } from "./run-timeline.ts";
import type { Spool } from "./spool.ts";

export type Decision =
  | { by: "guest"; ended: RunEnded }
  | { by: "host"; verdict: HostVerdict }
  /** The control plane has the cut: nothing runs here any more. */
  | { by: "parked"; cut: ParkedCut }
  /** It could not be brought back, and the control plane knows. */
  | { by: "unrestored" }
  | { by: "lost" };

export type RunState =
  | { phase: "preparing" }
  | { phase: "booting"; disks: MachineDisks }
  | { phase: "attached"; disks: MachineDisks; guest: GuestMachine }
  /** Without a guest: its machine was gone when this process came to take it over. */
  | { phase: "running"; disks: MachineDisks; guest: GuestMachine | undefined }
  | { phase: "ending" }
  | { phase: "finished" };

/** What a run has from its first moment to its last. */
export interface RunParts {
  host: WorkerHost;
  held: HeldLease;
  lease: RunLease;
  directory: string;
  cleanup: Cleanup;
  masker: Masker;
  clock: ActiveClock;
  spool: Spool;
  output: RunOutput;
  reporter: Reporter;
  timeline: RunTimeline;
  /** Its program began under an earlier lease. */
  isResumed: boolean;
}
