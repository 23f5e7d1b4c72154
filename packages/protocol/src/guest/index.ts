export * from "./build-result.ts";
export * from "./frames.ts";
export * from "./messages.ts";
export * from "./network.ts";
