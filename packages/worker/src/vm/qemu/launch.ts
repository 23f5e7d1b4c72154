/**
 * From a description to a monitor that runs, is connected on all three sockets and has not been told anything yet. Every step on the way adds
 * how it is undone, so that a failure leaves no process, socket or control group behind.
 */
import { constants, type FileHandle, open } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { type MachineShape, VmError } from "../driver.ts";
import { vmLimits } from "../limits.ts";
import type { Undo } from "../undo.ts";
import { socketNames } from "./command-line.ts";
import { FilePasser } from "./file-passer.ts";
import type { HostCgroups } from "./host-cgroups.ts";
import type { Isolation } from "./host-isolation.ts";
import { MachineDirectory, type MachineSocket, type MonitorUser } from "./machine-directory.ts";
import { type MonitorProcess, startMonitor } from "./monitor-process.ts";
import { Qmp } from "./qmp.ts";

export const monitorLogName = "monitor.log";
/** Descriptors of a monitor begin here, after its standard streams. */
export const firstDescriptor = 3;

export interface LaunchHost {
  binary: string;
  /** The library that opens private memory read-only. */
  privateMemoryLibrary: string;
  /** Gives a running monitor its disks. */
  passDescriptors: string;
  isolation: Isolation;
  cgroups: HostCgroups;
}

export interface LaunchRequest {
  /** Names the control group. */
  id: string;
  directory: string;
  shape: MachineShape;
  milliCpu: number;
  user: MonitorUser | null;
  files: DescriptorTable;
  args: readonly string[];
  /** Number of the descriptor that is guest memory and must be opened for reading only. */
  privateMemory: number | undefined;
  /** Gets what is acquired here; the caller runs it, also when this fails. */
  undo: Undo;
  signal: AbortSignal;
}

export interface Monitor {
  process: MonitorProcess;
  qmp: Qmp;
  control: Socket;
  network: Socket;
  files: FilePasser;
  directory: MachineDirectory;
}

/** Files opened for a monitor: `add` says which descriptor it will have there. */
export class DescriptorTable {
  private readonly handles: FileHandle[] = [];

  async add(path: string, access: "read" | "write"): Promise<number> {
    const flags = access === "read" ? constants.O_RDONLY : constants.O_RDWR;
    const handle = await open(path, flags).catch((cause: NodeJS.ErrnoException) => {
      throw new VmError("disk_missing", `Cannot open ${path}: ${cause.message}`, { cause });
    });
    this.handles.push(handle);
    return firstDescriptor + this.handles.length - 1;
  }

  numbers(): number[] {
    return this.handles.map((handle) => handle.fd);
  }

  async close(): Promise<void> {
    await Promise.all(this.handles.splice(0).map((handle) => handle.close()));
  }
}

export async function launchMonitor(host: LaunchHost, request: LaunchRequest): Promise<Monitor> {
  const { signal, undo } = request;
  const directory = await MachineDirectory.open(request.directory, request.user);
  undo.add(() => directory.close());
  const sockets = await listenAll(directory, undo);
  const started = await spawnMonitor(host, request);
  undo.add(async () => {
    await started.kill();
    await host.cgroups.remove(request.id);
  });
  await limitMonitor(host, request, started.pid);
  const connections = await connectAll(sockets, started, signal);
  const qmp = await Qmp.open(connections.monitor);
  undo.add(() => qmp.close());
  const files = new FilePasser(host.passDescriptors, sockets.files);
  return { process: started, qmp, control: connections.control, network: connections.network, files, directory };
}

export interface MonitorSockets {
  monitor: MachineSocket;
  control: MachineSocket;
  network: MachineSocket;
  /** Where the monitor connects for descriptors. */
  files: MachineSocket;
}

export async function listenAll(directory: MachineDirectory, undo: Undo): Promise<MonitorSockets> {
  const listen = async (name: string, untouched = false): Promise<MachineSocket> => {
    const socket = await directory.listen(name, { untouched });
    undo.add(() => socket.close());
    return socket;
  };
  const [monitor, control, network, files] = await Promise.all([
    listen(socketNames.monitor),
    listen(socketNames.control),
    listen(socketNames.network),
    listen(socketNames.files, true),
  ]);
  return { monitor, control, network, files };
}

async function spawnMonitor(host: LaunchHost, request: LaunchRequest): Promise<MonitorProcess> {
  const env: Record<string, string> = { LC_ALL: "C", PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
  const command = [host.binary, ...request.args];
  if (request.privateMemory !== undefined) {
    const preload = await request.files.add(host.privateMemoryLibrary, "read");
    // Only the monitor itself is to be given the library, not what starts it.
    command.unshift("env", `LD_PRELOAD=/proc/self/fd/${preload}`, `HELMR_PRIVATE_MEMORY=/proc/self/fd/${request.privateMemory}`);
  }
  const [file = host.binary, ...args] = host.isolation.wrap(request.user, command);
  const log = join(request.directory, monitorLogName);
  return startMonitor({ command: file, args, cwd: request.directory, env, log, descriptors: request.files.numbers() });
}

async function limitMonitor(host: LaunchHost, { id, shape, milliCpu }: LaunchRequest, pid: number): Promise<void> {
  const memoryBytes = (shape.memoryMib + vmLimits.monitorMemoryMib) * 1024 * 1024;
  await host.cgroups.place(id, pid, { milliCpu, memoryBytes, tasks: vmLimits.monitorTasks }).catch((error: NodeJS.ErrnoException) => {
    // It is dead already; connecting will say why.
    if (error.code !== "ESRCH") throw error;
  });
}

interface Connections {
  monitor: Socket;
  control: Socket;
  network: Socket;
}

/** A monitor that dies on the way never connects: its last words are the reason. */
export async function connectAll(sockets: MonitorSockets, started: MonitorProcess, signal: AbortSignal): Promise<Connections> {
  const over = new AbortController();
  const stop = (): void => over.abort(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  const died = started.exited.then(async ({ code, signal: killer }) => {
    const words = await started.complaints();
    throw new VmError("monitor_died", `The monitor ended at its start (${killer ?? `code ${code}`}): ${words || "it said nothing"}`);
  });
  try {
    const connected = Promise.all([sockets.monitor, sockets.control, sockets.network].map((socket) => socket.accept(over.signal)));
    connected.catch(() => {
      // Whoever lost the race is of no interest.
    });
    const [monitor, control, network] = (await Promise.race([connected, died])) as [Socket, Socket, Socket];
    return { monitor, control, network };
  } finally {
    signal.removeEventListener("abort", stop);
    over.abort(new VmError("aborted", "The monitor is connected or gone"));
    died.catch(() => {});
  }
}
