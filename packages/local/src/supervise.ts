/**
 * Keeps an install running: PostgreSQL, then the server, then the worker; stops them in the other order.
 *
 *   starting → ready → stopping → (gone)
 *
 * `supervisor.json` exists exactly while a supervisor lives (a stale one names a dead process and is replaced). Everything it starts carries a
 * parent death signal, so a SIGKILL of the supervisor ends the rest too; the worker then stops its machines. It holds no state of the product.
 */
import { readFile, rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { join } from "node:path";
import { type Component, type RunningComponent, startComponent } from "./components.ts";
import type { Install } from "./install.ts";
import { LocalError } from "./local-error.ts";
import { type RunningCluster, startCluster } from "./postgres/cluster.ts";
import { type ProcessId, identify, isAlive } from "./processes.ts";
import { type StateLayout, readJson, writePrivate } from "./state.ts";

export interface SupervisorRecord extends ProcessId {
  phase: "starting" | "ready" | "stopping";
  apiUrl: string;
  components: Record<string, ProcessId | undefined>;
  /** Why it cannot get ready, when it cannot. */
  problem?: string;
}

export interface Supervision {
  layout: StateLayout;
  install: Install;
  components: (urls: { databaseUrl: string }) => Promise<Component[]>;
  /** Resolves when everything serves; throws LocalError when it will not. */
  untilReady: (signal: AbortSignal) => Promise<void>;
  say: (line: string) => void;
}

const recordMs = 1_000;
/** A component that ends that often before the install was ever ready will not get ready. */
const startExitsMax = 4;

async function crashLoop(component: Component): Promise<LocalError> {
  return new LocalError(
    `The ${component.name} ends as soon as it starts. Its log ends with:\n${await logTail(component.log, 8)}`,
    `see ${component.log}`,
  );
}

export async function presentSupervisor(layout: StateLayout): Promise<SupervisorRecord | undefined> {
  const record = await readJson<SupervisorRecord>(layout.supervisor);
  return record && (await isAlive(record)) ? record : undefined;
}

export class Supervisor {
  private readonly options: Supervision;
  private readonly stopped = new AbortController();
  private cluster: RunningCluster | undefined;
  private running: RunningComponent[] = [];
  private phase: SupervisorRecord["phase"] = "starting";
  private problem: string | undefined;
  private recorder: NodeJS.Timeout | undefined;

  constructor(options: Supervision) {
    this.options = options;
  }

  async start(): Promise<void> {
    await this.record();
    this.recorder = setInterval(() => void this.record(), recordMs);
    try {
      await this.startPostgres();
      const databaseUrl = `${this.cluster?.url}/postgres`;
      const gaveUp = Promise.withResolvers<never>();
      // Nobody may be waiting any more when it is rejected.
      gaveUp.promise.catch(() => undefined);
      for (const component of await this.options.components({ databaseUrl })) {
        let exits = 0;
        this.running.push(
          await startComponent(component, {
            onStart: () => void this.record(),
            onExit: (name, how, restartInMs) => {
              exits += 1;
              this.options.say(`${name} ended (${how}); starting it again in ${restartInMs / 1000} s. Its log: ${component.log}`);
              if (this.phase === "starting" && exits === startExitsMax) void crashLoop(component).then(gaveUp.reject);
            },
          }),
        );
      }
      await Promise.race([this.options.untilReady(this.stopped.signal), gaveUp.promise]);
      this.phase = "ready";
      await this.record();
    } catch (error) {
      this.problem = error instanceof LocalError ? `${error.message} FIX: ${error.fix}` : String(error);
      await this.record();
      await this.stop();
      throw error;
    }
  }

  /** Safe to call again; resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.phase = "stopping";
    this.stopped.abort();
    for (const component of this.running.toReversed()) await component.stop();
    this.running = [];
    await this.cluster?.stop();
    clearInterval(this.recorder);
    const record = await readJson<SupervisorRecord>(this.options.layout.supervisor);
    if (record?.pid === process.pid && this.problem === undefined) await rm(this.options.layout.supervisor, { force: true });
  }

  private async startPostgres(): Promise<void> {
    const { layout, install } = this.options;
    const directory = join(layout.data, "postgres");
    this.cluster = await startCluster({ directory, binaries: directory, port: install.postgresPort });
    void this.watchPostgres(this.cluster);
  }

  /** PostgreSQL that died (killed, out of memory) recovers from its log when it starts again; the others wait for it. */
  private async watchPostgres(cluster: RunningCluster): Promise<void> {
    await cluster.exited;
    for (let pauseMs = 250; !this.stopped.signal.aborted; pauseMs = Math.min(pauseMs * 2, 15_000)) {
      this.options.say("PostgreSQL ended; starting it again");
      try {
        await this.startPostgres();
        return;
      } catch (error) {
        this.options.say(`PostgreSQL does not start: ${(error as Error).message}`);
        // An abort only ends the pause early.
        await delay(pauseMs, undefined, { signal: this.stopped.signal }).catch(() => undefined);
      }
    }
  }

  private async record(): Promise<void> {
    const me = await identify(process.pid);
    if (!me) return;
    const components: SupervisorRecord["components"] = { postgres: this.cluster && (await identify(this.cluster.pid)) };
    for (const component of this.running) components[component.name] = component.current();
    const record: SupervisorRecord = {
      ...me,
      phase: this.phase,
      apiUrl: `http://localhost:${this.options.install.apiPort}`,
      components,
      ...(this.problem === undefined ? {} : { problem: this.problem }),
    };
    await writePrivate(this.options.layout.supervisor, `${JSON.stringify(record)}\n`);
  }
}

export async function logTail(path: string, lines: number): Promise<string> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.trimEnd().split("\n").slice(-lines).join("\n");
}
