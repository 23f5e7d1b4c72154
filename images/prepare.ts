/**
 * Everything a worker needs to run guests, in one directory. Each step is cached by what it is made of, so a second preparation looks at a few
 * files and is done; it can be interrupted and repeated at any time, and two may run at once.
 */
import { mkdir, realpath, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { bundleGuest } from "@helmr/guest/bundle";
import { type Progress, removeAbandoned, removeOutdated } from "./artifact.ts";
import { type BaseImage, prepareBaseImage } from "./base-image.ts";
import { prepareGuestTool } from "./guest-tool.ts";
import { prepareInitramfs } from "./initramfs.ts";
import { prepareKernel } from "./kernel.ts";
import { type MonitorTools, prepareMonitorTools } from "./monitor-tools.ts";
import { type Bundle, bundleFile, prepareSubstrate } from "./substrate.ts";

export type { Progress } from "./artifact.ts";
export type { BaseImage, ImageConfig } from "./base-image.ts";
export { PreparationError } from "./command.ts";

export interface Ingredients {
  kernel: string;
  kernelVersion: string;
  initramfs: string;
  substrate: string;
  baseImage: BaseImage;
  monitorTools: MonitorTools;
}

export interface PrepareOptions {
  /** `<state>/guest`; made when missing. */
  directory: string;
  progress: Progress;
  /** Look for a newer kernel although there is one. */
  refresh?: boolean;
  /** What becomes /opt/helmr/lib in the guest instead of the guest package's own files. */
  bundles?: readonly Bundle[];
}

const outdatedMs = 7 * 24 * 3_600_000;

export async function prepareGuest({ directory: given, progress, refresh = false, bundles }: PrepareOptions): Promise<Ingredients> {
  await mkdir(given, { recursive: true });
  // Several installs may share one by links, and one that goes must not take the others' paths with it.
  const directory = await realpath(given);
  await removeAbandoned(directory);
  // The base image waits for the network, the rest for the processor.
  const [{ kernel, initramfs, substrate }, baseImage, monitorTools] = await Promise.all([
    prepareBoot({ directory, progress, refresh, ...(bundles === undefined ? {} : { bundles }) }),
    prepareBaseImage({ directory, progress }),
    prepareMonitorTools({ directory, progress }),
  ]);
  const keep = [kernel.vmlinuz, initramfs, substrate, baseImage.path, monitorTools.tscRate].map((path) => dirname(path));
  await removeOutdated(directory, { keep, olderThanMs: outdatedMs });
  const ingredients = { kernel: kernel.vmlinuz, kernelVersion: kernel.version, initramfs, substrate, baseImage, monitorTools };
  // Where a worker finds it all (packages/worker/src/guest-ingredients.ts); tests with a supervisor of their own pass it on themselves.
  if (bundles === undefined) await writeWhole(join(directory, "ingredients.json"), JSON.stringify(ingredients, null, 2));
  return ingredients;
}

async function writeWhole(path: string, text: string): Promise<void> {
  const partial = `${path}.${process.pid}.partial`;
  await writeFile(partial, text);
  await rename(partial, path);
}

async function prepareBoot({ directory, progress, refresh = false, bundles }: PrepareOptions) {
  const [kernel, guestTool, files] = await Promise.all([
    prepareKernel({ directory, progress, refresh }),
    prepareGuestTool({ directory, progress }),
    bundles === undefined ? bundleGuest() : Promise.all(bundles.map(bundleFile)),
  ]);
  const [initramfs, substrate] = await Promise.all([
    prepareInitramfs({ directory, progress, kernel, guestTool }),
    prepareSubstrate({ directory, progress, guestTool, files }),
  ]);
  return { kernel, initramfs, substrate };
}
