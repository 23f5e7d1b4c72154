/**
 * A server and workers as processes of their own, so that a test may kill any of them: one state directory each, one database, small machines. Windows are
 * short, so that what waits is parked at once.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { openSync, closeSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brokenInvariants, type TestDatabase, testDatabase, until } from "@helmr/test/services";
import { guestCacheDirectory, guestIngredients } from "@helmr/test/services/guest";
import { tarOf, upload, wireClient, type WireClient } from "@helmr/test/platform";
import pg from "pg";

// oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers and rows
type Loose = any;
type Row = Record<string, Loose>;

const repository = join(import.meta.dirname, "..", "..");
const slowMs = 120_000;

export interface TwoWorkersOptions {
  /** Environment of the server and of the workers. */
  server?: Record<string, string>;
  worker?: Record<string, string>;
}

/** A process that can be killed and started again. */
export class Restartable {
  private readonly command: string;
  readonly environment: Record<string, string>;
  readonly log: string;
  child: ChildProcess | undefined;

  constructor(parts: { command: string; environment: Record<string, string>; log: string }) {
    this.command = parts.command;
    this.environment = parts.environment;
    this.log = parts.log;
  }

  /** `environment`: besides its own, this time. */
  start(environment: Record<string, string> = {}): void {
    const out = openSync(this.log, "a");
    const { PATH = "", HOME = "" } = process.env;
    this.child = spawn(process.execPath, [join(repository, this.command)], {
      env: { PATH, HOME, ...this.environment, ...environment },
      stdio: ["ignore", out, out],
    });
    closeSync(out);
  }

  get running(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    if (child === undefined || !this.running) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }

  async restart(): Promise<void> {
    await this.end("SIGKILL");
    this.start();
  }
}

export class TwoWorkers {
  readonly directory: string;
  readonly database: TestDatabase;
  readonly pool: pg.Pool;
  readonly server: Restartable;
  readonly workers: Restartable[];
  readonly url: string;
  private client: WireClient | undefined;

  private constructor(parts: Pick<TwoWorkers, "directory" | "database" | "server" | "workers" | "url">) {
    Object.assign(this, parts);
    this.directory = parts.directory;
    this.database = parts.database;
    this.server = parts.server;
    this.workers = parts.workers;
    this.url = parts.url;
    this.pool = new pg.Pool({ connectionString: parts.database.url, max: 2 });
    this.pool.on("error", () => undefined);
  }

  static async open(options: TwoWorkersOptions = {}): Promise<TwoWorkers> {
    await guestIngredients("release");
    const directory = await mkdtemp(join(tmpdir(), "helmr-chaos-"));
    const database = await testDatabase();
    await onOwnConnection(
      database.url,
      async (client) => void (await client.query(`alter database ${new URL(database.url).pathname.slice(1)} set synchronous_commit = on`)),
    );
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const secret = `hlmr_we_${"0123456789abcdef".repeat(4)}`;
    const server = new Restartable({
      command: "packages/server/src/main/all-in-one.ts",
      log: join(directory, "server.log"),
      environment: {
        HELMR_MODE: "local",
        HELMR_HOST: "127.0.0.1",
        PORT: String(port),
        HELMR_PUBLIC_URL: url,
        HELMR_STATE_DIR: join(directory, "server"),
        HELMR_DATABASE_URL: database.url,
        HELMR_ENROLLMENT_SECRET: secret,
        HELMR_WAIT_LIVE_MS: "0",
        HELMR_TIMER_LIVE_MS: "200",
        ...options.server,
      },
    });
    await mkdir(join(directory, "server"));
    const workers = [];
    for (const name of ["a", "b"]) workers.push(await newWorker({ name, directory, url, secret, environment: options.worker ?? {} }));
    const install = new TwoWorkers({ directory, database, server, workers, url });
    server.start();
    try {
      await until("the server serves", () => serves(url, directory), slowMs);
    } catch (error) {
      await install.close();
      throw error;
    }
    return install;
  }

  async api(): Promise<WireClient> {
    if (this.client === undefined) {
      const handoff = JSON.parse(await readFile(join(this.directory, "server", "local.json"), "utf8")) as { api_key: string };
      this.client = wireClient(this.url, { bearer: handoff.api_key });
    }
    return this.client;
  }

  /** One request, repeated while the server is away. */
  async call(method: string, path: string, body?: unknown): Promise<{ status: number; json: Loose }> {
    const api = await this.api();
    const deadline = Date.now() + slowMs;
    for (;;) {
      try {
        const answer = await api.call(method, path, body === undefined ? {} : { body });
        if (answer.status < 500 || Date.now() > deadline) return answer;
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /**
   * PostgreSQL loses a backend by SIGKILL: it ends all others, recovers from its log, and refuses connections meanwhile. What was committed must be there: this
   * database's commits wait for the log, unlike those of other tests.
   */
  async crashDatabase(): Promise<void> {
    const [backend] = await this.rows<{ pid: number }>("select pg_backend_pid() as pid");
    process.kill(backend!.pid, "SIGKILL");
    await this.rows("select 1");
  }

  /**
   * The environment of processes whose clocks are ahead by so much, once the database's is: its own `now()` stands before PostgreSQL's in the search path, and
   * `Date` in a process of ours says the same. Guests get their time from their worker. Call it while server and workers are down.
   */
  async moveClocks(aheadMs: number): Promise<Record<string, string>> {
    const { url } = this.database;
    await onOwnConnection(url, async (client) => {
      await client.query("create schema clock");
      const text = `select pg_catalog.now() + ${aheadMs} * interval '1 millisecond'`;
      await client.query(`create function clock.now() returns timestamptz language sql stable as $clock$ ${text} $clock$`);
      await client.query(`alter database ${new URL(url).pathname.slice(1)} set search_path = public, clock, pg_catalog`);
      // Connections that were open keep the clock they had.
      await client.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
      );
    });
    const file = join(this.directory, "clock.mjs");
    await writeFile(
      file,
      `const Own = Date;
       globalThis.Date = class Date extends Own {
         constructor(...given) { if (given.length === 0) super(Own.now() + ${aheadMs}); else super(...given); }
         static now() { return Own.now() + ${aheadMs}; }
       };
       Object.defineProperty(performance, "timeOrigin", { value: performance.timeOrigin + ${aheadMs} });`,
    );
    return { NODE_OPTIONS: `--import=${file}` };
  }

  /** Builds the tasks in a guest and promotes them. */
  async deploy(tasks: string): Promise<void> {
    const sdk = ["@helmr", "sdk"].join("/");
    const source = await tarOf({
      "package.json": JSON.stringify({ name: "chaos", type: "module", packageManager: "npm@11.0.0", dependencies: { [sdk]: "0.1.0" } }),
      "helmr.config.ts": `import { defineConfig } from "${sdk}"; export default defineConfig({ project: "default", dirs: ["./tasks"] });`,
      "tasks/all.ts": tasks.replaceAll("@sdk", sdk),
    });
    const created = await upload(await this.api(), source);
    if (created.status !== 201) throw new TypeError(`The upload was refused: ${created.text}`);
    const { id } = created.json as { id: string };
    let deployment: { status: string; error?: unknown } = { status: "queued" };
    await until(
      "the deployment is built",
      async () => {
        deployment = (await this.call("GET", `/api/deployments/${id}`)).json;
        return deployment.status === "deployed" || deployment.status === "failed";
      },
      15 * 60_000,
    );
    if (deployment.status !== "deployed")
      throw new TypeError(`The build failed: ${JSON.stringify(deployment.error)}\n${await this.logs()}`);
    const promoted = await this.call("POST", `/api/deployments/${id}/promote`, {});
    if (promoted.status !== 200) throw new TypeError(`The promotion was refused: ${JSON.stringify(promoted.json)}`);
  }

  async startRun(task: string, payload: unknown): Promise<{ sessionId: string; runId: string }> {
    const { status, json } = await this.call("POST", "/api/sessions", { task_id: task, payload });
    if (status >= 300) throw new TypeError(`The start was refused: ${JSON.stringify(json)}`);
    return { sessionId: json.session.id, runId: json.run.id };
  }

  /** Repeated when its connection was cut or PostgreSQL recovers: tests do that to it. */
  async rows<R extends object = Row>(text: string, values: unknown[] = []): Promise<R[]> {
    const deadline = Date.now() + slowMs;
    for (;;) {
      try {
        return (await this.pool.query<R & pg.QueryResultRow>(text, values)).rows;
      } catch (error) {
        const { code = "", message = "" } = error as { code?: string; message?: string };
        const isCut = /^(57P0|08|ECONN)/.test(code) || /terminat/i.test(message);
        if (!isCut || Date.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  async runState(runId: string): Promise<Row> {
    const [row] = await this.rows(
      `select r.state, r.outcome, r.output, r.failure, r.attempt_number, r.checkpoint_id, k.name as worker
         from runs r left join leases l on l.id = r.lease_id left join workers k on k.id = l.worker_id where r.id = $1`,
      [runId],
    );
    return row ?? {};
  }

  async untilRun(what: string, runId: string, is: (state: Row) => boolean, limitMs = slowMs): Promise<Row> {
    let state: Row = {};
    try {
      await until(what, async () => is((state = await this.runState(runId))), limitMs);
    } catch (error) {
      const events = await this.rows("select kind, attributes from run_events where run_id = $1 order by seq", [runId]);
      const shown = `${JSON.stringify(state)}\n${events.map((event) => JSON.stringify(event)).join("\n")}\n${await this.logs()}`;
      throw new TypeError(`${(error as Error).message}: ${shown}`, { cause: error });
    }
    return state;
  }

  /** Tokens that the run made and nobody has decided. */
  async pendingTokens(runId: string): Promise<string[]> {
    return (
      await this.rows<{ id: string }>("select id from tokens where run_id = $1 and state = 'pending' order by created_at", [runId])
    ).map((row) => row.id);
  }

  async completeToken(id: string, data: unknown): Promise<void> {
    const { status, json } = await this.call("POST", `/api/tokens/${id}/complete`, { data });
    if (status >= 300) throw new TypeError(`The completion was refused: ${JSON.stringify(json)}`);
  }

  /** Pids of the monitors of a worker's machines; spares are not among them. */
  async monitors(worker: number): Promise<number[]> {
    const leases = join(this.directory, `worker-${"ab"[worker]}`, "leases");
    const found: number[] = [];
    for (const lease of await readdir(leases).catch(() => [])) {
      const text = await readFile(join(leases, lease, "monitor", "machine.json"), "utf8").catch(() => undefined);
      if (text !== undefined) found.push((JSON.parse(text) as { pid: number }).pid);
    }
    return found;
  }

  /** Of the machine in which a run is, if it is in one. */
  async monitorsOf(runId: string): Promise<number[]> {
    const [lease] = await this.rows<{ lease_id: string | null }>("select lease_id from runs where id = $1", [runId]);
    const id = lease?.lease_id ?? "";
    const texts = await Promise.all(
      ["a", "b"].map((name) =>
        readFile(join(this.directory, `worker-${name}`, "leases", id, "monitor", "machine.json"), "utf8").catch(() => undefined),
      ),
    );
    return texts.filter((text) => text !== undefined).map((text) => (JSON.parse(text) as { pid: number }).pid);
  }

  /** Cuts that are being made or stored. */
  async cuts(): Promise<number> {
    let count = 0;
    for (const name of ["a", "b"]) {
      const leases = join(this.directory, `worker-${name}`, "leases");
      for (const lease of await readdir(leases).catch(() => []))
        count += (await readdir(join(leases, lease)).catch(() => [])).filter((file) => file.startsWith("cut-")).length;
    }
    return count;
  }

  /** Waits until nothing holds anything any more. */
  async end(): Promise<void> {
    await until(
      "nothing is held any more",
      async () => (await this.rows("select 1 from leases where state = 'held'")).length === 0,
      slowMs,
    );
  }

  async logs(lines = 25): Promise<string> {
    const parts = await Promise.all(
      [this.server, ...this.workers].map(async ({ log }) => {
        const text = await readFile(log, "utf8").catch(() => "");
        return `--- ${log}\n${text.split("\n").slice(-lines).join("\n")}`;
      }),
    );
    return parts.join("\n");
  }

  invariants(): Promise<unknown[]> {
    return brokenInvariants(this.database.url);
  }

  async close(): Promise<void> {
    // Workers first: what they run is taken down with them.
    await Promise.all(this.workers.map((worker) => worker.end("SIGTERM")));
    await this.server.end("SIGTERM");
    this.client?.close();
    await this.pool.end();
    await this.database.drop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

async function onOwnConnection(url: string, body: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await body(client);
  } finally {
    await client.end();
  }
}

/** It answers, and has handed its key over. */
async function serves(url: string, directory: string): Promise<boolean> {
  try {
    await readFile(join(directory, "server", "local.json"), "utf8");
    return (await fetch(`${url}/readyz`)).ok;
  } catch {
    return false;
  }
}

async function newWorker(parts: {
  name: string;
  directory: string;
  url: string;
  secret: string;
  environment: Record<string, string>;
}): Promise<Restartable> {
  const { name, directory, url, secret, environment } = parts;
  const state = join(directory, `worker-${name}`);
  await mkdir(state, { mode: 0o711 });
  const cache = guestCacheDirectory();
  // Machine templates take a minute to make; each worker has its own, as on two hosts.
  const templates = join(cache, `chaos-templates-${name}`);
  await mkdir(templates, { recursive: true, mode: 0o711 });
  await symlink(templates, join(state, "templates"));
  return new Restartable({
    command: "packages/worker/src/main.ts",
    log: join(directory, `worker-${name}.log`),
    environment: {
      HELMR_SERVER_URL: url,
      HELMR_ENROLLMENT_SECRET: secret,
      HELMR_STATE_DIR: state,
      HELMR_GUEST_DIR: cache,
      HELMR_WORKER_NAME: name,
      HELMR_WORKER_WARM_SHAPES: "1x512",
      HELMR_WORKER_SPARES: "0",
      HELMR_WORKER_MEMORY_MIB: "6000",
      HELMR_WORKER_SCRATCH_MIB: "1024",
      HELMR_WORKER_DISK_RESERVE_MIB: "256",
      HELMR_WORKER_DRAIN_MS: "1000",
      HELMR_LOG_LEVEL: "debug",
      ...environment,
    },
  });
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
