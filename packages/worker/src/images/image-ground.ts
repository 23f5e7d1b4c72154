/** What image builds need of their worker beyond what every machine needs. */
import { arch } from "node:os";
import { join } from "node:path";
import { required } from "../assert.ts";
import type { EmptyDisks } from "../disks/empty-disks.ts";
import type { PullLimits } from "./pull-image.ts";
import { parseMirrors, parseRegistries, type RegistrySettings } from "./registry/endpoints.ts";
import { LayerStore } from "./registry/layer-store.ts";
import type { ResolvedImage } from "./registry/registry-client.ts";
import { CacheDisks } from "./steps/cache-disks.ts";

export interface ImageGround {
  architecture: "amd64" | "arm64";
  registries: RegistrySettings;
  layers: LayerStore;
  caches: CacheDisks;
  limits: PullLimits;
  /** `always`: a tag is looked up for each build. `missing`: what this worker found for it before counts. */
  pull: "always" | "missing";
  /** By environment and reference. */
  resolved: Map<string, ResolvedImage>;
  /** Steps that are being made by this worker, by project and key: whoever wants the same waits. */
  making: Map<string, Promise<void>>;
}

export interface ImageSettings {
  /** As configured; checked there. */
  mirrors: string;
  registries: string;
  pull: "always" | "missing";
  layersMib: number;
  cachesMib: number;
}

const MiB = 1024 * 1024;

/** Of images as they are made here; every worker must have the same, because a key contains the size. */
const imageLimits: PullLimits = { entriesMax: 500_000, bytesMax: 12 * 1024 * MiB, diskBytes: 16 * 1024 * MiB };

export async function openImageGround(settings: ImageSettings, parts: { directory: string; empties: EmptyDisks }): Promise<ImageGround> {
  const { directory, empties } = parts;
  const mirrors = parseMirrors(settings.mirrors);
  const registries = parseRegistries(settings.registries);
  return {
    architecture: arch() === "arm64" ? "arm64" : "amd64",
    registries: {
      mirrors: required(mirrors.ok ? mirrors.value : undefined, "The configuration checks mirrors"),
      registries: required(registries.ok ? registries.value : undefined, "The configuration checks registries"),
    },
    layers: await LayerStore.open(join(directory, "layers"), settings.layersMib * MiB),
    caches: await CacheDisks.open({ directory: join(directory, "caches"), bytesMax: settings.cachesMib * MiB, empties }),
    limits: imageLimits,
    pull: settings.pull,
    resolved: new Map(),
    making: new Map(),
  };
}
