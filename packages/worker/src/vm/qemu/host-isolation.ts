/**
 * Who a monitor runs as and what it sees of the host. As root: a user id of its own per machine (ids without a passwd entry, so that one
 * monitor can neither signal nor read another), no capabilities, no new privileges, and network, IPC and mount namespaces of its own where the
 * host allows. Otherwise: the worker's own user, as far as an unprivileged worker can go.
 */
import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { promisify } from "node:util";
import type { MonitorUser } from "./machine-directory.ts";

const run = promisify(execFile);
const probeMs = 5_000;

export interface Isolation {
  /** For `helmr doctor`. */
  explanation: string;
  /** A user for one machine; null when monitors run as the worker. */
  acquireUser(): MonitorUser | null;
  /** Marks the user of an adopted machine. */
  claimUser(user: MonitorUser): void;
  releaseUser(user: MonitorUser): void;
  /** Whether a monitor may open this device; the reason when not. */
  problemWith(device: string): Promise<string | undefined>;
  /** Puts what starts the monitor in front of it. */
  wrap(user: MonitorUser | null, command: readonly string[]): readonly string[];
}

export interface UserRange {
  first: number;
  count: number;
}

/** Above what Debian, systemd and container engines give out. */
export const defaultUserRange: UserRange = { first: 2_000_000_000, count: 60_000 };

const namespaceFlags = ["--net", "--ipc", "--mount"] as const;

export async function findIsolation(range: UserRange = defaultUserRange): Promise<Isolation> {
  if (process.getuid?.() !== 0) return sharedUser("the worker is not root: monitors run as its own user");
  const problem = await failure(privilegeDrop({ uid: range.first, gid: range.first }, [], ["true"]));
  if (problem !== undefined) return sharedUser(`monitors run as root, because privileges cannot be dropped here: ${problem}`);
  const namespaces: string[] = [];
  for (const flag of namespaceFlags) {
    if ((await failure(["unshare", flag, "--", "true"])) === undefined) namespaces.push(flag);
  }
  const groups = await kvmGroups();
  const used = new Set<number>();
  const probeUser = { uid: range.first, gid: range.first };
  return {
    explanation: `each monitor has its own user id from ${range.first} on, no capabilities${namespaces.length > 0 ? `, own namespaces (${namespaces.join(" ")})` : ""}`,
    acquireUser: () => {
      for (let uid = range.first; uid < range.first + range.count; uid += 1) {
        if (used.has(uid)) continue;
        used.add(uid);
        return { uid, gid: uid };
      }
      return { uid: range.first, gid: range.first };
    },
    claimUser: ({ uid }) => void used.add(uid),
    releaseUser: ({ uid }) => void used.delete(uid),
    problemWith: async (device) => {
      const refused = await failure(privilegeDrop(probeUser, groups, ["test", "-r", device, "-a", "-w", device]));
      return refused === undefined ? undefined : `a monitor's user may not open ${device}. FIX: chgrp kvm ${device} && chmod 660 ${device}`;
    },
    wrap: (user, command) => {
      const dropped = user ? privilegeDrop(user, groups, command) : command;
      return namespaces.length > 0 ? ["unshare", ...namespaces, "--", ...dropped] : dropped;
    },
  };
}

function sharedUser(explanation: string): Isolation {
  return {
    explanation,
    acquireUser: () => null,
    claimUser: () => {},
    releaseUser: () => {},
    problemWith: () => Promise.resolve(undefined),
    wrap: (_user, command) => command,
  };
}

function privilegeDrop(user: MonitorUser, groups: readonly number[], command: readonly string[]): readonly string[] {
  const membership = groups.length > 0 ? [`--groups=${groups.join(",")}`] : ["--clear-groups"];
  const capabilities = ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs"];
  return ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, ...membership, ...capabilities, "--", ...command];
}

/** /dev/kvm belongs to a group; without hardware virtualization there is nothing to belong to. */
async function kvmGroups(): Promise<number[]> {
  const device = await stat("/dev/kvm").catch(() => undefined);
  return device && device.gid !== 0 && (device.mode & 0o060) === 0o060 ? [device.gid] : [];
}

async function failure(command: readonly string[]): Promise<string | undefined> {
  const [file = "", ...args] = command;
  try {
    await run(file, args, { timeout: probeMs, cwd: "/" });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.trim() : String(error);
  }
}
