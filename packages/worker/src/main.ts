/** `node packages/worker/src/main.ts`: a worker process from its environment to its end. Only wiring. */
import { chmod, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { CheckpointCache } from "./checkpoints/checkpoint-cache.ts";
import { CutStore } from "./checkpoints/cut.ts";
import { ArtifactStore } from "./chunks/artifact-store.ts";
import { ChunkWorker } from "./chunks/chunk-worker.ts";
import { PackCache } from "./chunks/pack-cache.ts";
import { type Config, ConfigError, describeConfig, readConfig, statePaths } from "./config.ts";
import { EnrollmentFailed, obtainCredential } from "./control/credential.ts";
import { WorkerClient } from "./control/client.ts";
import { EmptyDisks } from "./disks/empty-disks.ts";
import { GuestNotPrepared, readIngredients } from "./guest-ingredients.ts";
import { guestNetworking } from "./guest-networking.ts";
import { DiskRoom } from "./host/disk-room.ts";
import { openImageGround } from "./images/image-ground.ts";
import { Gate } from "./host/limited.ts";
import { watchMemory } from "./host/memory-watch.ts";
import { runLimits } from "./limits.ts";
import { LiveDesk } from "./mount/live-desk.ts";
import { errorText, lineTelemetry, type Telemetry } from "./telemetry.ts";
import { SparePlan } from "./templates/spare-plan.ts";
import { TemplateStore } from "./templates/template-store.ts";
import { VmError } from "./vm/driver.ts";
import { openDriver } from "./vm/open-driver.ts";
import type { WorkerHost } from "./worker-host.ts";
import { workerFacts } from "./worker-facts.ts";
import { WorkerProcess, WorkerRefused } from "./worker-process.ts";
import { BaseStore } from "./workspace/base-store.ts";

const MiB = 1024 * 1024;
const enrollMs = 10 * 60_000;

async function main(): Promise<number> {
  const config = readConfig(process.env);
  if (process.argv.includes("--print-config")) {
    process.stdout.write(describeConfig(config));
    return 0;
  }
  const telemetry = lineTelemetry(config.logLevel, (line) => process.stderr.write(line));
  const host = await openHost(config, telemetry);
  const room = await DiskRoom.watch(config.stateDirectory, config.diskReserveMib);
  const worker = new WorkerProcess({
    host,
    room,
    capacity: { milliCpu: config.cpus * config.cpuOvercommit * 1000, memoryMib: config.memoryMib, slots: config.slots },
    warmShapes: config.warmShapes,
    drainMs: config.drainMs,
  });
  const memory = watchMemory(config.memoryReserveMib, () => worker.relieve());
  const asked = new Promise<string>((resolve) => {
    // Not once: at its parent's death every thread that carries the death signal gets it, and a second one must not end what the first began.
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve(signal));
  });
  const facts = await worker.start();
  const warming = worker.warm().then(() => writeReady(config, facts));
  const why = await Promise.race([asked, worker.refused.then((message) => `refused: ${message}`)]);
  await worker.drain(why);
  await host.templates.close();
  await host.driver.close();
  room.stop();
  memory.stop();
  host.client.close();
  void warming;
  return why.startsWith("refused") ? 1 : 0;
}

async function openHost(config: Config, telemetry: Telemetry): Promise<WorkerHost> {
  const ingredients = await readIngredients(config.guestDirectory);
  const { kernel, initramfs, substrate, baseImage } = ingredients;
  const paths = statePaths(config.stateDirectory);
  // Machines run as users of their own: they must be able to pass.
  await mkdir(config.stateDirectory, { recursive: true });
  await chmod(config.stateDirectory, 0o711);
  await mkdir(paths.leases, { recursive: true, mode: 0o711 });
  await mkdir(paths.spares, { recursive: true, mode: 0o711 });
  await rm(paths.staging, { recursive: true, force: true });
  await mkdir(paths.staging, { recursive: true, mode: 0o700 });
  const driver = openDriver({
    guest: ingredients,
    stateDirectory: paths.driver,
    spareDirectory: paths.spares,
    accelerator: config.accelerator,
  });
  const credential = await obtainCredential({
    url: config.serverUrl,
    path: paths.credential,
    secret: config.enrollmentSecret === "" ? undefined : config.enrollmentSecret,
    name: config.name,
    facts: await workerFacts({ driver, guestFiles: { kernel, initramfs, substrate } }),
    timeoutMs: enrollMs,
  });
  const chunks = new ChunkWorker();
  const artifacts = new ArtifactStore({ chunks, packs: await PackCache.open(paths.packs, config.packsMib * MiB), staging: paths.staging });
  const { network, guest } = await guestNetworking(config, telemetry);
  const empties = await EmptyDisks.open(paths.empty);
  const { registryMirrors: mirrors, registries, imagePull: pull, layersMib, buildCachesMib: cachesMib } = config;
  const onFailed = (error: unknown) => telemetry("background.failed", { what: "spare machines", message: errorText(error) });
  return {
    spares: new SparePlan({ driver, count: (await driver.facts()).accelerator === "tcg" ? config.spares : 0, onFailed }),
    starts: new Gate(availableParallelism()),
    client: new WorkerClient({
      url: config.serverUrl,
      credential: credential.credential,
      onUnanswered: (call) => telemetry("control.unanswered", { ...call }),
    }),
    driver,
    templates: await TemplateStore.open({
      directory: paths.templates,
      bytesMax: config.templatesMib * MiB,
      driver,
      guest: { kernel, initramfs, substrate },
    }),
    bases: await BaseStore.open({ directory: paths.bases, artifacts, chunks, bytesMax: config.basesMib * MiB }),
    empties,
    artifacts,
    cuts: new CutStore({ artifacts, chunks }),
    checkpoints: await CheckpointCache.open({ directory: paths.checkpoints, bytesMax: config.checkpointsMib * MiB }),
    guestFiles: { kernel, initramfs, substrate },
    network,
    live: new LiveDesk(),
    telemetry,
    limits: runLimits,
    leasesDirectory: paths.leases,
    builtInImage: baseImage.path,
    guest,
    scratchMib: config.scratchMib,
    images: await openImageGround({ mirrors, registries, pull, layersMib, cachesMib }, { directory: paths.images, empties }),
  };
}

/** Atomically, so that who waits for it reads it whole. */
async function writeReady(config: Config, facts: { accelerator: string; accelerator_explanation: string }): Promise<void> {
  if (config.readyFile === "") return;
  const { accelerator, accelerator_explanation } = facts;
  await writeFile(`${config.readyFile}.partial`, JSON.stringify({ accelerator, accelerator_explanation, pid: process.pid }));
  await rename(`${config.readyFile}.partial`, config.readyFile);
}

try {
  process.exitCode = await main();
  // Sockets of a control plane that hangs must not keep a worker that is done.
  process.exit();
} catch (error) {
  const expected = [ConfigError, EnrollmentFailed, GuestNotPrepared, WorkerRefused, VmError].some((kind) => error instanceof kind);
  process.stderr.write(expected ? `${(error as Error).message}\n` : `${errorText(error)}\n${(error as Error).stack ?? ""}\n`);
  process.exit(1);
}
