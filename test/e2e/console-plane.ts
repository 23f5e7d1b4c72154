/** A server with the real console and a worker that plays programs: what browser tests of the console and its demo are made of. */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ProjectShape, taskDeclaration } from "@helmr/test/platform";
import { openSessionPlane, type SessionPlane, type WireProgram } from "../contract/session-plane.ts";

const repository = join(import.meta.dirname, "..", "..");

/** As packages/local builds it for an install. */
export async function buildConsole(): Promise<{ directory: string; remove(): Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), "helmr-console-"));
  const vite = join(repository, "node_modules", "vite", "bin", "vite.js");
  const child = spawn(process.execPath, [vite, "build", "--outDir", directory, "--emptyOutDir", "--logLevel", "warn"], {
    cwd: join(repository, "packages", "console"),
    stdio: ["ignore", "pipe", "pipe"],
    // What ships, not what vitest's own environment would make of it.
    env: { ...process.env, NODE_ENV: "production" },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (output += data.toString()));
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new TypeError(`the console could not be built: ${output}`);
  return { directory, remove: () => rm(directory, { recursive: true, force: true }) };
}

export const consoleProject: ProjectShape = {
  tasks: [
    taskDeclaration("review-pull-request", { queue: "reviews" }),
    taskDeclaration("nightly-report", { schedule: { cron: "30 6 * * 1-5", timezone: "Europe/Berlin" } }),
    taskDeclaration("import-catalog", { queue: "imports", retry: { maxAttempts: 3, backoff: { minMs: 50, maxMs: 50, jitter: "none" } } }),
  ],
  sandboxes: [
    {
      id: "box",
      workspacePath: "/workspace",
      resources: { cpu: 2, memory: "4Gi" },
      network: { internet: true, allow: ["api.github.com", "*.npmjs.org"] },
    },
    { id: "offline", workspacePath: "/data", resources: { memory: "1Gi" }, network: { internet: false } },
  ],
  queues: [
    { id: "reviews", concurrencyLimit: 4 },
    { id: "imports", concurrencyLimit: 1 },
  ],
  streams: [
    { direction: "input", name: "messages", fingerprint: "f1" },
    { direction: "input", name: "approvals", fingerprint: "f2" },
    { direction: "output", name: "progress", fingerprint: "f3" },
    { direction: "output", name: "replies", fingerprint: "f4" },
  ],
};

export interface ConsolePlane extends SessionPlane {
  /** A fresh link that signs in the owner of the install. */
  loginUrl: string;
  /** Leases and starts the next run of a task. */
  play(taskId: string, start?: object): Promise<WireProgram>;
}

export async function openConsolePlane(consoleDirectory: string): Promise<ConsolePlane> {
  const opened = await openSessionPlane({ project: consoleProject, config: { consoleDirectory, magicLinkDebug: true } });
  return {
    ...opened,
    loginUrl: opened.plane.install.loginUrl,
    play: (taskId, start = {}) => opened.program({ task_id: taskId, ...start }),
  };
}
