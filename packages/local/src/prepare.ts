/** Everything that must be on this machine before anything is started; each part is cached, so a second `up` looks at a few files. */
import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { prepareGuest } from "@helmr/images/prepare";
import { packSdk } from "@helmr/sdk/pack";
import { buildConsole } from "./console-bundle.ts";
import { installPackages, missingPackages } from "./host-packages.ts";
import { installPostgresBinaries } from "./postgres/binaries.ts";
import type { Progress } from "./progress.ts";
import { newestChange } from "./source-files.ts";
import type { StateLayout } from "./state.ts";

export const repository = join(import.meta.dirname, "..", "..", "..");

export async function prepare(layout: StateLayout, progress: Progress): Promise<void> {
  const missing = await missingPackages();
  if (missing.length > 0) {
    progress.step(`Installing Debian packages: ${missing.map(({ name }) => name).join(" ")}`);
    await installPackages(missing, (line) => progress.detail(line));
  }
  progress.step("Preparing the guest: kernel, initramfs, substrate, base image helmr/node:24");
  await Promise.all([
    prepareGuest({
      directory: join(layout.data, "guest"),
      progress: ({ step, state, milliseconds }) => {
        if (state === "started") progress.detail(`${step} …`);
        if (state === "done")
          progress.detail(`${step} done${milliseconds === undefined ? "" : ` in ${(milliseconds / 1000).toFixed(1)} s`}`);
      },
    }),
    installPostgresBinaries(join(layout.data, "postgres")),
    preparePackages(layout),
    buildConsole(join(layout.data, "server", "console"), (line) => progress.detail(line)),
  ]);
}

/** The tarball of @helmr/sdk that the server answers under /npm/, made again when a source is newer. */
async function preparePackages(layout: StateLayout): Promise<void> {
  const directory = join(layout.data, "server", "packages");
  await mkdir(directory, { recursive: true });
  const changed = await newestChange([join(repository, "packages/sdk"), join(repository, "packages/protocol/src")]);
  const present = (await readdir(directory)).filter((name) => name.endsWith(".tgz"));
  for (const name of present) if ((await stat(join(directory, name))).mtimeMs > changed) return;
  const { tarball, packageJson } = await packSdk();
  const version = (packageJson as { version: string }).version;
  const target = join(directory, `helmr-sdk-${version}.tgz`);
  await writeFile(`${target}.new`, tarball);
  await rename(`${target}.new`, target);
  for (const name of present) if (join(directory, name) !== target) await rm(join(directory, name), { force: true });
}
