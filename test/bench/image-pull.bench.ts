/**
 * Pulling and unpacking a base image of some 110 MiB (300 MB unpacked) from a registry on loopback, against skopeo and umoci in the same run. Needs
 * docker-registry, skopeo and umoci. Argument: how often (3).
 */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { guestCacheDirectory, guestIngredients } from "@helmr/test/services/guest";
import { baseTar, LayerStore, localRegistry, parseMirrors, pullLayers, RegistryClient, writeLayout } from "@helmr/worker/images";
import { type Benchmark, quantile } from "./measure.ts";

const gib = 1024 ** 3;

export const benchmark: Benchmark = {
  measures: "a Debian + Node image from a registry on loopback to a disk, against skopeo copy and umoci unpack of the same image",
  async run(args) {
    const count = Number(args[0] ?? 3);
    const directory = await mkdtemp(join(tmpdir(), "helmr-bench-"));
    const registry = await localRegistry(join(directory, "registry"));
    const series = { ours: [] as number[], again: [] as number[], theirs: [] as number[] };
    try {
      const { baseImage } = await guestIngredients("release");
      const layers = [await baseTar(baseImage.path, guestCacheDirectory())];
      await writeLayout(join(directory, "layout"), [{ tag: "base", layers, compression: "gzip" }]);
      registry.push(join(directory, "layout"), "base", "library/node:24-bookworm-slim");
      const mirrors = parseMirrors(`docker.io=${registry.url}`);
      const settings = { mirrors: mirrors.ok ? mirrors.value : new Map(), registries: [] };
      const host = new URL(registry.url).host;
      for (let index = 0; index < count; index += 1) {
        const store = await LayerStore.open(join(directory, `layers-${index}`), 4 * gib);
        for (const name of ["ours", "again"] as const) {
          const target = join(directory, "disk.ext4");
          const begun = performance.now();
          const signal = AbortSignal.timeout(600_000);
          const client = new RegistryClient({ settings, credentials: new Map(), platform: { os: "linux", architecture: "amd64" } });
          const image = await client.resolve("node:24-bookworm-slim", signal);
          const limits = { entriesMax: 500_000, bytesMax: 12 * gib, diskBytes: 16 * gib };
          await pullLayers(image, { client, layers: store, limits, target, signal });
          series[name].push(performance.now() - begun);
          await rm(target);
        }
        const begun = performance.now();
        const copied = join(directory, "copied");
        const from = `docker://${host}/library/node:24-bookworm-slim`;
        execFileSync("skopeo", ["copy", "--quiet", "--src-tls-verify=false", from, `oci:${copied}:x`], { stdio: "pipe" });
        execFileSync("umoci", ["raw", "unpack", "--image", `${copied}:x`, join(directory, "unpacked")], { stdio: "pipe" });
        series.theirs.push(performance.now() - begun);
        await rm(copied, { recursive: true });
        await rm(join(directory, "unpacked"), { recursive: true });
      }
    } finally {
      await registry.close();
      await rm(directory, { recursive: true, force: true });
    }
    const met = quantile(series.ours, 0.5) <= 2 * quantile(series.theirs, 0.5);
    return [
      { name: "image-pull", unit: "ms", samples: series.ours, target: "≤ 2 × skopeo and umoci", met },
      { name: "image-pull-layers-here", unit: "ms", samples: series.again },
      { name: "image-pull-skopeo-umoci", unit: "ms", samples: series.theirs },
    ];
  },
};
