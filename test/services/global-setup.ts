/** vitest globalSetup of the projects whose tests need PostgreSQL. */
import { startTestCluster } from "./postgres.ts";

export default async function setup(): Promise<() => Promise<void>> {
  return startTestCluster();
}
