/**
 * Compressed layers on this host's disk, by digest: a cache, bounded, least recently used first out. A file under its final name is whole and was
 * verified when it came; one that was cut off stays as `.partial` and goes on where it stopped.
 *
 *   missing → downloading (once, whoever asks) → here ⇄ held → gone
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Gate } from "../../host/limited.ts";
import { jitter, pause } from "../../host/pause.ts";
import { ImageError } from "../image-error.ts";
import type { LayerDescriptor } from "./manifests.ts";
import type { ImageReference } from "./reference.ts";
import type { RegistryClient } from "./registry-client.ts";

export interface HeldLayer {
  path: string;
  release(): void;
}

interface Entry {
  bytes: number;
  holders: number;
}

const downloadsAtOnce = 4;
const attemptsMax = 8;

export class LayerStore {
  private readonly directory: string;
  private readonly bytesMax: number;
  /** By digest, in order of use, the oldest first. */
  private readonly entries = new Map<string, Entry>();
  private readonly downloading = new Map<string, Promise<void>>();
  private readonly gate = new Gate(downloadsAtOnce);

  private constructor(directory: string, bytesMax: number) {
    this.directory = directory;
    this.bytesMax = bytesMax;
  }

  static async open(directory: string, bytesMax: number): Promise<LayerStore> {
    const store = new LayerStore(directory, bytesMax);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const found: { digest: string; bytes: number; usedMs: number }[] = [];
    for (const name of await readdir(directory)) {
      const info = await stat(join(directory, name));
      if (/^[0-9a-f]{64}$/.test(name)) found.push({ digest: `sha256:${name}`, bytes: info.size, usedMs: info.mtimeMs });
    }
    for (const { digest, bytes } of found.toSorted((a, b) => a.usedMs - b.usedMs)) store.entries.set(digest, { bytes, holders: 0 });
    return store;
  }

  /** `onBytes` is told what came over the network. */
  async acquire(
    layer: LayerDescriptor,
    from: { client: RegistryClient; reference: ImageReference; signal: AbortSignal; onBytes?: (bytes: number) => void },
  ): Promise<HeldLayer> {
    for (;;) {
      from.signal.throwIfAborted();
      const entry = this.entries.get(layer.digest);
      if (entry !== undefined) return this.hold(layer.digest, entry);
      const running = this.downloading.get(layer.digest);
      if (running !== undefined) {
        // Its failure is its own caller's (another build may have been cancelled); this one tries again.
        await running.catch(() => {});
        continue;
      }
      const work = this.gate.run(() => this.download(layer, from));
      this.downloading.set(layer.digest, work);
      try {
        await work;
      } finally {
        this.downloading.delete(layer.digest);
      }
    }
  }

  private hold(digest: string, entry: Entry): HeldLayer {
    entry.holders += 1;
    this.entries.delete(digest);
    this.entries.set(digest, entry);
    const path = this.pathOf(digest);
    const now = new Date();
    // Remembered across restarts; of no other importance.
    utimes(path, now, now).catch(() => {});
    let released = false;
    return {
      path,
      release: () => {
        if (released) return;
        released = true;
        entry.holders -= 1;
        void this.evict();
      },
    };
  }

  private async download(layer: LayerDescriptor, from: Parameters<LayerStore["acquire"]>[1]): Promise<void> {
    const partial = `${this.pathOf(layer.digest)}.partial`;
    for (let attempt = 0; ; attempt += 1) {
      try {
        await this.continueDownload(partial, layer, from);
        break;
      } catch (error) {
        from.signal.throwIfAborted();
        const again = error instanceof ImageError && error.retryable && attempt < attemptsMax;
        if (!again) throw error;
        await pause(jitter(attempt, { firstMs: 200, maxMs: 5_000 }), from.signal);
      }
    }
    await rename(partial, this.pathOf(layer.digest));
    this.entries.set(layer.digest, { bytes: layer.sizeBytes, holders: 0 });
  }

  private async continueDownload(partial: string, layer: LayerDescriptor, from: Parameters<LayerStore["acquire"]>[1]): Promise<void> {
    const { client, reference, signal, onBytes } = from;
    let have = await stat(partial).then(
      (info) => info.size,
      () => 0,
    );
    if (have > layer.sizeBytes) have = 0;
    const file = await open(partial, have === 0 ? "w" : "r+", 0o600);
    try {
      if (have < layer.sizeBytes) {
        const { body, from: start } = await client.blob(reference, layer.digest, { offset: have, signal });
        let at = start;
        try {
          for await (const chunk of body) {
            if (at + chunk.length > layer.sizeBytes)
              throw new ImageError(
                "digest_mismatch",
                `The registry ${reference.registry} gives more than the ${layer.sizeBytes} bytes of layer ${layer.digest}`,
              );
            await file.write(chunk, 0, chunk.length, at);
            at += chunk.length;
            onBytes?.(chunk.length);
          }
        } catch (cause) {
          if (cause instanceof ImageError || (cause as NodeJS.ErrnoException).code === "ENOSPC") throw cause;
          throw new ImageError("registry_unavailable", `The download of layer ${layer.digest} was cut off: ${(cause as Error).message}`, {
            cause,
          });
        }
        if (at < layer.sizeBytes)
          throw new ImageError(
            "registry_unavailable",
            `The download of layer ${layer.digest} ended after ${at} of ${layer.sizeBytes} bytes`,
          );
      }
    } finally {
      await file.close();
    }
    const digest = await digestOf(partial, signal);
    if (digest === layer.digest) return;
    await rm(partial, { force: true });
    throw new ImageError(
      "digest_mismatch",
      `The registry ${reference.registry} gave a layer with the digest ${digest} for ${layer.digest}`,
    );
  }

  private async evict(): Promise<void> {
    let over = [...this.entries.values()].reduce((sum, entry) => sum + entry.bytes, 0) - this.bytesMax;
    for (const [digest, entry] of this.entries) {
      if (over <= 0) return;
      if (entry.holders > 0) continue;
      over -= entry.bytes;
      this.entries.delete(digest);
      await rm(this.pathOf(digest), { force: true });
    }
  }

  private pathOf(digest: string): string {
    return join(this.directory, digest.replace(/^sha256:/, ""));
  }
}

async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024, signal })) hash.update(chunk as Buffer);
  return `sha256:${hash.digest("hex")}`;
}
