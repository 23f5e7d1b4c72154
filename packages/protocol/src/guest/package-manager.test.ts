import { expect, test } from "vitest";
import { choosePackageManager } from "./package-manager.ts";

test.each<[string | undefined, string[], object]>([
  ["npm@11.0.0", [], { name: "npm", version: "11.0.0", lock: undefined }],
  ["npm@11.0.0", ["package-lock.json", "pnpm-lock.yaml"], { name: "npm", version: "11.0.0", lock: "package-lock.json" }],
  ["npm@11.0.0", ["pnpm-lock.yaml"], { name: "pnpm", version: undefined, lock: "pnpm-lock.yaml" }],
  ["bun", ["bun.lockb", "bun.lock"], { name: "bun", version: undefined, lock: "bun.lock" }],
  ["bun@1.2.2", ["package-lock.json"], { name: "npm", version: undefined, lock: "package-lock.json" }],
  ["yarn@4.6.0+sha512.abc", ["yarn.lock"], { name: "yarn", version: "4.6.0", lock: "yarn.lock" }],
  ["pnpm@file:../evil", ["pnpm-lock.yaml"], { name: "pnpm", version: undefined, lock: "pnpm-lock.yaml" }],
  [undefined, ["yarn.lock"], { name: "yarn", version: undefined, lock: "yarn.lock" }],
])("%s with %j", (declared, files, expected) => {
  expect(choosePackageManager(declared, (path) => files.includes(path))).toEqual(expected);
});
