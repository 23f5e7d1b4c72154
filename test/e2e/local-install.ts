/**
 * A single-machine install for the end-to-end tests: the same processes and commands that a user has, in a state directory of its own whose path
 * holds a space. What costs minutes to make, the guest's parts and the machine templates, is shared with the `vm` kind through its cache.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { guestCacheDirectory } from "@helmr/test/services/guest";

export const repository = join(import.meta.dirname, "..", "..");

/** What `up --json` prints. */
export interface Ready {
  api_url: string;
  api_key: string;
  console_url: string;
  login_url: string;
  accelerator: string;
  state_dir: string;
}

export interface CommandResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface CommandOptions {
  cwd?: string;
  env?: Record<string, string>;
  timeoutMs?: number;
  /** Called with everything that stdout has said so far. */
  onStdout?: (text: string, child: Command) => void;
}

export type Command = ChildProcessByStdio<null, Readable, Readable>;

/** What a test serves on `servicePort`, as guests see it. */
export const serviceName = "service.test:9418";

const commandMs = 150_000;
const upMs = 280_000;

/** A fresh directory that is prepared for `openInstall`; nothing is started. */
export async function installDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "helmr e2e "));
  const data = join(directory, "state", "data");
  await mkdir(join(data, "worker"), { recursive: true });
  for (const path of [directory, join(directory, "state"), data]) await chmod(path, 0o755);
  const cache = guestCacheDirectory();
  const templates = join(cache, "e2e-templates");
  await mkdir(templates, { recursive: true, mode: 0o711 });
  await symlink(cache, join(data, "guest"));
  await symlink(templates, join(data, "worker", "templates"));
  await writeFile(join(directory, "port"), String(await freePort()));
  await writeFile(join(directory, "service-port"), String(await freePort()));
  return directory;
}

export class LocalInstall {
  readonly directory: string;
  readonly state: string;
  /** Of this host: guests reach it as `serviceName`. */
  readonly servicePort: number;
  private readonly port: string;

  private constructor(directory: string, { port, servicePort }: { port: string; servicePort: number }) {
    this.directory = directory;
    this.state = join(directory, "state");
    this.port = port;
    this.servicePort = servicePort;
  }

  /** Of a directory made by `installDirectory`; several processes may open the same one. */
  static async open(directory: string): Promise<LocalInstall> {
    const [port, servicePort] = await Promise.all(["port", "service-port"].map((name) => readFile(join(directory, name), "utf8")));
    return new LocalInstall(directory, { port: port ?? "", servicePort: Number(servicePort) });
  }

  /** Starts it, or finds it running. */
  async up(): Promise<Ready> {
    const env = { HELMR_GUEST_SERVICES: `${serviceName}=127.0.0.1:${this.servicePort}` };
    const result = await this.front(["up", "--detach", "--json"], { env });
    if (result.code !== 0) throw new TypeError(`up failed: ${result.stderr}\n${await this.logTails()}`);
    return JSON.parse(result.stdout) as Ready;
  }

  async down(...flags: "--purge"[]): Promise<CommandResult> {
    return this.front(["down", ...flags]);
  }

  /** The words that the front door hands to packages/local. Not by the shell script: that one may run `npm ci` in a checkout that is worked on. */
  front(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return finished(this.spawnFront(argv, options), { timeoutMs: upMs, ...options });
  }

  spawnFront(argv: readonly string[], options: CommandOptions = {}): Command {
    return this.spawn([process.execPath, join(repository, "packages/local/src/main.ts"), ...argv], options);
  }

  /** The command line as a user types it: `./helmr …`. */
  helmr(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return finished(this.spawnHelmr(argv, options), options);
  }

  spawnHelmr(argv: readonly string[], options: CommandOptions = {}): Command {
    return this.spawn([join(repository, "helmr"), ...argv], options);
  }

  private spawn([command = "", ...args]: readonly string[], { cwd = "/", env = {} }: CommandOptions): Command {
    return spawn(command, args, {
      cwd,
      env: { ...userEnvironment(), HELMR_STATE_DIR: this.state, HELMR_PORT: this.port, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Every process that has to do with this install, found without asking it: by command line, environment, open files. */
  async processes(): Promise<{ pid: number; command: string }[]> {
    const found: { pid: number; command: string }[] = [];
    for (const name of await readdir("/proc")) {
      const pid = Number(name);
      if (!Number.isInteger(pid) || pid === process.pid) continue;
      if (!(await namesPath(pid, this.state))) continue;
      const command = await readProc(pid, "cmdline");
      // An empty command line is a process that has ended and was not collected.
      if (command !== "") found.push({ pid, command: command.replaceAll("\0", " ").trim() });
    }
    return found;
  }

  /** Monitors that work for a lease: they hold files of its directory. */
  async machines(leaseId: string): Promise<number[]> {
    const directory = join(this.state, "data", "worker", "leases", leaseId);
    const monitors = (await this.processes()).filter(({ command }) => command.includes("qemu-system"));
    const mine = await Promise.all(monitors.map(async ({ pid }) => ((await namesPath(pid, directory)) ? pid : undefined)));
    return mine.filter((pid) => pid !== undefined);
  }

  /** What the worker keeps of work that has not ended. */
  leases(): Promise<string[]> {
    return readdir(join(this.state, "data", "worker", "leases"));
  }

  async databaseUrl(): Promise<string> {
    const { postgresPort } = JSON.parse(await readFile(join(this.state, "install.json"), "utf8")) as { postgresPort: number };
    const password = (await readFile(join(this.state, "data", "postgres", "password"), "utf8")).trim();
    return `postgres://helmr:${password}@127.0.0.1:${postgresPort}/postgres`;
  }

  async componentPid(name: "postgres" | "server" | "worker"): Promise<number> {
    const record = await this.supervisor();
    const pid = record?.components[name]?.pid;
    if (pid === undefined) throw new TypeError(`the supervisor of ${this.state} names no ${name}: ${JSON.stringify(record)}`);
    return pid;
  }

  async supervisor(): Promise<{ pid: number; phase: string; components: Record<string, { pid: number } | undefined> } | undefined> {
    const text = await readFile(join(this.state, "supervisor.json"), "utf8").catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as never);
  }

  async log(component: string): Promise<string[]> {
    return (await readFile(join(this.state, "logs", `${component}.log`), "utf8")).split("\n");
  }

  async logTails(): Promise<string> {
    const logs = join(this.state, "logs");
    const names = await readdir(logs).catch(() => []);
    const tails = await Promise.all(
      names.map(async (name) => `== ${name}\n${(await readFile(join(logs, name), "utf8")).split("\n").slice(-15).join("\n")}`),
    );
    return tails.join("\n");
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** What a user's shell has; nothing of the test runner. */
function userEnvironment(): Record<string, string> {
  const kept = /^(PATH|HOME|LANG|TMPDIR|NODE_EXTRA_CA_CERTS|SSL_CERT_.*|npm_config_.*)$/i;
  return Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => kept.test(entry[0]) && entry[1] !== undefined),
  );
}

export async function finished(child: Command, { timeoutMs = commandMs, onStdout }: CommandOptions = {}): Promise<CommandResult> {
  const said = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said.stdout += text;
    onStdout?.(said.stdout, child);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said.stderr += text;
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  try {
    return await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => resolve({ code, signal, ...said }));
    });
  } finally {
    clearTimeout(timer);
  }
}

async function namesPath(pid: number, path: string): Promise<boolean> {
  for (const file of ["cmdline", "environ"] as const) if ((await readProc(pid, file)).includes(path)) return true;
  const links = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const link of ["cwd", ...links.map((fd) => `fd/${fd}`)]) {
    const target = await readlink(`/proc/${pid}/${link}`).catch(() => "");
    if (target.startsWith(`${path}/`)) return true;
  }
  return false;
}

function readProc(pid: number, file: string): Promise<string> {
  return readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
