/**
 * vitest globalSetup of the kind `e2e`: one install for all files (shared-install.ts starts it when the first file asks), taken down at the end; what is
 * then left of it fails the run.
 */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { until } from "@helmr/test/services";
import type { TestProject } from "vitest/node";
import { installDirectory, LocalInstall } from "./local-install.ts";

declare module "vitest" {
  export interface ProvidedContext {
    e2eInstall: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = await installDirectory();
  project.provide("e2eInstall", directory);
  return async () => {
    const install = await LocalInstall.open(directory);
    if (await wasStarted(install)) await takeDown(install);
    await install.remove();
  };
}

async function wasStarted(install: LocalInstall): Promise<boolean> {
  return access(join(install.state, "install.json")).then(
    () => true,
    () => false,
  );
}

async function takeDown(install: LocalInstall): Promise<void> {
  const { code, stderr } = await install.down();
  if (code !== 0) throw new TypeError(`down failed with exit code ${code}: ${stderr}`);
  await until("every process of the install is gone", async () => (await install.processes()).length === 0, 10_000).catch(async () => {
    throw new TypeError(`down left processes: ${JSON.stringify(await install.processes(), null, 2)}`);
  });
}
