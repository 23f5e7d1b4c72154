/** Layers of an image, downloaded and verified, into the file of a disk. Runs in a thread of its own (unpack-thread.ts); only reads and writes files. */
import { createHash } from "node:crypto";
import { closeSync, createReadStream, fsyncSync, ftruncateSync, openSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { Ext4Contents } from "../ext4/contents.ts";
import { geometryOf } from "../ext4/disk-layout.ts";
import { writeTree } from "../ext4/write-tree.ts";
import { ImageError } from "../image-error.ts";
import { LayerApplier } from "./layer-applier.ts";
import { type LayerLimits, LayerReader } from "./layer-reader.ts";
import { malformed } from "./tar-headers.ts";

export interface LayerFile {
  path: string;
  compression: "none" | "gzip" | "zstd";
  diffId: string;
}

export interface UnpackInput {
  layers: readonly LayerFile[];
  /** Made new. */
  target: string;
  diskBytes: number;
  limits: LayerLimits;
}

export interface Unpacked {
  entries: number;
  contentBytes: number;
}

/** Headers and padding come on top of contents: what a layer may have in all before it counts as a bomb. */
const headerBytesPerEntry = 4_096;
const readBytes = 1024 * 1024;

export async function unpackLayers({ layers, target, diskBytes, limits }: UnpackInput, signal: AbortSignal): Promise<Unpacked> {
  const fd = openSync(target, "wx", 0o644);
  try {
    const geometry = geometryOf(diskBytes);
    ftruncateSync(fd, diskBytes);
    const contents = new Ext4Contents(fd, geometry);
    const applier = new LayerApplier(contents);
    const left = { ...limits };
    for (const layer of layers) {
      applier.beginLayer();
      const read = await readLayer(layer, { applier, limits: left, signal });
      left.entriesMax -= read.entries;
      left.bytesMax -= read.bytes;
    }
    const id = layers.map((layer) => layer.diffId).join(" ");
    writeTree(applier.root.node, { fd, geometry, contents, id });
    fsyncSync(fd);
    return { entries: limits.entriesMax - left.entriesMax, contentBytes: limits.bytesMax - left.bytesMax };
  } finally {
    closeSync(fd);
  }
}

async function readLayer(
  layer: LayerFile,
  { applier, limits, signal }: { applier: LayerApplier; limits: LayerLimits; signal: AbortSignal },
): Promise<{ entries: number; bytes: number }> {
  const reader = new LayerReader(applier, limits);
  const hash = createHash("sha256");
  const allowed = limits.bytesMax + limits.entriesMax * headerBytesPerEntry;
  let bytes = 0;
  const take = async (source: AsyncIterable<Buffer>) => {
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > allowed) throw new ImageError("image_too_large", `A layer of the image decompresses to more than ${allowed} bytes`);
      hash.update(chunk);
      reader.push(chunk);
    }
  };
  const file = createReadStream(layer.path, { highWaterMark: readBytes });
  try {
    if (layer.compression === "none") await take(file);
    else
      await pipeline(
        file,
        layer.compression === "gzip" ? createGunzip({ chunkSize: readBytes }) : createZstdDecompress({ chunkSize: readBytes }),
        take,
        { signal },
      );
  } catch (cause) {
    if (/^(Z_|ZSTD_|ERR_ZSTD)/.test(String((cause as NodeJS.ErrnoException).code)))
      throw malformed(`it cannot be decompressed: ${(cause as Error).message}`);
    throw cause;
  } finally {
    file.destroy();
  }
  reader.finish();
  const diffId = `sha256:${hash.digest("hex")}`;
  if (diffId !== layer.diffId)
    throw new ImageError("digest_mismatch", `A layer of the image has the content ${diffId}, and its configuration says ${layer.diffId}`);
  return { entries: reader.entries, bytes: reader.bytes };
}
