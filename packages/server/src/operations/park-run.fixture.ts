/** What a worker says when it parks a run: a cut whose bytes nobody reads. */
import { randomUUID } from "node:crypto";
import { newArtifact } from "./engine.fixture.ts";
import type { ParkRequest } from "./park-run.ts";

/** As workers of the fixture offer it. */
export const restores = "fake|0|tcg|amd64||none";

export function parkRequest(orgId: string, waitId: string, over: Partial<ParkRequest> = {}): ParkRequest {
  const artifact = () => newArtifact(orgId);
  return {
    waitId,
    checkpointId: randomUUID(),
    activeMs: 7,
    reportThrough: 0,
    compatibility: { driver: "fake" },
    requires: restores,
    resumeState: { streams: [0, 0, 0] },
    artifacts: { template: artifact(), memory: artifact(), device: artifact(), scratch: artifact() },
    workspace: { status: "captured", version_id: randomUUID(), artifact: artifact(), size_bytes: 10, entry_count: 1 },
    keyId: "k1",
    storedBytes: 1_000,
    pauseMs: 12,
    ...over,
  };
}
