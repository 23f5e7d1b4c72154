/** The source archive of a deployment on this host's disk: fetched under the build's lease, repeated when it is cut short, verified by its hash. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { sourcePath, type BuildLease } from "@helmr/protocol/worker";
import type { WorkerClient } from "../control/client.ts";
import type { HeldLease } from "../control/held-lease.ts";
import { jitter, pause } from "../host/pause.ts";

export class SourceUnavailable extends Error {
  override name = "SourceUnavailable";
  readonly code: "source_unavailable" | "source_corrupt" | "lease_stale";
  constructor(code: SourceUnavailable["code"], message: string) {
    super(message);
    this.code = code;
  }
}

const attemptMs = 10 * 60_000;
const attemptsMax = 8;

export async function fetchSource(
  client: WorkerClient,
  lease: { held: HeldLease; lease: BuildLease },
  into: { path: string; signal: AbortSignal },
): Promise<void> {
  const { held } = lease;
  const { deployment } = lease.lease;
  const query = new URLSearchParams({ lease_id: held.id, fence: String(lease.lease.fence) });
  const path = `${sourcePath.replace("{id}", deployment.id)}?${query}`;
  for (let attempt = 0; ; attempt += 1) {
    const result = await client.stream(path, { deadline: held.deadline, signal: into.signal, attemptMs });
    if (result.kind === "stale") throw new SourceUnavailable("lease_stale", "The lease is not held any more");
    if (result.kind !== "ok")
      throw new SourceUnavailable("source_unavailable", `The source archive could not be fetched: ${JSON.stringify(result)}`);
    const found = await save(result.value, into.path).catch(() => undefined);
    if (found?.bytes === deployment.source_bytes) {
      if (found.digest === deployment.content_hash) return;
      throw new SourceUnavailable("source_corrupt", `The source archive has hash ${found.digest}, not ${deployment.content_hash}`);
    }
    into.signal.throwIfAborted();
    if (attempt === attemptsMax) throw new SourceUnavailable("source_unavailable", `The source archive was cut short ${attemptsMax} times`);
    await pause(jitter(attempt, { firstMs: 200, maxMs: 5_000 }), into.signal);
  }
}

async function save(source: AsyncIterable<Uint8Array>, path: string): Promise<{ bytes: number; digest: string }> {
  const hash = createHash("sha256");
  const file = await open(path, "w", 0o600);
  let bytes = 0;
  try {
    for await (const chunk of source) {
      hash.update(chunk);
      await file.write(chunk);
      bytes += chunk.length;
    }
  } finally {
    await file.close();
  }
  return { bytes, digest: `sha256:${hash.digest("hex")}` };
}
