/** What benchmarks use of the pull half, and nothing else. */
export { pullLayers } from "./pull-image.ts";
export { parseMirrors } from "./registry/endpoints.ts";
export { LayerStore } from "./registry/layer-store.ts";
export { RegistryClient } from "./registry/registry-client.ts";
export { baseTar, localRegistry, writeLayout } from "./local-registry.fixture.ts";
