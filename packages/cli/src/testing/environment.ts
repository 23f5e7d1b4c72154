/** A fake server, a configuration directory, and a way to run commands against both; everything is undone after each test. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach } from "vitest";
import { saveToken } from "../settings/credential-store.ts";
import { FakeServer } from "./fake-server.ts";
import { type CliResult, type CliRun, runInProcess } from "./run-in-process.ts";

export const testKey = "hlmr_sk_test0123456789";
export const testLogin = "login-token-0123456789-0123456789-0123456789";

export interface TestEnvironment {
  server: FakeServer;
  directory: string;
  /** With an API key. */
  withKey(argv: readonly string[], run?: CliRun): Promise<CliResult>;
  /** With a saved login. */
  withLogin(argv: readonly string[], run?: CliRun): Promise<CliResult>;
  /** With neither key nor login nor host. */
  bare(argv: readonly string[], run?: CliRun): Promise<CliResult>;
}

export function testEnvironment(): TestEnvironment {
  const state = {} as { server: FakeServer; directory: string };
  beforeEach(async () => {
    state.server = await FakeServer.start();
    state.directory = await mkdtemp(path.join(tmpdir(), "helmr-cli-test-"));
  });
  afterEach(async () => {
    await state.server.close();
    await rm(state.directory, { recursive: true, force: true });
  });
  const configured = (run: CliRun) => ({ HELMR_CONFIG_DIR: path.join(state.directory, "config"), ...run.env });
  return {
    get server() {
      return state.server;
    },
    get directory() {
      return state.directory;
    },
    withKey: (argv, run = {}) =>
      runInProcess(argv, { ...run, env: { HELMR_API_URL: state.server.url, HELMR_API_KEY: testKey, ...configured(run) } }),
    withLogin: async (argv, run = {}) => {
      const env = { HELMR_API_URL: state.server.url, ...configured(run) };
      await saveToken({ env, cwd: "/", platform: process.platform, homeDirectory: "/nonexistent" } as never, state.server.url, testLogin);
      return runInProcess(argv, { ...run, env });
    },
    bare: (argv, run = {}) => runInProcess(argv, { ...run, env: configured(run) }),
  };
}
