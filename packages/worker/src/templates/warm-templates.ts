/**
 * Templates of built images, made ahead of the first run of a deployment: one at a time, behind the answer to the deployment, only for images whose disk is
 * on this host, and only while the host has a machine's worth of room. A wish that does not find room in time is dropped: the first run then makes it.
 *
 *   wished ──▶ waiting for room ──▶ made (or there already) │ dropped
 */
import type { ArtifactRef, StorageKeys } from "@helmr/protocol/worker";
import type { BlobPort } from "../chunks/blob-port.ts";
import { tenantKeys } from "../chunks/sealing.ts";
import { Gate } from "../host/limited.ts";
import { errorText, type Telemetry } from "../telemetry.ts";
import type { MachineShape } from "../vm/driver.ts";
import type { BaseStore } from "../workspace/base-store.ts";
import type { TemplateStore } from "./template-store.ts";

export interface WantedTemplate {
  /** Digest of the built image: what leases call it. */
  image: string;
  artifact: ArtifactRef;
  shape: MachineShape;
}

export interface WarmTemplatesOptions {
  templates: TemplateStore;
  bases: BaseStore;
  telemetry: Telemetry;
  /** Resolves with whether the host has room for such a machine, at the latest when the signal is aborted. */
  room: (shape: MachineShape, signal: AbortSignal) => Promise<boolean>;
}

const wishesMax = 8;
const wishMs = 10 * 60_000;
/** Long enough for the runs that were there before; whoever deploys and starts at once makes the template with the first run. */
const roomMs = 2 * 60_000;

/** The build's lease is over: what is not here is not fetched. */
const noBlobs: BlobPort = {
  get: () => Promise.reject(new DOMException("A template is only made ahead of what is on this host", "NotFoundError")),
  put: () => Promise.reject(new DOMException("A template is only made ahead of what is on this host", "NotFoundError")),
};

export class WarmTemplates {
  private readonly options: WarmTemplatesOptions;
  private readonly gate = new Gate(1);
  private readonly closing = new AbortController();
  private readonly pending = new Set<Promise<void>>();

  constructor(options: WarmTemplatesOptions) {
    this.options = options;
  }

  /** Never rejects, never waits. */
  wish(wanted: readonly WantedTemplate[], storage: StorageKeys): void {
    for (const one of wanted) {
      if (this.pending.size >= wishesMax || this.closing.signal.aborted) return;
      if (!this.options.bases.has(storage.org_id, one.artifact.digest)) continue;
      const signal = AbortSignal.any([this.closing.signal, AbortSignal.timeout(wishMs)]);
      const work = this.gate
        .run(() => this.make(one, storage, signal), signal)
        .catch((error: unknown) => {
          if (signal.aborted) return;
          this.options.telemetry("background.failed", { what: `template ahead of image ${one.image}`, message: errorText(error) });
        })
        .finally(() => this.pending.delete(work));
      this.pending.add(work);
    }
  }

  async close(): Promise<void> {
    this.closing.abort();
    await Promise.all(this.pending);
  }

  private async make({ image, artifact, shape }: WantedTemplate, storage: StorageKeys, signal: AbortSignal): Promise<void> {
    const { templates, bases, room, telemetry } = this.options;
    if (!(await room(shape, AbortSignal.any([signal, AbortSignal.timeout(roomMs)])))) return;
    const began = performance.now();
    const base = await bases.acquire(artifact, { keys: tenantKeys(storage), blobs: noBlobs, signal });
    try {
      const held = await templates.acquire({ ref: image, path: base.path }, shape, { signal });
      held.release();
      telemetry("template.ready", { image, ...shape, ms: Math.round(performance.now() - began) });
    } finally {
      base.release();
    }
  }
}
