export * from "./blobs.ts";
export * from "./builds.ts";
export * from "./image-steps.ts";
export * from "./chunk-manifest.ts";
export * from "./leases.ts";
export * from "./routes.ts";
export * from "./runs.ts";
export * from "./sealed-chunks.ts";
