/** The chunk store for tests and benchmarks that cross packages: storing a device as a worker does, without machines. */
export { dataExtents } from "../disks/data-extents.ts";
export { ArtifactStore, chunkBytes } from "./artifact-store.ts";
export { ChunkWorker } from "./chunk-worker.ts";
export { PackCache } from "./pack-cache.ts";
export { tenantKeys } from "./sealing.ts";
