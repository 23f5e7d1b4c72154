/**
 * Device state of a monitor out and in. Guest memory is a file of its own that the monitor has mapped shared, so the state is small (64 KB)
 * and standing still takes milliseconds (`x-ignore-shared`).
 */
import { createWriteStream } from "node:fs";
import { copyFile, constants, link, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { Transform } from "node:stream";
import { VmError } from "../driver.ts";
import { socketNames } from "./command-line.ts";
import type { MachineDirectory } from "./machine-directory.ts";
import type { Qmp, QmpEvent } from "./qmp.ts";

/** 64 KB are usual; what grows past this is not device state. */
const deviceStateBytesMax = 64 * 1024 * 1024;

export async function prepareMigration(qmp: Qmp): Promise<void> {
  const capabilities = [
    { capability: "x-ignore-shared", state: true },
    { capability: "events", state: true },
  ];
  await qmp.execute("migrate-set-capabilities", { capabilities });
}

/** The machine must be paused and stays so. */
export async function saveDeviceState(qmp: Qmp, directory: MachineDirectory, target: string, signal: AbortSignal): Promise<void> {
  const socket = await directory.listen(socketNames.migration);
  try {
    const ended = migrationEnd(qmp, signal);
    const received = socket.accept(signal).then((stream) => pipeline(stream, bounded(), createWriteStream(target)));
    await Promise.all([qmp.execute("migrate", { uri: `unix:${socketNames.migration}` }), ended, received]);
  } finally {
    await socket.close();
  }
  const { size } = await stat(target);
  if (size === 0) throw new VmError("snapshot_failed", "The monitor wrote an empty device state");
}

/** A monitor started with `-incoming defer` loads its devices; afterwards it is paused. */
export async function loadDeviceState(qmp: Qmp, descriptor: number, signal: AbortSignal): Promise<void> {
  const ended = migrationEnd(qmp, signal);
  await Promise.all([qmp.execute("migrate-incoming", { uri: `fd:${descriptor}` }), ended]);
}

/** Memory of a snapshot without copying it; on another file system a sparse copy. */
export async function keepMemory(from: string, to: string): Promise<void> {
  await link(from, to).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EXDEV" && error.code !== "EPERM") throw error;
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  });
}

function migrationEnd(qmp: Qmp, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = qmp.onEvent(({ event, data }: QmpEvent) => {
      if (event !== "MIGRATION") return;
      if (data["status"] === "completed") finish(resolve);
      if (data["status"] === "failed" || data["status"] === "cancelled") {
        finish(() => reject(new VmError("snapshot_failed", `The monitor's device state could not be moved: ${String(data["status"])}`)));
      }
    });
    const aborted = (): void => finish(() => reject(signal.reason as Error));
    const finish = (then: () => void): void => {
      stop();
      signal.removeEventListener("abort", aborted);
      then();
    };
    if (signal.aborted) return aborted();
    signal.addEventListener("abort", aborted, { once: true });
    void qmp.closed.then(() => finish(() => reject(new VmError("monitor_died", "The monitor ended while its device state was moved"))));
  });
}

function bounded(): Transform {
  let length = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      length += chunk.length;
      if (length > deviceStateBytesMax)
        done(new VmError("snapshot_failed", `The device state is longer than ${deviceStateBytesMax} bytes`));
      else done(null, chunk);
    },
  });
}
