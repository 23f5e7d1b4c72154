/** A whole server (control plane and dispatcher) in this process, on a database of its own, with a local install: project, environment, API key. */
import { createServer } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Config,
  ensureLocalInstall,
  type LocalInstall,
  migrate,
  newEnrollmentSecret,
  openParts,
  type Parts,
  readConfig,
  serveFront,
  startDispatcher,
  type TelemetryEvents,
  telemetryTo,
  type WireOptions,
} from "@helmr/server";
import { type WireClient, wireClient } from "./wire-client.ts";

export interface ControlPlane {
  url: string;
  parts: Parts;
  config: Config;
  install: LocalInstall;
  /** Ids of the API endpoints that have a handler. */
  implemented: ReadonlySet<string>;
  /** Signed in with the install's API key. */
  api: WireClient;
  enrollmentSecret: string;
  /** What the server reported as its own fault; a test that expects none checks that it is empty. */
  faults: { event: keyof TelemetryEvents; details: unknown }[];
  close(): Promise<void>;
}

export interface ControlPlaneOptions extends Pick<WireOptions, "hooks" | "intercept"> {
  databaseUrl: string;
  config?: Partial<Config>;
  /** false: no reconciler runs, so that a test decides what happens when. */
  dispatcher?: boolean;
  /** The database is migrated already (clones of the test template are). */
  migrated?: boolean;
}

const faultEvents = new Set<keyof TelemetryEvents>(["request_failed", "stream_failed", "reconcile_failed"]);

export async function controlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const directory = await mkdtemp(join(tmpdir(), "helmr-test-server-"));
  const enrollmentSecret = newEnrollmentSecret();
  const faults: ControlPlane["faults"] = [];
  const telemetry = telemetryTo((event, details) => {
    if (faultEvents.has(event)) faults.push({ event, details });
  });
  if (!options.migrated) await migrate(options.databaseUrl);
  const port = await freePort();
  const config = readConfig(
    {
      HELMR_DATABASE_URL: options.databaseUrl,
      HELMR_STATE_DIR: directory,
      PORT: String(port),
      HELMR_MODE: "local",
      HELMR_ENROLLMENT_SECRET: enrollmentSecret,
    },
    options.config,
  );
  const parts = await openParts(config, {
    telemetry,
    shared: false,
    ...(options.hooks ? { hooks: options.hooks } : {}),
    ...(options.intercept ? { intercept: options.intercept } : {}),
  });
  const install = await ensureLocalInstall({ ...parts.accounts, publicUrl: config.publicUrl }, undefined);
  const front = await serveFront(config, parts);
  const loops = options.dispatcher === false ? undefined : startDispatcher(parts);
  const url = `http://127.0.0.1:${port}`;
  const api = wireClient(url, { bearer: install.apiKey });
  return {
    url,
    parts,
    config,
    install,
    implemented: front.implemented,
    api,
    enrollmentSecret,
    faults,
    async close() {
      api.close();
      await front.close();
      await loops?.stop();
      await parts.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
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
