/**
 * Gives open files to one running monitor, as numbered sets of descriptors. A program of ours does it (host-tools/pass-descriptors.c): Node cannot send
 * descriptors. It speaks on a monitor connection of its own, a fresh one each time.
 */
import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import { VmError } from "../driver.ts";
import type { DescriptorTable } from "./launch.ts";
import type { MachineSocket } from "./machine-directory.ts";

const passMs = 10_000;

export class FilePasser {
  private readonly tool: string;
  private readonly socket: MachineSocket;
  private used: Socket | undefined;

  constructor(tool: string, socket: MachineSocket) {
    this.tool = tool;
    this.socket = socket;
  }

  /** The first file becomes part of the first set, and so on. The files may be closed afterwards. */
  async pass(files: DescriptorTable, sets: readonly number[], signal: AbortSignal): Promise<void> {
    // The monitor connects again a second after it lost its connection.
    this.used?.destroy();
    const connection = await this.socket.accept(signal);
    this.used = connection;
    await passDescriptors(this.tool, connection, { files, sets });
  }

  /** More files will be passed: the monitor is to have connected again by then. */
  renew(): void {
    this.used?.destroy();
    this.used = undefined;
  }
}

interface Passed {
  files: DescriptorTable;
  sets: readonly number[];
}

function passDescriptors(tool: string, connection: Socket, { files, sets }: Passed): Promise<void> {
  const child = spawn(tool, sets.map(String), {
    stdio: ["ignore", "ignore", "pipe", connection, ...files.numbers()],
    timeout: passMs,
    killSignal: "SIGKILL",
  });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(0, 500);
  });
  return new Promise((resolve, reject) => {
    child.once("error", (cause) => reject(new VmError("restore_failed", `Cannot start ${tool}: ${cause.message}`, { cause })));
    child.once("close", (code, signal) => {
      // Kept open, because the monitor would connect again; what it says here is of no interest.
      connection.on("error", () => connection.destroy());
      connection.resume();
      connection.unref();
      if (code === 0) resolve();
      else reject(new VmError("restore_failed", `The monitor did not take its files (${signal ?? `code ${code}`}): ${said.trim()}`));
    });
  });
}
