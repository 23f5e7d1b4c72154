/** The processes of an install with their settings, and how one knows that they serve. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Component } from "./components.ts";
import type { Install } from "./install.ts";
import { LocalError } from "./local-error.ts";
import { repository } from "./prepare.ts";
import { handoffFile, workerReadyFile } from "./ready.ts";
import { type StateLayout, readJson } from "./state.ts";
import { logTail } from "./supervise.ts";
import { rm } from "node:fs/promises";

interface InstallComponents {
  layout: StateLayout;
  install: Install;
  databaseUrl: string;
}

export async function installComponents({ layout, install, databaseUrl }: InstallComponents): Promise<Component[]> {
  // What they said at their last start is not what they say now.
  await rm(workerReadyFile(layout), { force: true });
  const apiUrl = `http://localhost:${install.apiPort}`;
  const shared = { HELMR_LOCAL_DATA: layout.data };
  return [
    {
      name: "server",
      command: [process.execPath, join(repository, "packages/server/src/main/all-in-one.ts")],
      environment: {
        ...shared,
        HELMR_MODE: "local",
        HELMR_HOST: "127.0.0.1",
        PORT: String(install.apiPort),
        HELMR_PUBLIC_URL: apiUrl,
        HELMR_STATE_DIR: join(layout.data, "server"),
        HELMR_DATABASE_URL: databaseUrl,
        HELMR_ENROLLMENT_SECRET: install.enrollmentSecret,
        HELMR_CONSOLE_DIR: join(layout.data, "server", "console"),
        HELMR_PACKAGES_DIR: join(layout.data, "server", "packages"),
      },
      log: join(layout.logs, "server.log"),
      graceMs: 15_000,
    },
    {
      name: "worker",
      command: [process.execPath, join(repository, "packages/worker/src/main.ts")],
      environment: {
        ...shared,
        HELMR_SERVER_URL: apiUrl,
        HELMR_ENROLLMENT_SECRET: install.enrollmentSecret,
        HELMR_STATE_DIR: join(layout.data, "worker"),
        HELMR_GUEST_DIR: join(layout.data, "guest"),
        HELMR_READY_FILE: workerReadyFile(layout),
        ...passedOn(["HELMR_REGISTRY_MIRRORS", "HELMR_REGISTRIES", "HELMR_IMAGE_PULL", "HELMR_GUEST_SERVICES", "HELMR_GUEST_ALLOW"]),
      },
      log: join(layout.logs, "worker.log"),
      graceMs: 40_000,
    },
  ];
}

/** What whoever calls `up` says about registries of images, and about services of this host and its network that guests may reach. */
function passedOn(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
}

interface UntilReady {
  layout: StateLayout;
  install: Install;
  signal: AbortSignal;
  detail: (line: string) => void;
}

const serverReadyMs = 60_000;
const workerReadyMs = 5 * 60_000;

export async function untilReady({ layout, install, signal, detail }: UntilReady): Promise<void> {
  const startedAt = Date.now();
  const url = `http://127.0.0.1:${install.apiPort}/readyz`;
  await until(
    signal,
    serverReadyMs,
    async () => (await fetch(url).catch(() => undefined))?.status === 200,
    async () => {
      throw new LocalError(
        `The server did not get ready within ${serverReadyMs / 1000} s. Its log ends with:\n${await logTail(join(layout.logs, "server.log"), 8)}`,
        `see ${join(layout.logs, "server.log")}`,
      );
    },
  );
  await until(
    signal,
    serverReadyMs,
    async () => (await readJson(handoffFile(layout))) !== undefined,
    async () => {
      throw new LocalError("The server has not written its key.", `see ${join(layout.logs, "server.log")}`);
    },
  );
  detail(`server ready after ${((Date.now() - startedAt) / 1000).toFixed(1)} s; the worker prepares its first machine template`);
  await until(
    signal,
    workerReadyMs,
    async () => (await readJson(workerReadyFile(layout))) !== undefined,
    async () => {
      throw new LocalError(
        `The worker did not get ready within ${workerReadyMs / 60_000} minutes. Its log ends with:\n${await logTail(join(layout.logs, "worker.log"), 8)}`,
        `see ${join(layout.logs, "worker.log")}`,
      );
    },
  );
}

async function until(signal: AbortSignal, patienceMs: number, isTrue: () => Promise<boolean>, giveUp: () => Promise<never>): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!(await isTrue())) {
    if (signal.aborted) throw new LocalError("Stopped while starting.", "./helmr up");
    if (Date.now() > deadline) await giveUp();
    await delay(50);
  }
}
