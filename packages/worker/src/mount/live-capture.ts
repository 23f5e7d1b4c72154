/**
 * Versions of a workspace whose machine goes on: what was written is copied as of one instant (vm/driver.ts, copyDisk), while the guest holds its file
 * system still for milliseconds; hashing, storing and committing come afterwards, beside whatever runs.
 *
 *   idle ──capture──▶ copying ──▶ storing ──▶ said ──▶ idle        one at a time, in the order they were asked for
 *
 * The first capture copies everything since the machine began, each later one what was written since the one before. When something fails after the
 * copy, what it held is not known to be kept anywhere, so the next capture begins from the start again; what is the same is not stored twice anyway.
 */
import { rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { thawResult } from "@helmr/protocol/guest";
import type { ChunkManifest, LiveCaptureResult, LiveRequest } from "@helmr/protocol/worker";
import { readsUnchanged } from "../chunks/store-blocks.ts";
import type { HeldLease } from "../control/held-lease.ts";
import type { LayeredDisk, StoredDisk } from "../disks/layered-disk.ts";
import type { GuestMachine } from "../guest/guest-machine.ts";
import { newId } from "../new-id.ts";
import type { DiskCopy } from "../vm/driver.ts";
import type { WorkerHost } from "../worker-host.ts";
import type { Access } from "../workspace/base-store.ts";

export type CaptureRequest = Extract<LiveRequest, { kind: "capture" }>;

export interface CaptureGround {
  host: WorkerHost;
  held: HeldLease;
  guest: GuestMachine;
  workspace: LayeredDisk;
  mountId: string;
  /** Of the lease; for the copies. */
  directory: string;
  access: (signal: AbortSignal) => Access;
  /** Whether something may have been written since this was asked the last time; called again at the instant of the copy. */
  takeWritten: (now: { programEnded: boolean }) => boolean;
  /** What was taken is not kept. */
  putWrittenBack: () => void;
}

/** An answer that is no version, in a word for the control plane and a sentence. */
export class CaptureRefused extends Error {
  override name = "CaptureRefused";
  readonly code: "head_moved" | "ending" | "stale" | "failed";
  constructor(code: CaptureRefused["code"], message: string) {
    super(message);
    this.code = code;
  }
}

interface Taking {
  now: { programEnded: boolean };
  keep: (tree: StoredDisk) => Promise<void>;
}

const holdMs = 5_000;
/** What the copy may not take of the host's disk: a guest's write that finds no room there fails. */
const spareBytes = 256 * 1024 * 1024;

export class LiveCapture {
  private readonly ground: CaptureGround;
  private readonly ending = new AbortController();
  private turn: Promise<unknown> = Promise.resolve();
  /** What the last version of this machine holds. */
  private last: ChunkManifest | undefined;
  private lastVersionId: string | undefined;
  /** The disk's changes since `last` are known to the machine. */
  private chained = false;

  constructor(ground: CaptureGround) {
    this.ground = ground;
  }

  /** Answers a request of the control plane. */
  async capture(request: CaptureRequest): Promise<LiveCaptureResult> {
    const { version_id } = request;
    return this.inTurn(async () => {
      // Asked again after an answer that was lost.
      if (this.lastVersionId === version_id) return { state: "captured", version_id, pause_ms: 0, stored_bytes: 0 };
      const now = { programEnded: false };
      if (!this.ground.takeWritten(now)) return { state: "unchanged" };
      const { pauseMs, newBytes } = await this.take(version_id, { now, keep: (tree) => this.say(request, tree) });
      return { state: "captured", version_id, pause_ms: pauseMs, stored_bytes: newBytes };
    });
  }

  /**
   * The tree as it is now, stored; `keep` makes a version of it, which is what the next one is compared with. When `keep` fails, nothing was kept.
   * For the end of a program in a machine that goes on.
   */
  async tree(versionId: string, keep: (tree: StoredDisk) => Promise<void>): Promise<void> {
    await this.inTurn(() => this.take(versionId, { now: { programEnded: true }, keep }));
  }

  /** The machine is about to end: what is under way is given up. Resolves when nothing is. */
  async stop(): Promise<void> {
    this.ending.abort();
    await this.turn;
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.turn.then(() => {
      if (this.ending.signal.aborted) throw new CaptureRefused("ending", "The machine is about to end");
      return work();
    });
    this.turn = done.catch(() => undefined);
    return done;
  }

  private async take(versionId: string, { now, keep }: Taking): Promise<StoredDisk & { pauseMs: number }> {
    const { host, held, directory, workspace, takeWritten, putWrittenBack } = this.ground;
    const began = performance.now();
    const signal = AbortSignal.any([this.ending.signal, held.lost, AbortSignal.timeout(host.limits.captureMs)]);
    const target = join(directory, `capture-${newId()}.qcow2`);
    const chain = this.chained && this.last !== undefined && !readsUnchanged(this.last);
    takeWritten(now);
    try {
      await this.expectRoom();
      const copy = await workspace.emptyCopy(target);
      const pauseMs = await this.copy(target, { since: chain ? "copy" : "start", now, signal });
      // Until it is kept, nobody knows what the copy held.
      this.chained = false;
      const access = this.ground.access(signal);
      const stored = await copy.store(host.artifacts, access, this.last);
      await keep(stored);
      this.last = stored.manifest;
      this.lastVersionId = versionId;
      this.chained = true;
      await host.artifacts.learn(access.keys.orgId, stored.manifest);
      const ms = Math.round(performance.now() - began);
      host.telemetry("mount.capture", { leaseId: held.id, ms, pauseMs: Math.round(pauseMs), newBytes: stored.newBytes });
      return { ...stored, pauseMs };
    } catch (error) {
      putWrittenBack();
      if (this.ending.signal.aborted) throw new CaptureRefused("ending", "The machine ended meanwhile");
      throw error;
    } finally {
      await rm(target, { force: true });
    }
  }

  /** The copy is never larger than what was written to the disk. */
  private async expectRoom(): Promise<void> {
    const { directory, workspace } = this.ground;
    const [{ blocks }, { bavail, bsize }] = await Promise.all([stat(workspace.path), statfs(directory)]);
    const needed = blocks * 512 + spareBytes;
    if (bavail * bsize < needed)
      throw new CaptureRefused("failed", `The worker's disk has ${bavail * bsize} bytes left, and the copy may need ${needed}`);
  }

  /** How long writers stood still. */
  private async copy(target: string, { since, now, signal }: Pick<Taking, "now"> & Pick<DiskCopy, "since" | "signal">): Promise<number> {
    const { guest, host, takeWritten } = this.ground;
    const { link, machine } = guest;
    let pauseMs = 0;
    const at = async (cut: () => Promise<void>) => {
      await link.request({ type: "sync", freeze: true, holdMs }, host.limits.syncMs);
      // From here on it stands still: what comes later is of the next version.
      takeWritten(now);
      let held: unknown;
      try {
        await cut();
      } finally {
        held = await link.request({ type: "thaw" }, host.limits.syncMs);
      }
      const said = thawResult.safeParse(held);
      if (!said.success)
        throw new CaptureRefused("failed", "The guest is of an earlier release, which cannot tell for how long it stood still");
      if (said.data.late) throw new CaptureRefused("failed", `The host took longer than ${holdMs} ms to note what belongs to the version`);
      pauseMs = said.data.heldUs / 1000;
    };
    await machine.copyDisk("workspace", { target, since, at, signal });
    return pauseMs;
  }

  private async say(request: CaptureRequest, { artifact, tree }: StoredDisk): Promise<void> {
    const { host, held, mountId } = this.ground;
    const body = { ...held.fenced, version_id: request.version_id, artifact, size_bytes: tree.sizeBytes, entry_count: tree.entryCount };
    const options = { id: mountId, deadline: held.deadline, signal: held.lost };
    const answer = await host.client.call("mountCaptured", { ...body, message: request.message }, options);
    if (answer.kind === "stale") throw new CaptureRefused("stale", "The mount is not held by this worker any more");
    if (answer.kind !== "ok") throw new CaptureRefused("failed", `The control plane did not take the version: ${JSON.stringify(answer)}`);
    if (answer.value.state === "head_moved")
      throw new CaptureRefused("head_moved", "the workspace's current version became another one while it was mounted");
    if (answer.value.state === "taken") throw new CaptureRefused("failed", "The version was made by another request meanwhile");
  }
}
