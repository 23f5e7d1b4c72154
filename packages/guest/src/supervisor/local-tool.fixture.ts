/**
 * The guest tool at its boundary, for tests on a machine without guests: processes run for real, but without another root, namespaces or
 * control groups. A group is a process group of the host; a frozen one is stopped.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Duplex } from "node:stream";
import type { ControlGroups, GroupMemory } from "./control-group.ts";
import { controlFd, type GuestTool, GuestToolError, runStdio, type ToolAttach, type ToolRun } from "./guest-tool.ts";

export interface LocalTool {
  tool: GuestTool;
  groups: ControlGroups;
  /** What was asked, in order. */
  calls: string[];
  attached: ToolAttach[];
  /** What the kernel would say of memory. */
  memory: GroupMemory;
  /** The next call of this name fails. */
  fail: Set<string>;
}

/** `failed` and `started` as the tool writes them, then the command itself. */
const launcher =
  'if ! command -v "$1" >/dev/null; then echo "failed exec 2 $1 was not found on PATH $PATH" >&5; exit 125; fi; echo "started $$" >&5; exec "$@" 5>&-';

export function localTool(root: string): LocalTool {
  const leaders = new Map<string, Set<number>>();
  const local: LocalTool = {
    calls: [],
    attached: [],
    memory: { oomKills: 0, peakBytes: undefined, currentBytes: undefined },
    fail: new Set(),
    groups: localGroups(leaders, () => local.memory),
    tool: undefined as unknown as GuestTool,
  };
  const note = (call: string) => {
    local.calls.push(call);
    const name = call.split(" ")[0] as string;
    if (local.fail.delete(name)) return Promise.reject(new GuestToolError(`helmr-guest ${name}: it was told to fail`));
    return Promise.resolve();
  };
  local.tool = {
    attach: (request) => {
      local.attached.push(request);
      return note("attach");
    },
    run: (request) => run(request, root, leaders),
    place: async (file) => {
      await note(`place ${file.path}`);
      const path = join(root, file.path);
      mkdirSync(dirname(path), {
        recursive: true,
        ...(file.directoryMode === undefined ? {} : { mode: Number.parseInt(file.directoryMode, 8) }),
      });
      writeFileSync(path, file.value);
      chmodSync(path, Number.parseInt(file.mode, 8));
    },
    unplace: async (path) => {
      await note(`unplace ${path}`);
      rmSync(join(root, path));
    },
    freeze: async (paths, group) => {
      await note(`freeze ${paths.join(" ")}`);
      if (group !== undefined) signalAll(leaders, "SIGSTOP");
    },
    hold: async (path, limitMs) => {
      await note(`hold ${limitMs} ${path}`);
      return { release: () => note(`release ${path}`).then(() => ({ heldUs: 1500, late: false })) };
    },
    thaw: async (paths, group) => {
      await note(`thaw ${paths.join(" ")}`);
      if (group !== undefined) signalAll(leaders, "SIGCONT");
    },
    sync: (paths) => note(`sync ${paths.join(" ")}`),
    trim: (paths) => note(`trim ${paths.join(" ")}`),
    copy: (source, destination) => note(`copy ${source} ${destination}`),
    leaveRoot: () => note("leave-root"),
    rehearse: () => note("rehearse"),
  };
  return local;
}

function run(request: ToolRun, root: string, leaders: Map<string, Set<number>>): ChildProcess {
  const child = spawn("/bin/sh", ["-c", launcher, "sh", ...request.command], {
    stdio: runStdio(request),
    env: { HOME: "/root", ...request.environment },
    cwd: join(root, request.cwd),
    detached: true,
  });
  const { pid } = child;
  if (pid !== undefined) {
    const group = leaders.get(request.group) ?? new Set();
    leaders.set(request.group, group.add(pid));
    replaceControl(child, pid);
  }
  return child;
}

/** The shell does not read control lines, so they are obeyed here. */
function replaceControl(child: ChildProcess, pid: number): void {
  const stdio = child.stdio as unknown as Duplex[];
  const real = stdio[controlFd] as Duplex;
  const control = new Duplex({
    read: () => {},
    write: (chunk: Buffer, _encoding, callback) => {
      const [word, number] = chunk.toString().trim().split(" ");
      if (word === "signal") signalGroup(pid, Number(number));
      callback();
    },
    destroy: (error, callback) => {
      real.destroy();
      callback(error);
    },
  });
  real.on("data", (chunk: Buffer) => control.push(chunk));
  // The command does not hold the descriptor, so its end says nothing.
  real.on("error", () => {});
  child.on("exit", () => control.destroy());
  stdio[controlFd] = control;
}

function signalGroup(pid: number, signal: number | NodeJS.Signals): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    return false;
  }
}

/** Members of these process groups; what has ended and only waits for its parent does not count. */
function isAlive(groups: ReadonlySet<number>): boolean {
  return readdirSync("/proc").some((name) => {
    if (!/^\d+$/.test(name)) return false;
    let text: string;
    try {
      text = readFileSync(`/proc/${name}/stat`, "utf8");
    } catch {
      return false;
    }
    const [state, , group] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return groups.has(Number(group)) && state !== "Z" && state !== "X";
  });
}

function signalAll(leaders: Map<string, Set<number>>, signal: NodeJS.Signals): void {
  for (const group of leaders.values()) for (const pid of group) signalGroup(pid, signal);
}

function localGroups(leaders: Map<string, Set<number>>, memory: () => GroupMemory): ControlGroups {
  const leaf = (name: string) => ({
    kill: () => {
      for (const pid of leaders.get(name) ?? []) signalGroup(pid, "SIGKILL");
    },
    emptied: async () => {
      for (let tries = 0; tries < 500; tries += 1) {
        if (!isAlive(leaders.get(name) ?? new Set())) return true;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return false;
    },
    memory,
    cpuUs: () => undefined,
    remove: () => void leaders.delete(name),
  });
  return {
    leaf,
    total: () => leaf(""),
    memoryMax: () => undefined,
    setFrozen: async () => true,
  };
}
