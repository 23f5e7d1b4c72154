/** What runs and builds are given: the parts of this worker, wired by main.ts. */
import type { ArtifactStore } from "./chunks/artifact-store.ts";
import type { CheckpointCache } from "./checkpoints/checkpoint-cache.ts";
import type { CutStore } from "./checkpoints/cut.ts";
import type { WorkerClient } from "./control/client.ts";
import type { EmptyDisks } from "./disks/empty-disks.ts";
import type { Gate } from "./host/limited.ts";
import type { NetworkPeer } from "./host/network-peer.ts";
import type { ImageGround } from "./images/image-ground.ts";
import type { RunLimits } from "./limits.ts";
import type { LiveDesk } from "./mount/live-desk.ts";
import type { Telemetry } from "./telemetry.ts";
import type { SparePlan } from "./templates/spare-plan.ts";
import type { GuestFiles, TemplateStore } from "./templates/template-store.ts";
import type { VmDriver } from "./vm/driver.ts";
import type { BaseStore } from "./workspace/base-store.ts";

export interface WorkerHost {
  client: WorkerClient;
  driver: VmDriver;
  templates: TemplateStore;
  spares: SparePlan;
  /** Machines come up as many at a time as there are processors: more of them at once would all be late. */
  starts: Gate;
  bases: BaseStore;
  empties: EmptyDisks;
  artifacts: ArtifactStore;
  /** Bytes of parked machines, between this host and the store; and those that are still here. */
  cuts: CutStore;
  checkpoints: CheckpointCache;
  network: NetworkPeer;
  /** The live path: execs, terminals, files and ports of what is mounted here. */
  live: LiveDesk;
  telemetry: Telemetry;
  limits: RunLimits;
  /** One private directory per lease is made in here. */
  leasesDirectory: string;
  /** The image that every worker has: root file system of the built-in base image. */
  builtInImage: string;
  /** What the install gives to all its guests: registry and certificates of the operator. */
  guest: { environment: Record<string, string>; extraCa: string | undefined };
  scratchMib: number;
  images: ImageGround;
  /** What its machines are made of. */
  guestFiles: GuestFiles;
}
