/** A worker with real machines: this host's driver, the release guest and the network, against the control plane of the tests. */
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { guestCacheDirectory, guestIngredients } from "@helmr/test/services/guest";
import { CheckpointCache } from "../checkpoints/checkpoint-cache.ts";
import { CutStore } from "../checkpoints/cut.ts";
import { ArtifactStore } from "../chunks/artifact-store.ts";
import { ChunkWorker } from "../chunks/chunk-worker.ts";
import { PackCache } from "../chunks/pack-cache.ts";
import { WorkerClient } from "../control/client.ts";
import { EmptyDisks } from "../disks/empty-disks.ts";
import { type ImageSettings, openImageGround } from "../images/image-ground.ts";
import { runLimits } from "../limits.ts";
import { parseAllowList } from "../network/destination-rules.ts";
import { GuestNetwork } from "../network/guest-network.ts";
import { SystemFacts } from "../network/host-facts.ts";
import { findHostSettings } from "../network/host-registry.ts";
import { LiveDesk } from "../mount/live-desk.ts";
import { Gate } from "../host/limited.ts";
import type { Telemetry, WorkerEvents } from "../telemetry.ts";
import { SparePlan } from "../templates/spare-plan.ts";
import { TemplateStore } from "../templates/template-store.ts";
import { openDriver } from "../vm/open-driver.ts";
import type { WorkerHost } from "../worker-host.ts";
import { BaseStore } from "../workspace/base-store.ts";
import type { TestControlPlane } from "../testing/control-plane.ts";

export interface RealHost {
  host: WorkerHost;
  events: { event: keyof WorkerEvents; attributes: Record<string, unknown> }[];
  close(): Promise<void>;
}

const bytesMax = 4 * 1024 * 1024 * 1024;

export interface RealHostOptions {
  images?: Partial<ImageSettings>;
  /** Registry and certificates of this machine, and these destinations, for guests that reach a network. */
  allow?: string;
}

/** Templates are kept between runs of the tests; everything else is new. */
export async function realHost(plane: TestControlPlane, options: RealHostOptions = {}): Promise<RealHost> {
  const { kernel, initramfs, substrate, baseImage, monitorTools } = await guestIngredients("release");
  const cache = guestCacheDirectory();
  const home = await mkdtemp(join(tmpdir(), "helmr-worker-"));
  const at = (name: string) => join(home, name);
  await chmod(home, 0o711);
  await mkdir(at("leases"), { mode: 0o711 });
  await mkdir(at("staging"));
  const driver = openDriver({
    guest: { kernel, initramfs, monitorTools: { ...monitorTools } },
    stateDirectory: join(cache, "driver"),
    spareDirectory: at("spares"),
    cgroupName: "helmr-test",
    accelerator: "auto",
  });
  const chunks = new ChunkWorker();
  const artifacts = new ArtifactStore({ chunks, packs: await PackCache.open(at("packs"), bytesMax), staging: at("staging") });
  const events: RealHost["events"] = [];
  const telemetry: Telemetry = (event, attributes) => {
    events.push({ event, attributes: { ...attributes } });
  };
  const empties = await EmptyDisks.open(at("empty"));
  const imageSettings = { mirrors: "", registries: "", pull: "always", layersMib: 4096, cachesMib: 4096 } as const;
  const facts = new SystemFacts();
  const settings = options.allow === undefined ? undefined : await findHostSettings({ facts, environment: process.env });
  const allow = parseAllowList(options.allow ?? "");
  if (!allow.ok) throw new TypeError(allow.problem);
  const host: WorkerHost = {
    client: new WorkerClient({ url: plane.api.url, credential: "c" }),
    driver,
    spares: new SparePlan({ driver, count: 2, onFailed: () => {} }),
    starts: new Gate(availableParallelism()),
    templates: await TemplateStore.open({
      directory: join(cache, "worker-templates"),
      bytesMax,
      driver,
      guest: { kernel, initramfs, substrate },
    }),
    bases: await BaseStore.open({ directory: at("bases"), artifacts, chunks, bytesMax }),
    empties,
    artifacts,
    cuts: new CutStore({ artifacts, chunks }),
    checkpoints: await CheckpointCache.open({ directory: at("checkpoints"), bytesMax }),
    guestFiles: { kernel, initramfs, substrate },
    live: new LiveDesk(),
    network: new GuestNetwork({ allow: [...allow.value, ...(settings?.allow ?? [])], services: settings?.services ?? [], facts }),
    telemetry,
    limits: runLimits,
    leasesDirectory: at("leases"),
    builtInImage: baseImage.path,
    guest: { environment: settings?.environment ?? {}, extraCa: settings?.extraCa },
    scratchMib: 1024,
    images: await openImageGround({ ...imageSettings, ...options.images }, { directory: at("images"), empties }),
  };
  return {
    host,
    events,
    async close() {
      host.client.close();
      await driver.close();
      await chunks.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}
