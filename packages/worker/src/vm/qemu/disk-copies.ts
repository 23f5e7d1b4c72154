/**
 * Copies of what was written to a disk of a running machine, as of one instant: a backup job of the monitor into an empty overlay, which copies old content
 * out of the way of new writes. A dirty bitmap, begun with the first copy, says what the next one must hold, so that it costs what was written since.
 *
 * The bitmap lives as long as the monitor. Another process of the worker does not know it and begins with another one.
 */
import type { DiskCopy, MachineDiskSlot } from "../driver.ts";
import { VmError } from "../driver.ts";
import { diskNodeName, overlayAlone } from "./command-line.ts";
import type { FilePasser } from "./file-passer.ts";
import { DescriptorTable } from "./launch.ts";
import type { Qmp } from "./qmp.ts";

/** Above those of disks (assign-disks.ts), at a place that an earlier process of this worker has hardly been. */
const firstSet = 10_000;

export interface CopyGround {
  qmp: Qmp;
  files: FilePasser;
  /** A command whose failure to be answered ends the machine. */
  command: (name: string, args: Record<string, unknown>) => Promise<unknown>;
}

export class DiskCopies {
  private readonly ground: CopyGround;
  private readonly bitmaps = new Map<MachineDiskSlot, string>();
  private next = firstSet + (Date.now() % 1_000_000_000);

  constructor(ground: CopyGround) {
    this.ground = ground;
  }

  async copy(slot: MachineDiskSlot, wanted: DiskCopy): Promise<void> {
    const { signal, target } = wanted;
    const { qmp, command } = this.ground;
    const bitmap = this.bitmaps.get(slot);
    if (wanted.since === "copy" && bitmap === undefined)
      throw new VmError("copy_failed", `No copy of ${slot} was made before in this process`);
    this.next += 1;
    const set = this.next;
    const name = `copy-${set}`;
    await this.give(target, set, signal);
    try {
      await command("blockdev-add", overlayAlone(name, set));
      const since = wanted.since === "copy" && bitmap !== undefined ? { name: bitmap, isNew: false } : { name, isNew: true };
      try {
        await this.run({ slot, job: name, since, wanted });
      } finally {
        // What it holds is complete in the file only then.
        await qmp.execute("blockdev-del", { "node-name": name }).catch(() => {});
      }
      if (!since.isNew) return;
      this.bitmaps.set(slot, name);
      if (bitmap !== undefined) await command("block-dirty-bitmap-remove", { node: diskNodeName(slot), name: bitmap });
    } finally {
      await qmp.execute("remove-fd", { "fdset-id": set }).catch(() => {});
    }
  }

  private async give(path: string, set: number, signal: AbortSignal): Promise<void> {
    const files = new DescriptorTable();
    try {
      await files.add(path, "write");
      await this.ground.files.pass(files, [set], signal);
    } finally {
      await files.close();
      this.ground.files.renew();
    }
  }

  private async run({ slot, job, since, wanted }: RunCopy): Promise<void> {
    const node = diskNodeName(slot);
    const { qmp, command } = this.ground;
    const backup = { "job-id": job, device: node, target: job };
    const actions = since.isNew
      ? [
          { type: "block-dirty-bitmap-add", data: { node, name: since.name } },
          { type: "blockdev-backup", data: { ...backup, sync: "top" } },
        ]
      : [{ type: "blockdev-backup", data: { ...backup, sync: "incremental", bitmap: since.name } }];
    const ended = jobEnd(qmp, job);
    let cut = false;
    try {
      await wanted.at(async () => {
        await command("transaction", { actions });
        cut = true;
      });
      if (!cut) throw new VmError("copy_failed", `The copy of ${slot} was given up`);
      await untilOver(ended.over, wanted.signal);
    } catch (error) {
      if (cut) await this.giveUp(job, ended.over);
      if (cut && since.isNew) await qmp.execute("block-dirty-bitmap-remove", { node, name: since.name }).catch(() => {});
      throw error;
    } finally {
      ended.forget();
    }
  }

  /** It may have ended already. */
  private async giveUp(job: string, over: Promise<void>): Promise<void> {
    const { qmp } = this.ground;
    const cancelled = await qmp.execute("block-job-cancel", { device: job, force: true }).then(
      () => true,
      () => false,
    );
    if (cancelled) await over.catch(() => {});
  }
}

interface RunCopy {
  slot: MachineDiskSlot;
  job: string;
  since: { name: string; isNew: boolean };
  wanted: DiskCopy;
}

/** Listens from now on. */
function jobEnd(qmp: Qmp, job: string): { over: Promise<void>; forget: () => void } {
  let forget = () => {};
  const over = new Promise<void>((resolve, reject) => {
    forget = qmp.onEvent(({ event, data }) => {
      if (data["device"] !== job) return;
      if (event === "BLOCK_JOB_CANCELLED") reject(new VmError("copy_failed", "The copy was cancelled"));
      else if (event !== "BLOCK_JOB_COMPLETED") return;
      else if (data["error"] === undefined) resolve();
      else reject(new VmError("copy_failed", `The monitor could not copy: ${JSON.stringify(data["error"])}`));
    });
    void qmp.closed.then(() => reject(new VmError("monitor_died", "The machine ended while its disk was copied")));
  });
  over.catch(() => {
    // Told to whoever waits.
  });
  return { over, forget };
}

function untilOver(over: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => reject(new VmError("aborted", "The copy was given up", { cause: signal.reason }));
    if (signal.aborted) return aborted();
    signal.addEventListener("abort", aborted, { once: true });
    over.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
  });
}
