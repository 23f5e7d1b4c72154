/** What benchmarks of the server measure: its real process on a private PostgreSQL with durable commits, as one machine has it. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCluster } from "@helmr/local/postgres";
import { newEnrollmentSecret } from "@helmr/server";
import { type WireClient, wireClient } from "@helmr/test/platform";
import { until } from "@helmr/test/services";
import pg from "pg";

export interface Install {
  url: string;
  api: WireClient;
  enrollmentSecret: string;
  databaseUrl: string;
  /** Processes whose cost is part of the install. */
  pids: { server: number; postgres: number };
  close(): Promise<void>;
}

const server = join(import.meta.dirname, "..", "..", "packages", "server", "src", "main", "all-in-one.ts");

export async function startInstall(options: { server?: Record<string, string>; postgres?: Record<string, string> } = {}): Promise<Install> {
  const directory = await mkdtemp(join(tmpdir(), "helmr-bench-"));
  await chmod(directory, 0o755);
  const cluster = await startCluster({
    directory: join(directory, "postgres"),
    binaries: join(tmpdir(), "helmr-postgres-binaries"),
    settings: options.postgres ?? {},
  });
  const databaseUrl = `${cluster.url}/helmr`;
  await createDatabase(cluster.url);
  await mkdir(join(directory, "state"), { recursive: true });
  const enrollmentSecret = newEnrollmentSecret();
  const port = await freePort();
  const environment = {
    HELMR_DATABASE_URL: databaseUrl,
    HELMR_STATE_DIR: join(directory, "state"),
    PORT: String(port),
    HELMR_MODE: "local",
    HELMR_ENROLLMENT_SECRET: enrollmentSecret,
    HELMR_LOG_LEVEL: "warn",
    ...options.server,
  };
  const child = spawn(process.execPath, [server], {
    env: { PATH: process.env["PATH"], ...environment },
    stdio: ["ignore", "inherit", "inherit"],
  });
  const url = `http://127.0.0.1:${port}`;
  const handedOver = await until(
    "the server is ready",
    async () => {
      if (child.exitCode !== null) throw new TypeError("the server ended while it started");
      const file = await readFile(join(directory, "state", "local.json"), "utf8").catch(() => undefined);
      return file === undefined ? undefined : (JSON.parse(file) as { api_key: string });
    },
    30_000,
  );
  const api = wireClient(url, { bearer: handedOver.api_key });
  return {
    url,
    api,
    enrollmentSecret,
    databaseUrl,
    pids: { server: child.pid as number, postgres: cluster.pid },
    async close() {
      api.close();
      await end(child);
      await cluster.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Processor time used so far by the server, and by PostgreSQL with all its backends; milliseconds. */
export async function processorMs(pids: Install["pids"]): Promise<{ server: number; postgres: number }> {
  const processes = await Promise.all((await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(readProcess));
  const known = processes.filter((process) => process !== undefined);
  const server = known.find((process) => process.pid === pids.server)?.ms ?? 0;
  const postgres = known.filter((process) => process.pid === pids.postgres || process.parent === pids.postgres);
  // What ended backends have used is counted at their parent.
  return {
    server,
    postgres: postgres.reduce((sum, process) => sum + process.ms + (process.pid === pids.postgres ? process.endedMs : 0), 0),
  };
}

async function readProcess(name: string): Promise<{ pid: number; parent: number; ms: number; endedMs: number } | undefined> {
  const text = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
  const fields = text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  const [, parent = 0] = fields;
  const ticks = (index: number) => (fields[index] ?? 0) * 10;
  return text === "" ? undefined : { pid: Number(name), parent, ms: ticks(11) + ticks(12), endedMs: ticks(13) + ticks(14) };
}

async function createDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: `${url}/postgres` });
  await client.connect();
  await client.query("create database helmr");
  await client.end();
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
  await gone;
  clearTimeout(timer);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const listener = createServer();
    listener.once("error", reject);
    listener.listen(0, "127.0.0.1", () => {
      const address = listener.address();
      listener.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
