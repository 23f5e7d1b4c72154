/** What operations of the engine work with; put together once by `main/` (and by test/platform). */
import type { Directive, MountLease, RunLease } from "@helmr/protocol/worker";
import { unreachable } from "./assert.ts";
import type { BlobStore } from "./blobs/port.ts";
import type { Dispatch } from "./dispatch/port.ts";
import type { LeaseLoss } from "./domain/lease.ts";
import type { Hints } from "./hints.ts";
import type { Live } from "./live.ts";
import type { Keys } from "./secrets.ts";
import type { Db, Tx } from "./store/db.ts";
import type { LockedRun } from "./store/run.ts";
import type { Gates } from "./operations/open-gates.ts";

export interface EngineContext {
  db: Db;
  hints: Hints;
  live: Live;
  keys: Keys;
  dispatch: Dispatch;
  blobs: BlobStore;
  gates: Gates;
  hooks: EngineHooks;
  parking: ParkingSettings;
  mounts: MountSettings;
}

export interface MountSettings {
  /** A mount in which nothing happened for so long is captured and stopped (milliseconds). */
  idleMs: number;
}

/** How long things stay as they are before a run is parked, or given up (milliseconds). */
export interface ParkingSettings {
  /** A token or stream wait stays live for so long, a timer for so long; then its holder should park (sdk §8.3). */
  waitLiveMs: number;
  timerLiveMs: number;
  /** A run that no worker can resume for so long is decided by its task. */
  resumeWaitMs: number;
}

/**
 * Where other parts of the product join an operation, inside its transaction. Rows of session, workspace and run are locked; a hook may throw only what a
 * statement throws.
 */
export interface EngineHooks {
  /** A run has finished; its session may go on with the next one. */
  runFinished: readonly ((tx: Tx, run: LockedRun) => Promise<void>)[];
  /** A lease of a mount of its own (no run) was lost. */
  loseMountLease(context: EngineContext, leaseId: string, loss: LeaseLoss): Promise<boolean>;
  /** Directives of other parts: outcomes of waits, parking, processes, captures. */
  readDirectives(context: EngineContext, leases: readonly { leaseId: string; openCalls: number[] }[]): Promise<Directive[]>;
  /** A run's machine is up and its workspace mounted there: what waits for a machine is bound to it. */
  attemptStarted(tx: Tx, context: EngineContext, mounted: { workspaceId: string; leaseId: string }): Promise<void>;
  /** What leases of mounts of their own carry. */
  readMountLeases(context: EngineContext, leaseIds: string[]): Promise<MountLease[]>;
  /** The checkpoint a leased run begins from, with the outcome of its wait; undefined when it cannot, and the lease was ended for that. */
  readCheckpoint(
    context: EngineContext,
    resuming: { checkpointId: string; leaseId: string; baseVersionId: string },
  ): Promise<NonNullable<RunLease["checkpoint"]> | undefined>;
  /** A deployment becomes the current one of its environment (locked): declarative schedules follow. */
  deploymentPromoted: readonly ((
    tx: Tx,
    promoted: { orgId: string; projectId: string; environmentId: string; deploymentId: string },
  ) => Promise<void>)[];
}

/** Where nobody has joined: no waits, no mounts of their own. */
export const noHooks: EngineHooks = {
  runFinished: [],
  deploymentPromoted: [],
  readDirectives: () => Promise.resolve([]),
  attemptStarted: () => Promise.resolve(),
  readMountLeases: () => unreachable("mount leases are granted by the workspace engine"),
  readCheckpoint: () => unreachable("checkpoints are made by parking"),
  loseMountLease: () => unreachable("mount leases are granted by the workspace engine"),
};

/** Names of hints, in one place: who sends and who listens must agree. */
export const topic = {
  run: (id: string) => `run:${id}`,
  logs: (runId: string) => `logs:${runId}`,
  session: (id: string) => `session:${id}`,
  deployment: (id: string) => `deployment:${id}`,
  worker: (id: string) => `worker:${id}`,
  exec: (id: string) => `exec:${id}`,
  /** The mount of this workspace. */
  mount: (workspaceId: string) => `mount:${workspaceId}`,
  /** A reconciler has something to look at. */
  reconcile: (name: string) => `reconcile:${name}`,
} as const;
