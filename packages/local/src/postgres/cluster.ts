/**
 * One private PostgreSQL cluster: created once, started, stopped, and found again after a crash of whoever started it.
 *
 *   absent → initialised (PG_VERSION is there) → running (postmaster.pid names a live postgres of this directory) → initialised
 *
 * The server is tied to its starter: when that process dies, even by SIGKILL, the kernel sends SIGINT to the postmaster (parent death
 * signal), which is a fast shutdown. It listens on 127.0.0.1 only, without a Unix socket: socket paths are limited to 107 bytes and a state
 * directory may be anywhere. It does no backups and no upgrades.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, mkdir, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { installPostgresBinaries } from "./binaries.ts";
import { type SystemUser, unprivilegedUser } from "./system-user.ts";

const run = promisify(execFile);

export interface ClusterOptions {
  /** Holds `data/`, `password` and `postgres.log`; must be reachable (x on every parent) for the unprivileged user. */
  directory: string;
  /** Where the binaries are installed; may be shared by several clusters. */
  binaries: string;
  /** Fixed port, or one that is free. */
  port?: number;
  /** Server settings beside ours, for example `{ fsync: "off" }` in tests. */
  settings?: Record<string, string>;
}

export interface RunningCluster {
  pid: number;
  port: number;
  /** postgres://… of the superuser, without a database name. */
  url: string;
  /** Resolves when the server is gone, whoever ended it. */
  exited: Promise<void>;
  stop(): Promise<void>;
}

export class PostgresError extends Error {
  override name = "PostgresError";
}

const startTimeoutMs = 60_000;
const stopTimeoutMs = 20_000;

export async function startCluster(options: ClusterOptions): Promise<RunningCluster> {
  const home = await installPostgresBinaries(options.binaries);
  const user = await unprivilegedUser();
  const data = join(options.directory, "data");
  await mkdir(options.directory, { recursive: true, mode: 0o755 });
  const password = await initialise({ home, user, data, directory: options.directory });
  await endLeftover(data);
  // A lock file can name a process that is just being reaped; the second try finds it gone.
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await freePort());
    try {
      return await startServer({
        home,
        user,
        data,
        port,
        password,
        log: join(options.directory, "postgres.log"),
        settings: options.settings ?? {},
      });
    } catch (error) {
      if (attempt === 3) throw error;
      await delay(300 * attempt);
      await endLeftover(data);
    }
  }
}

interface Initialise {
  home: string;
  user: SystemUser | null;
  data: string;
  directory: string;
}

async function initialise({ home, user, data, directory }: Initialise): Promise<string> {
  const passwordFile = join(directory, "password");
  if (await isFile(join(data, "PG_VERSION"))) return (await readFile(passwordFile, "utf8")).trim();

  // A crash inside initdb leaves a directory without PG_VERSION, or with one but no password: neither holds anybody's data.
  await rm(data, { recursive: true, force: true });
  const password = randomBytes(24).toString("base64url");
  const staging = `${data}.new`;
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { mode: 0o700 });
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  const readable = `${staging}.password`;
  await writeFile(readable, password, { mode: 0o600 });
  if (user) await Promise.all([chown(staging, user.uid, user.gid), chown(readable, user.uid, user.gid)]);
  try {
    await run(
      join(home, "bin", "initdb"),
      [
        "-D",
        staging,
        "--username=helmr",
        `--pwfile=${readable}`,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--data-checksums",
        "--no-sync",
      ],
      { uid: user?.uid, gid: user?.gid, cwd: "/", env: { PATH: process.env["PATH"] }, timeout: startTimeoutMs },
    );
  } catch (cause) {
    throw new PostgresError(`initdb failed for ${data}: ${errorText(cause)}`, { cause });
  } finally {
    await rm(readable, { force: true });
  }
  await run("mv", ["-T", staging, data]);
  return password;
}

interface StartServer {
  home: string;
  user: SystemUser | null;
  data: string;
  port: number;
  password: string;
  log: string;
  settings: Record<string, string>;
}

async function startServer(input: StartServer): Promise<RunningCluster> {
  const settings: Record<string, string> = {
    listen_addresses: "127.0.0.1",
    port: String(input.port),
    unix_socket_directories: "",
    max_connections: "120",
    shared_buffers: "64MB",
    // Idle cost: a quiet install should not wake up several times a second.
    bgwriter_delay: "1s",
    wal_writer_delay: "1s",
    autovacuum_naptime: "30s",
    jit: "off",
    log_min_messages: "warning",
    ...input.settings,
  };
  const log = await open(input.log, "a", 0o600);
  const postgres = [
    join(input.home, "bin", "postgres"),
    "-D",
    input.data,
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
  ];
  const identity = input.user ? ["--reuid", String(input.user.uid), "--regid", String(input.user.gid), "--clear-groups"] : [];
  const child = spawn("setpriv", [...identity, "--pdeathsig", "INT", "--", ...postgres], {
    cwd: "/",
    env: { PATH: process.env["PATH"], LC_ALL: "C.UTF-8" },
    stdio: ["ignore", log.fd, log.fd],
    // Its own process group, so that Ctrl-C in a terminal reaches only the supervisor, which then stops things in order.
    detached: true,
  });
  await log.close();
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  try {
    await untilReady(child, input);
  } catch (error) {
    child.kill("SIGKILL");
    await exited;
    throw error;
  }
  return {
    pid: child.pid as number,
    port: input.port,
    url: `postgres://helmr:${input.password}@127.0.0.1:${input.port}`,
    exited,
    stop: () => stop(child, exited),
  };
}

/** The last line of postmaster.pid is the server's own word that it takes connections. */
async function untilReady(child: ChildProcess, input: StartServer): Promise<void> {
  const deadline = Date.now() + startTimeoutMs;
  while (Date.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
      const tail = (await readFile(input.log, "utf8").catch(() => "")).split("\n").slice(-8).join("\n");
      throw new PostgresError(`PostgreSQL ended while starting. Its log (${input.log}) says:\n${tail}`);
    }
    const lock = (await readFile(join(input.data, "postmaster.pid"), "utf8").catch(() => "")).split("\n");
    if (Number(lock[0]) === child.pid && lock[7]?.trim() === "ready" && (await accepts(input.port))) return;
    await delay(10);
  }
  throw new PostgresError(`PostgreSQL was not ready after ${startTimeoutMs / 1000} s; see ${input.log}`);
}

async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

async function stop(child: ChildProcess, exited: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGINT");
  const timer = setTimeout(() => child.kill("SIGQUIT"), stopTimeoutMs);
  await exited;
  clearTimeout(timer);
}

/** A server that outlived its starter (no parent death signal on this kernel) is stopped before a new one starts on the same directory. */
async function endLeftover(data: string): Promise<void> {
  const lock = (await readFile(join(data, "postmaster.pid"), "utf8").catch(() => "")).split("\n");
  const pid = Number(lock[0]);
  if (!Number.isInteger(pid) || pid <= 1) return;
  const isOurs = async () => {
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    return command.includes("postgres") && command.includes(data);
  };
  if (!(await isOurs())) return;
  process.kill(pid, "SIGINT");
  const deadline = Date.now() + stopTimeoutMs;
  while (Date.now() < deadline && (await isOurs())) await delay(20);
  if (await isOurs()) process.kill(pid, "SIGQUIT");
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
}

function errorText(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message?: string };
  return stderr?.trim() || message || String(error);
}
