export { type BrokenInvariant, brokenInvariants } from "./invariants.ts";
export { startTestCluster, type TestDatabase, testDatabase } from "./postgres.ts";
export { until } from "./until.ts";
