/**
 * The image a build begins with: from a registry, or the built-in one, which needs none. Resolved to a digest for every build (or once, as the pull
 * policy says); pulled only when no worker of the project has its disk yet.
 */
import { createHash } from "node:crypto";
import { constants, copyFile, readFile, truncate } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runCommand } from "../host/run-command.ts";
import type { WorkerHost } from "../worker-host.ts";
import { ImageError } from "./image-error.ts";
import { pullLayers } from "./pull-image.ts";
import type { CredentialsByRegistry } from "./registry/authorize.ts";
import type { ImageConfig } from "./registry/manifests.ts";
import { RegistryClient } from "./registry/registry-client.ts";

export interface BaseImage {
  /** As it is shown, with its digest. */
  shown: string;
  digest: string;
  config: ImageConfig;
  /** Makes the file of its disk. */
  fetch(target: string, signal: AbortSignal): Promise<string>;
}

/** As it is written in `from`; it is no name of a registry. */
const builtInRef = "helmr/node:24";
const resolvedMax = 1_000;
const commandLimitMs = 5 * 60_000;

export async function findBaseImage(
  host: WorkerHost,
  ref: string,
  asked: { environmentId: string; credentials: () => Promise<CredentialsByRegistry>; signal: AbortSignal },
): Promise<BaseImage> {
  if (ref === builtInRef) return builtInBase(host);
  const { images } = host;
  const client = new RegistryClient({
    settings: images.registries,
    credentials: await asked.credentials(),
    platform: { os: "linux", architecture: host.images.architecture },
  });
  const known = `${asked.environmentId} ${ref}`;
  const before = images.resolved.get(known);
  const fresh = images.pull === "missing" && before !== undefined ? before : await client.resolve(ref, asked.signal);
  images.resolved.delete(known);
  images.resolved.set(known, fresh);
  for (const oldest of images.resolved.keys()) {
    if (images.resolved.size <= resolvedMax) break;
    images.resolved.delete(oldest);
  }
  return {
    shown: `${fresh.reference.canonical.replace(/@.*$/, "")}@${fresh.digest.slice(0, 19)}…`,
    digest: fresh.digest,
    config: fresh.config,
    async fetch(target, signal) {
      const pulled = await pullLayers(fresh, { client, layers: images.layers, limits: images.limits, target, signal });
      return `${mebibytes(pulled.downloadedBytes)} downloaded, ${pulled.entries} files with ${mebibytes(pulled.contentBytes)}`;
    },
  };
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

/** The same bytes as every worker's, on a disk with room for steps. */
async function builtInBase(host: WorkerHost): Promise<BaseImage> {
  const path = host.builtInImage;
  const described = await readFile(join(dirname(path), "config.json"), "utf8").catch((cause: unknown) => {
    throw new ImageError("image_not_found", `The built-in image of this worker has no description beside ${path}`, { cause });
  });
  const { env, workdir, user } = JSON.parse(described) as ImageConfig;
  // Its directory is named after what it is made of.
  const digest = `sha256:${createHash("sha256")
    .update(`${dirname(path).split("/").at(-1)} ${described}`)
    .digest("hex")}`;
  return {
    shown: builtInRef,
    digest,
    config: { env, workdir, user },
    async fetch(target, signal) {
      await copyFile(path, target, constants.COPYFILE_FICLONE);
      await truncate(target, host.images.limits.diskBytes);
      await runCommand("resize2fs", [target], { timeoutMs: commandLimitMs, signal });
      return "built in";
    },
  };
}
