/**
 * The only caller of the static C tool `helmr-guest` (described in init/helmr-guest.h): what Node cannot do. Every call but `run` is one
 * process with a limit; a failure is a `GuestToolError` with what the tool said.
 *
 * `run` stays beside the tenant's process, moves its standard streams and ends the way it ends. Descriptors 3 and 4 of the tool reach the
 * process as they are; 5 carries the control lines.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { guestLimits } from "./limits.ts";

export class GuestToolError extends Error {
  override name = "GuestToolError";
}

export interface AttachDisks {
  scratch: string;
  workspace?: { device: string; path: string; owner: string };
  task?: string;
  caches?: readonly { device: string; path: string }[];
}

export interface ToolAttach {
  unixUs: number;
  /** Guest-monotonic nanoseconds when the host's time arrived. */
  readAtNs: bigint;
  entropy: Uint8Array;
  hostname: string;
  network: boolean;
  /** A machine that starts has disks to mount, a resumed one has been frozen. */
  machine: { kind: "starting"; disks: AttachDisks } | { kind: "resumed"; thaw: readonly string[]; thawGroup: string | undefined };
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
  stdin: boolean;
  /** Descriptors 3 (to the process) and 4 (from it). */
  pipes: boolean;
}

export interface PlacedFile {
  /** Absolute in the task's root. */
  path: string;
  mode: string;
  owner: string;
  value: string;
  /** The directory is part of the placement: made with this mode. */
  directoryMode?: string;
}

/** A file system that stands still. */
export interface Hold {
  /** Once; for how long it stood, and whether it had gone on by itself before this was called. */
  release(): Promise<{ heldUs: number; late: boolean }>;
}

/** What the supervisor needs of the tool; tests have one without namespaces. */
export interface GuestTool {
  attach(request: ToolAttach): Promise<void>;
  run(request: ToolRun): ChildProcess;
  place(file: PlacedFile): Promise<void>;
  unplace(path: string): Promise<void>;
  /** `group`: stop its processes first. */
  freeze(paths: readonly string[], group?: string): Promise<void>;
  thaw(paths: readonly string[], group?: string): Promise<void>;
  /** Resolves when the file system stands still; it goes on by itself after `limitMs`. */
  hold(path: string, limitMs: number): Promise<Hold>;
  sync(paths: readonly string[]): Promise<void>;
  trim(paths: readonly string[]): Promise<void>;
  /** In a step of an image build: from the disk of slot `task` into the image. */
  copy(source: string, destination: string): Promise<void>;
  /** Takes away what `attach` put into the image's disk. */
  leaveRoot(): Promise<void>;
  /** A start without anything of a tenant, which leaves nothing behind. */
  rehearse(): Promise<void>;
}

/** Of the supervisor (init/helmr-guest.h). */
const copySource = "/run/helmr/from";
const copyTarget = "/task";

/** Descriptor of the control lines in `run`. */
export const controlFd = 5;

export function guestTool(path: string): GuestTool {
  const call = (args: string[], input?: Uint8Array | string) => runTool(path, { args, ...(input === undefined ? {} : { input }) });
  return {
    attach: (request) => call(attachArguments(request), request.entropy),
    run: (request) => spawn(path, runArguments(request), { stdio: runStdio(request), env: request.environment, cwd: "/" }),
    place: (file) => call(placeArguments(file), file.value),
    unplace: (placed) => call(["unplace", "--path", placed]),
    freeze: (paths, group) => call(["freeze", ...groupArguments(group), ...paths]),
    hold: (held, limitMs) => holdStill(path, held, limitMs),
    thaw: (paths, group) => call(["thaw", ...groupArguments(group), ...paths]),
    sync: (paths) => call(["sync", ...paths]),
    trim: (paths) => call(["trim", ...paths]),
    copy: (source, destination) => call(["copy", "--from", `${copySource}:${source}`, "--to", `${copyTarget}:${destination}`]),
    leaveRoot: () => call(["leave-root"]),
    rehearse: () => call(["rehearse"]),
  };
}

function attachArguments(request: ToolAttach): string[] {
  const args = ["attach", "--clock", `${request.unixUs}@${request.readAtNs}`, "--entropy", "--hostname", request.hostname];
  args.push("--network", request.network ? "on" : "off");
  const { machine } = request;
  if (machine.kind === "resumed") {
    args.push("--resumed", ...machine.thaw.flatMap((path) => ["--thaw", path]));
    if (machine.thawGroup !== undefined) args.push("--thaw-cgroup", machine.thawGroup);
    return args;
  }
  const { scratch, workspace, task, caches } = machine.disks;
  args.push("--scratch", scratch);
  if (workspace) args.push("--workspace", `${workspace.device}:${workspace.path}`, "--workspace-owner", workspace.owner);
  if (task) args.push("--task", task);
  for (const { device, path } of caches ?? []) args.push("--mount", `${device}:${path}`);
  return args;
}

function runArguments(request: ToolRun): string[] {
  const args = ["run", "--cgroup", request.group, "--user", request.user, "--cwd", request.cwd, "--control", String(controlFd)];
  if (request.terminal) args.push("--terminal", `${request.terminal.cols}x${request.terminal.rows}`);
  if (!request.network) args.push("--network", "off");
  return [...args, "--", ...request.command];
}

/** Without pipes 3 and 4 are /dev/null, so that 5 is always the control. */
export function runStdio(request: ToolRun): ("pipe" | "ignore")[] {
  const pipe = request.pipes ? "pipe" : "ignore";
  return [request.stdin ? "pipe" : "ignore", "pipe", "pipe", pipe, pipe, "pipe"];
}

function placeArguments(file: PlacedFile): string[] {
  const args = ["place", "--path", file.path, "--mode", file.mode, "--owner", file.owner];
  if (file.directoryMode !== undefined) args.push("--directory-mode", file.directoryMode);
  return args;
}

function groupArguments(group: string | undefined): string[] {
  return group === undefined ? [] : ["--cgroup", group];
}

interface ToolCall {
  args: string[];
  input?: Uint8Array | string;
}

function runTool(path: string, call: ToolCall): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, call.args, {
      stdio: [call.input === undefined ? "ignore" : "pipe", "ignore", "pipe"],
      cwd: "/",
      timeout: guestLimits.toolMs,
      killSignal: "SIGKILL",
    });
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

async function holdStill(tool: string, path: string, limitMs: number): Promise<Hold> {
  const child = spawn(tool, ["hold", String(limitMs), path], { stdio: ["pipe", "pipe", "pipe"], cwd: "/" });
  let said = "";
  let complaint = "";
  child.stdin.on("error", () => {
    // It has gone on by itself.
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    if (complaint.length < 4096) complaint += text;
  });
  const failure = (): GuestToolError => new GuestToolError(complaint.trim() || `${tool} hold said ${JSON.stringify(said)}`);
  const over = new Promise<void>((resolve) => {
    child.on("error", (cause) => {
      complaint ||= `Cannot start ${tool}: ${cause.message}`;
      resolve();
    });
    child.on("close", () => resolve());
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.startsWith("still\n")) resolve();
    });
    void over.then(() => reject(failure()));
  });
  return {
    async release() {
      child.stdin.end();
      await over;
      const [, how, heldUs] = /^still\n(held|late) (\d+)\n$/.exec(said) ?? [];
      if (how === undefined) throw failure();
      return { heldUs: Number(heldUs), late: how === "late" };
    },
  };
}
