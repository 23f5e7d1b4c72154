import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** Real guests for minutes: only when they are asked for (`node scripts/test.ts long`), because everything else has to fit into CI's 25 minutes. */
const long = [
  "packages/worker/src/images/image-build.vm.test.ts",
  "packages/worker/src/images/image-tools.vm.test.ts",
  "packages/worker/src/images/image-ends.vm.test.ts",
  "test/e2e/images.e2e.ts",
  "test/e2e/park-resume.e2e.ts",
  "test/e2e/console-live.e2e.ts",
];

/** Files of tests at the same time: as many as there are processors, not one less. */
const besideEachOther = availableParallelism();

/** The kinds of tests (house §6). `unit` needs nothing; `database` and `contract` need PostgreSQL; `e2e` needs real guests. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          maxWorkers: besideEachOther,
          include: ["packages/*/src/**/*.test.ts", "scripts/**/*.test.ts", "images/**/*.test.ts"],
          exclude: ["**/*.pg.test.ts", "**/*.vm.test.ts", "**/node_modules/**"],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: "database",
          maxWorkers: besideEachOther,
          include: ["packages/*/src/**/*.pg.test.ts"],
          globalSetup: ["test/services/global-setup.ts"],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: "contract",
          maxWorkers: besideEachOther,
          include: ["test/contract/**/*.contract.ts"],
          globalSetup: ["test/services/global-setup.ts"],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "vm",
          include: ["packages/*/src/**/*.vm.test.ts"],
          exclude: [...long, "**/node_modules/**"],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 300_000,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.e2e.ts"],
          exclude: long,
          globalSetup: ["test/services/global-setup.ts", "test/e2e/global-setup.ts"],
          fileParallelism: false,
          // Guests at once, where a file says that its tests may overlap.
          maxConcurrency: 3,
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
      {
        test: {
          name: "long",
          include: long,
          globalSetup: ["test/services/global-setup.ts", "test/e2e/global-setup.ts"],
          fileParallelism: false,
          maxConcurrency: 3,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
      {
        test: {
          name: "chaos",
          include: ["test/chaos/**/*.chaos.ts"],
          globalSetup: ["test/services/global-setup.ts"],
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
