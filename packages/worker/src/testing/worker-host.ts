/** A whole worker around fakes at the wires: the control plane over real HTTP, the driver at its port. Everything between is the real thing. */
import { mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { StorageKeys } from "@helmr/protocol/worker";
import { CheckpointCache } from "../checkpoints/checkpoint-cache.ts";
import { CutStore } from "../checkpoints/cut.ts";
import { ArtifactStore } from "../chunks/artifact-store.ts";
import type { ChunkWorker } from "../chunks/chunk-worker.ts";
import { PackCache } from "../chunks/pack-cache.ts";
import { tenantKeys } from "../chunks/sealing.ts";
import { WorkerClient } from "../control/client.ts";
import { EmptyDisks } from "../disks/empty-disks.ts";
import { type ImageSettings, openImageGround } from "../images/image-ground.ts";
import { LiveDesk } from "../mount/live-desk.ts";
import { noNetwork } from "../host/network-peer.ts";
import { runLimits, type RunLimits } from "../limits.ts";
import { Gate } from "../host/limited.ts";
import type { Telemetry, WorkerEvents } from "../telemetry.ts";
import { SparePlan } from "../templates/spare-plan.ts";
import { TemplateStore } from "../templates/template-store.ts";
import type { WorkerHost } from "../worker-host.ts";
import { BaseStore } from "../workspace/base-store.ts";
import { FakeDriver } from "./fake-driver.ts";
import type { TestControlPlane } from "./control-plane.ts";

export interface TestHost extends WorkerHost {
  driver: FakeDriver;
  events: { event: keyof WorkerEvents; attributes: unknown }[];
  home: string;
}

/** Shorter than in life, longer than anything that works needs. */
const testLimits: RunLimits = {
  ...runLimits,
  attachMs: 1_000,
  startRunMs: 1_000,
  guestSlackMs: 150,
  cancelTotalMs: 400,
  cancelGraceMs: 200,
  forceMs: 150,
  outputMs: 500,
  syncMs: 500,
};

export async function testHost(
  plane: TestControlPlane,
  options: { home: string; chunks: ChunkWorker; limits?: Partial<RunLimits>; driver?: FakeDriver; images?: Partial<ImageSettings> },
): Promise<TestHost> {
  const { home, chunks } = options;
  const driver = options.driver ?? new FakeDriver();
  const at = (name: string) => join(home, name);
  await mkdir(at("staging"), { recursive: true });
  const packs = await PackCache.open(at("packs"), 64 * 1024 * 1024);
  const artifacts = new ArtifactStore({ chunks, packs, staging: at("staging") });
  const bytesMax = 1024 * 1024 * 1024;
  const guest = { kernel: "kernel", initramfs: "initramfs", substrate: "substrate" };
  const events: TestHost["events"] = [];
  const empties = await EmptyDisks.open(at("empty"));
  const imageSettings = { mirrors: "", registries: "", pull: "always", layersMib: 64, cachesMib: 64, ...options.images } as const;
  const telemetry: Telemetry = (event, attributes) => {
    events.push({ event, attributes });
  };
  return {
    home,
    events,
    telemetry,
    driver,
    client: new WorkerClient({ url: plane.api.url, credential: "c", limits: { firstPauseMs: 2, pauseMaxMs: 20 } }),
    spares: new SparePlan({ driver, count: 1, onFailed: () => {} }),
    starts: new Gate(availableParallelism()),
    templates: await TemplateStore.open({ directory: at("templates"), bytesMax, driver, guest }),
    bases: await BaseStore.open({ directory: at("bases"), artifacts, chunks, bytesMax }),
    empties,
    artifacts,
    cuts: new CutStore({ artifacts, chunks }),
    checkpoints: await CheckpointCache.open({ directory: at("checkpoints"), bytesMax }),
    guestFiles: guest,
    live: new LiveDesk(),
    network: noNetwork,
    limits: { ...testLimits, ...options.limits },
    leasesDirectory: at("leases"),
    builtInImage: at("base.ext4"),
    guest: { environment: {}, extraCa: undefined },
    scratchMib: 16,
    images: await openImageGround(imageSettings, { directory: at("images"), empties }),
  };
}

/** A small task tree in the store, as a build would have left it. */
export async function storeTaskTree(host: WorkerHost, plane: TestControlPlane, storage: StorageKeys) {
  const keys = tenantKeys(storage);
  const empty = await host.empties.get("workspace", 16 * 1024 * 1024);
  const source = { kind: "raw" as const, path: empty.path, lengthBytes: empty.sizeBytes, extents: empty.extents };
  const blobs = {
    get: () => Promise.reject(new Error("nothing is read here")),
    put: async (key: string, body: Uint8Array | { path: string }) => {
      const { readFile } = await import("node:fs/promises");
      plane.blobs.set(key, body instanceof Uint8Array ? Buffer.from(body) : await readFile(body.path));
    },
  };
  const { artifact } = await host.artifacts.store({ source, keys, blobs, signal: AbortSignal.timeout(10_000) });
  return artifact;
}
