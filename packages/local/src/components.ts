/**
 * What a single-machine install runs, in order of start: PostgreSQL, the server (control plane and dispatcher in one process), a worker.
 * Each is started with a parent death signal, so that even a SIGKILL of the supervisor leaves no orphan; each but PostgreSQL is started
 * again when it dies, with growing pauses. PostgreSQL dying takes the same path: it recovers from its log at the next start.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { type ProcessId, endProcess, identify } from "./processes.ts";

export interface Component {
  name: string;
  command: string[];
  environment: Record<string, string>;
  log: string;
  /** How long it may take to end by itself after TERM. */
  graceMs: number;
}

export interface RunningComponent {
  readonly name: string;
  /** Present process; changes when it was started again. */
  current(): ProcessId | undefined;
  stop(): Promise<void>;
}

export interface ComponentEvents {
  onExit(name: string, how: string, restartInMs: number): void;
  onStart(name: string, pid: number): void;
}

const restartMs = { first: 250, max: 15_000, healthyAfter: 30_000 };

export async function startComponent(component: Component, events: ComponentEvents): Promise<RunningComponent> {
  let child: ChildProcess | undefined;
  let id: ProcessId | undefined;
  let pauseMs = restartMs.first;
  const wake = new AbortController();

  const run = async (): Promise<void> => {
    while (!wake.signal.aborted) {
      const startedAt = Date.now();
      child = await launch(component);
      const exited = new Promise<string>((resolve) => {
        child?.once("exit", (code, signal) => resolve(signal ? `signal ${signal}` : `exit code ${code}`));
        child?.once("error", (error) => resolve(error.message));
      });
      id = child.pid === undefined ? undefined : await identify(child.pid);
      if (child.pid !== undefined) events.onStart(component.name, child.pid);
      const how = await exited;
      id = undefined;
      if (wake.signal.aborted) return;
      pauseMs = Date.now() - startedAt > restartMs.healthyAfter ? restartMs.first : Math.min(pauseMs * 2, restartMs.max);
      events.onExit(component.name, how, pauseMs);
      // An abort only ends the pause early.
      await delay(pauseMs, undefined, { signal: wake.signal }).catch(() => undefined);
    }
  };
  const running = run();
  return {
    name: component.name,
    current: () => id,
    async stop() {
      wake.abort();
      if (id) await endProcess(id, component.graceMs);
      await running;
    },
  };
}

async function launch(component: Component): Promise<ChildProcess> {
  const log = await open(component.log, "a", 0o600);
  try {
    return spawn("setpriv", ["--pdeathsig", "TERM", "--", ...component.command], {
      env: { ...inherited(), ...component.environment },
      stdio: ["ignore", log.fd, log.fd],
      cwd: "/",
      // A process group of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops things in order.
      detached: true,
    });
  } finally {
    await log.close();
  }
}

/** What our processes may see of the caller's environment: nothing that changes how they work by accident. */
export function inherited(): Record<string, string> {
  const names = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"];
  // The registry of this host may be set by environment alone; the worker hands it on to guests.
  const npm = Object.keys(process.env).filter((name) => /^npm_config_/i.test(name));
  return Object.fromEntries([...names, ...npm].flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
}
