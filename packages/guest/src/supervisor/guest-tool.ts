/**
 * The only caller of the static C tool `helmr-guest` (init/helmr-guest.h): what Node cannot do. Every call is one process with a limit; a
 * failure is a `GuestToolError` with what the tool said.
 *
 * What the supervisor relies on in `run`, beside the header's description:
 *   - `--inherit 3,4`: those descriptors reach the process unchanged (the program's pipe). Control is descriptor 5 (`--control 5`).
 *   - descriptors 1 and 2 that are FIFOs are given to the process as they are, without a pump: the supervisor reads their other end
 *     itself, and a process may open /dev/stdout again. Descriptor 0 likewise (FIFO or /dev/null).
 *   - `--no-network`: a network namespace of its own without anything in it (indexing a project, sdk §5)
 * And in `release PATH`: trims, unmounts and syncs a file system of the task's root, everywhere it is mounted (end of a build).
 */
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import { guestLimits } from "./limits.ts";

export class GuestToolError extends Error {
  override name = "GuestToolError";
}

export interface AttachDisks {
  scratch: string;
  workspace?: { device: string; path: string; owner: string };
  task?: string;
}

export interface ToolAttach {
  unixUs: number;
  /** Guest-monotonic nanoseconds when the host's time arrived. */
  readAtNs: bigint;
  entropy: Uint8Array;
  hostname: string;
  network: boolean;
  /** Absent on resume. */
  disks?: AttachDisks;
}

export interface ToolRun {
  /** Leaf control group of the process. */
  group: string;
  user: string;
  cwd: string;
  environment: Record<string, string>;
  command: readonly string[];
  terminal?: { cols: number; rows: number };
  network: boolean;
  /** Descriptors 0, 1, 2 as numbers or "pipe"; further ones start at 3 and are inherited. */
  stdio: StdioOptions;
  inherit: readonly number[];
}

export interface PlacedSecret {
  /** Absolute in the task's root. */
  path: string;
  mode: string;
  owner: string;
  value: string;
  /** The directory is part of the placement: made with this mode. */
  directoryMode?: string;
}

/** What the supervisor needs of the tool; tests have one without namespaces. */
export interface GuestTool {
  attach(request: ToolAttach): Promise<void>;
  /** The process beside the tenant's process: it ends the way that one ends. Control lines go over descriptor `controlFd`. */
  run(request: ToolRun): ChildProcess;
  place(secret: PlacedSecret): Promise<void>;
  unplace(path: string): Promise<void>;
  freeze(paths: readonly string[]): Promise<void>;
  thaw(paths: readonly string[]): Promise<void>;
  sync(paths: readonly string[]): Promise<void>;
  release(path: string): Promise<void>;
}

/** Exit code of `run` when the process could not be started. */
export const notStartedCode = 125;
/** Descriptor of the control lines in `run`. */
export const controlFd = 5;

export function guestTool(path: string): GuestTool {
  const call = (args: string[], input?: Uint8Array | string) => runTool(path, { args, ...(input === undefined ? {} : { input }) });
  return {
    attach: (request) => call(attachArguments(request), request.entropy),
    run: (request) => spawn(path, runArguments(request), { stdio: request.stdio, env: request.environment, cwd: "/" }),
    place: (secret) => call(placeArguments(secret), secret.value),
    unplace: (secretPath) => call(["unplace", "--path", secretPath]),
    freeze: (paths) => call(["freeze", ...paths]),
    thaw: (paths) => call(["thaw", ...paths]),
    sync: (paths) => call(["sync", ...paths]),
    release: (released) => call(["release", released]),
  };
}

function attachArguments(request: ToolAttach): string[] {
  const args = ["attach", "--clock", `${request.unixUs}@${request.readAtNs}`, "--entropy", "--hostname", request.hostname];
  args.push("--network", request.network ? "on" : "off");
  const { disks } = request;
  if (disks === undefined) return [...args, "--resumed"];
  args.push("--scratch", disks.scratch);
  if (disks.workspace) {
    args.push("--workspace", `${disks.workspace.device}:${disks.workspace.path}`, "--workspace-owner", disks.workspace.owner);
  }
  if (disks.task) args.push("--task", disks.task);
  return args;
}

function runArguments(request: ToolRun): string[] {
  const args = ["run", "--cgroup", request.group, "--user", request.user, "--cwd", request.cwd, "--control", String(controlFd)];
  if (request.terminal) args.push("--terminal", `${request.terminal.cols}x${request.terminal.rows}`);
  if (request.inherit.length > 0) args.push("--inherit", request.inherit.join(","));
  if (!request.network) args.push("--no-network");
  return [...args, "--", ...request.command];
}

function placeArguments(secret: PlacedSecret): string[] {
  const args = ["place", "--path", secret.path, "--mode", secret.mode, "--owner", secret.owner];
  if (secret.directoryMode !== undefined) args.push("--directory-mode", secret.directoryMode);
  return args;
}

interface ToolCall {
  args: string[];
  input?: Uint8Array | string;
}

function runTool(path: string, call: ToolCall): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, call.args, { stdio: [call.input === undefined ? "ignore" : "pipe", "ignore", "pipe"], cwd: "/", timeout: guestLimits.toolMs, killSignal: "SIGKILL" });
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      if (said.length < 4096) said += text;
    });
    child.stdin?.on("error", () => {
      // It ended without reading everything; its exit code says why.
    });
    child.stdin?.end(call.input);
    child.on("error", (cause) => reject(new GuestToolError(`Cannot start ${path}`, { cause })));
    child.on("close", (code, signal) => {
      if (code === 0) resolve();
      else reject(new GuestToolError(said.trim() || `${path} ${call.args[0]} ended with ${signal ?? `code ${code}`}`));
    });
  });
}
