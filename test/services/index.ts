export { startTestCluster, type TestDatabase, testDatabase } from "./postgres.ts";
export { until } from "./until.ts";
