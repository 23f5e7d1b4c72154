/**
 * Clones made in advance. Under emulation a fresh clone is slow at first, because everything it runs has to be translated once (measured: the
 * first `node` 900 ms, the second 220 ms; attaching 400 and 90). A spare has gone through the motions of a start (`rehearse` of the guest
 * protocol) before anybody needs it, and stands still until then: it costs memory, no processor.
 *
 *   wanted ── quiet for a while ──▶ making ──▶ ready ── take ──▶ (a machine's)
 *                                     └── failed: tried again after a pause
 *
 * Spares belong to one driver object. What a dead worker left in the directory is ended and removed at the first use, or at the end when there was
 * none: a worker that lives only for a moment leaves nothing either.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { SpareWish, Template } from "../driver.ts";
import { within } from "../limited-time.ts";
import { vmLimits } from "../limits.ts";
import { type Clone, type CloneContext, makeClone } from "./clone.ts";
import { endLeftover, findLeftovers } from "./leftovers.ts";
import { askSupervisor } from "./supervisor-question.ts";
import { templateSource } from "./template.ts";

export interface SpareRequest {
  template: Template;
  snapshotable: boolean;
  /** Where the clone's directory shall be. */
  directory: string;
}

export class Spares {
  private readonly directory: string;
  private readonly openContext: () => Promise<CloneContext>;
  private readonly wishes = new Map<string, SpareWish>();
  private readonly ready = new Map<string, Clone[]>();
  private timer: NodeJS.Timeout | undefined;
  private making: Promise<void> | undefined;
  private swept: Promise<void> | undefined;
  private readonly closed = new AbortController();

  constructor(directory: string, openContext: () => Promise<CloneContext>) {
    this.directory = directory;
    this.openContext = openContext;
  }

  /** From now on so many of this kind; nothing is kept of kinds that are not wished for. */
  async wish(wishes: readonly SpareWish[]): Promise<void> {
    this.wishes.clear();
    for (const wish of wishes) this.wishes.set(kindOf(wish), wish);
    for (const [kind, clones] of this.ready) {
      const keep = this.wishes.get(kind)?.count ?? 0;
      for (const clone of clones.splice(keep)) await clone.undo.run();
    }
    this.schedule(0);
  }

  /** A spare that is ready now; its directory has then been moved. */
  async take({ template, snapshotable, directory }: SpareRequest): Promise<Clone | undefined> {
    const clone = this.ready.get(kindOf({ template, snapshotable }))?.pop();
    this.schedule(vmLimits.spareQuietMs);
    if (!clone) return undefined;
    try {
      await clone.monitor.directory.moveTo(directory);
      return clone;
    } catch {
      // On another file system, or its monitor has died meanwhile: a fresh clone serves as well.
      await clone.undo.run();
      return undefined;
    }
  }

  /** Pids of what is ready. */
  list(): number[] {
    return [...this.ready.values()].flat().map(({ monitor }) => monitor.process.pid);
  }

  async close(): Promise<void> {
    clearTimeout(this.timer);
    this.closed.abort();
    await this.making;
    for (const clones of this.ready.values()) for (const clone of clones.splice(0)) await clone.undo.run();
    await this.sweep();
  }

  private sweep(): Promise<void> {
    this.swept ??= sweep(this.directory);
    return this.swept;
  }

  /** Later calls push an earlier appointment back: spares are made when nothing else is going on. */
  private schedule(delayMs: number): void {
    clearTimeout(this.timer);
    if (this.closed.signal.aborted || this.wishes.size === 0) return;
    this.timer = setTimeout(() => this.fill(), delayMs);
    this.timer.unref();
  }

  private fill(): void {
    if (this.making) return this.schedule(vmLimits.spareQuietMs);
    const wish = [...this.wishes].find(([kind, { count }]) => (this.ready.get(kind)?.length ?? 0) < count)?.[1];
    if (!wish) return;
    this.making = this.make(wish)
      .then(
        () => this.schedule(0),
        () => this.schedule(vmLimits.sparePauseMs),
      )
      .finally(() => {
        this.making = undefined;
      });
  }

  private async make(wish: SpareWish): Promise<void> {
    const { template, snapshotable } = wish;
    const { signal } = this.closed;
    await this.sweep();
    const context = await this.openContext();
    const clone = await within({ ms: vmLimits.restoreMs, code: "restore_failed", what: "Making a spare machine", signal }, (bound) => {
      const id = `spare-${randomBytes(6).toString("hex")}`;
      const directory = join(this.directory, id);
      return makeClone(context, {
        id,
        directory,
        template,
        source: templateSource(template),
        snapshotable,
        milliCpu: vmLimits.spareMilliCpu,
        signal: bound,
      });
    });
    try {
      await rehearse(clone, signal);
      const kind = kindOf(wish);
      signal.throwIfAborted();
      this.ready.set(kind, [...(this.ready.get(kind) ?? []), clone]);
      void clone.monitor.process.exited.then(() => this.forget(kind, clone));
    } catch (error) {
      await clone.undo.run();
      throw error;
    }
  }

  /** A monitor that died while it waited. */
  private async forget(kind: string, clone: Clone): Promise<void> {
    const clones = this.ready.get(kind) ?? [];
    const index = clones.indexOf(clone);
    if (index < 0) return;
    clones.splice(index, 1);
    await clone.undo.run().catch(() => {});
    this.schedule(vmLimits.sparePauseMs);
  }
}

function kindOf({ template, snapshotable }: Pick<SpareWish, "template" | "snapshotable">): string {
  return `${template.key} ${snapshotable ? "own" : "private"}`;
}

async function rehearse({ monitor }: Clone, signal: AbortSignal): Promise<void> {
  await monitor.qmp.execute("cont");
  await within({ ms: vmLimits.rehearseMs, code: "restore_failed", what: "The rehearsal of a spare machine", signal }, (bound) =>
    askSupervisor(monitor.control, { type: "rehearse", id: 0 }, bound),
  );
  await monitor.qmp.execute("stop");
}

async function sweep(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const leftover of await findLeftovers(directory)) await endLeftover(leftover);
  for (const name of await readdir(directory)) await rm(join(directory, name), { recursive: true, force: true });
}
