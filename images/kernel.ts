/**
 * The guest's kernel: the newest Debian cloud kernel (small, virtio, everything else as modules), taken out of its package. Nothing is
 * installed on the host. A kernel that is there is kept until `refresh` asks for a newer one, so that preparing again needs no network.
 */
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { artifactName, exists, prepareArtifact, type Artifact, type Progress } from "./artifact.ts";
import { PreparationError, run } from "./command.ts";

export interface Kernel {
  /** Version of the Debian package. */
  version: string;
  vmlinuz: string;
  /** Directory of the modules below, and their names in loading order. */
  modulesDirectory: string;
  modules: readonly string[];
}

/** Dependencies first. ext4, tmpfs, cgroups and IPv6 are built in. `dummy` is the interface that programs see; virtio_mmio finds the devices, so it is last. */
const modulePaths = [
  "drivers/virtio/virtio_ring.ko",
  "drivers/virtio/virtio.ko",
  "drivers/char/virtio_console.ko",
  "drivers/block/virtio_blk.ko",
  "fs/overlayfs/overlay.ko",
  "drivers/net/dummy.ko",
  "drivers/virtio/virtio_mmio.ko",
] as const;

const metaPackage = "linux-image-cloud-amd64";
const recipe = 3;

export async function prepareKernel(options: { directory: string; progress: Progress; refresh: boolean }): Promise<Kernel> {
  const { directory, progress, refresh } = options;
  const present = refresh ? undefined : await findPrepared(directory);
  if (present) {
    progress({ step: "kernel", state: "cached", detail: present.version });
    return present.kernel;
  }
  const wanted = await newestKernel();
  const target = await prepareArtifact({
    directory,
    artifact: kernelArtifact(wanted.version),
    progress,
    make: (into) => fetchKernel({ into, package: wanted.package }),
  });
  return describe(target, wanted.version);
}

function kernelArtifact(version: string): Artifact {
  return { name: `kernel-${version}`, inputs: { version, modules: modulePaths.join(" "), recipe } };
}

function describe(target: string, version: string): Kernel {
  const modules = modulePaths.map((path) => path.slice(path.lastIndexOf("/") + 1));
  return { version, vmlinuz: join(target, "vmlinuz"), modulesDirectory: join(target, "modules"), modules };
}

/** The kernel made by this recipe with the highest version. */
async function findPrepared(directory: string): Promise<{ kernel: Kernel; version: string } | undefined> {
  if (!(await exists(directory))) return undefined;
  const found = [];
  for (const name of await readdir(directory)) {
    const version = /^kernel-(.+)-[0-9a-f]{16}$/.exec(name)?.[1];
    if (version === undefined) continue;
    if (artifactName(kernelArtifact(version)) === name) found.push({ kernel: describe(join(directory, name), version), version });
  }
  return found.toSorted((a, b) => a.version.localeCompare(b.version, "en", { numeric: true })).at(-1);
}

async function newestKernel(): Promise<{ package: string; version: string }> {
  const find = async (): Promise<{ package: string; version: string } | undefined> => {
    const depends = await run("apt-cache", ["depends", "--no-recommends", metaPackage]).catch(() => "");
    const name = /Depends: (linux-image-\S+-cloud-amd64)/.exec(depends)?.[1];
    if (name === undefined) return undefined;
    const policy = await run("apt-cache", ["policy", name]);
    const version = /Candidate: (\S+)/.exec(policy)?.[1];
    return version === undefined || version === "(none)" ? undefined : { package: name, version };
  };
  const known = await find();
  if (known) return known;
  // A fresh machine may not have the package lists yet.
  await run("apt-get", ["update", "-q"], { timeoutMs: 180_000 });
  const updated = await find();
  if (updated) return updated;
  throw new PreparationError(
    "no_kernel",
    `apt knows no ${metaPackage}: add Debian's main archive to the package sources, then run ./helmr up again.`,
  );
}

async function fetchKernel(options: { into: string; package: string }): Promise<void> {
  const work = await mkdtemp(join(options.into, "unpack-"));
  // Older lists may name a file that the archive has replaced meanwhile.
  const download = (): Promise<string> => run("apt-get", ["download", "-q", options.package], { cwd: work, timeoutMs: 300_000 });
  await download().catch(async () => {
    await run("apt-get", ["update", "-q"], { timeoutMs: 180_000 });
    return download();
  });
  const archive = (await readdir(work)).find((name) => name.endsWith(".deb"));
  if (archive === undefined) throw new PreparationError("no_kernel", `apt-get download ${options.package} left no package file.`);
  await run("dpkg-deb", ["-x", join(work, archive), join(work, "tree")], { timeoutMs: 120_000 });
  const release = (await readdir(join(work, "tree/lib/modules")))[0];
  if (release === undefined) throw new PreparationError("no_kernel", `The package ${options.package} holds no modules.`);
  await copyFile(join(work, "tree/boot", `vmlinuz-${release}`), join(options.into, "vmlinuz"));
  await mkdir(join(options.into, "modules"));
  for (const path of modulePaths) {
    const name = path.slice(path.lastIndexOf("/") + 1);
    await run("strip", [
      "--strip-debug",
      "-o",
      join(options.into, "modules", name),
      join(work, "tree/lib/modules", release, "kernel", path),
    ]);
  }
  await writeFile(join(options.into, "release"), `${release}\n`);
  await rm(work, { recursive: true });
}
