/** A base image from a registry as the file of a disk: resolve, download side by side, unpack in a thread. */
import { ImageError } from "./image-error.ts";
import type { LayerStore } from "./registry/layer-store.ts";
import type { RegistryClient, ResolvedImage } from "./registry/registry-client.ts";
import { unpackImage } from "./layers/unpack.ts";

export interface PullLimits {
  entriesMax: number;
  /** Of all files of an image, and of all its compressed layers. */
  bytesMax: number;
  /** Size of the disk; sparse. */
  diskBytes: number;
}

export interface PulledImage {
  downloadedBytes: number;
  contentBytes: number;
  entries: number;
}

export async function pullLayers(
  image: ResolvedImage,
  parts: { client: RegistryClient; layers: LayerStore; limits: PullLimits; target: string; signal: AbortSignal },
): Promise<PulledImage> {
  const { client, layers, limits, target, signal } = parts;
  const compressed = image.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0);
  if (compressed > limits.bytesMax)
    throw new ImageError(
      "image_too_large",
      `${image.reference.canonical} has layers of ${compressed} bytes; the limit of this worker is ${limits.bytesMax}`,
    );
  let downloadedBytes = 0;
  const failure = new AbortController();
  const both = AbortSignal.any([signal, failure.signal]);
  const onBytes = (bytes: number) => void (downloadedBytes += bytes);
  const held = await Promise.allSettled(
    image.layers.map((layer) =>
      layers.acquire(layer, { client, reference: image.reference, signal: both, onBytes }).catch((error: unknown) => {
        failure.abort(error);
        throw error;
      }),
    ),
  );
  try {
    if (failure.signal.aborted) throw failure.signal.reason as Error;
    const files = held.flatMap((one, number) => {
      const layer = image.layers[number];
      return one.status === "fulfilled" && layer !== undefined
        ? [{ path: one.value.path, compression: layer.compression, diffId: layer.diffId }]
        : [];
    });
    const { entriesMax, bytesMax } = limits;
    const unpacked = await unpackImage({ layers: files, target, diskBytes: limits.diskBytes, limits: { entriesMax, bytesMax } }, signal);
    return { downloadedBytes, ...unpacked };
  } finally {
    for (const one of held) if (one.status === "fulfilled") one.value.release();
  }
}
