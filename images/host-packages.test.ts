import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hostPackages } from "./host-packages.ts";

/** Which package brings a program that preparation or the driver calls; what every Debian has without asking is not listed. */
const providers: Record<string, string> = {
  "apt-cache": "apt",
  "apt-config": "apt",
  "apt-get": "apt",
  debugfs: "e2fsprogs",
  "dpkg-deb": "dpkg",
  dumpe2fs: "e2fsprogs",
  gcc: "gcc",
  mke2fs: "e2fsprogs",
  mmdebstrap: "mmdebstrap",
  strip: "binutils",
};
const everywhere = new Set(["ldd", "npm", "tar"]);

test("every program that preparation calls is in a listed package", () => {
  const listed = new Set(hostPackages.map(({ name }) => name));
  const called = new Set<string>();
  for (const file of readdirSync(import.meta.dirname).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))) {
    for (const [, program] of readFileSync(join(import.meta.dirname, file), "utf8").matchAll(/\brun\("([^"]+)"/g))
      called.add(program as string);
  }
  expect(called.size).toBeGreaterThan(5);
  for (const program of called)
    expect(everywhere.has(program) || listed.has(providers[program] ?? `nothing provides ${program}`), program).toBe(true);
});

test("each package says what it is for", () => {
  expect(hostPackages.every(({ reason, provides }) => reason.length > 15 && provides.startsWith("/"))).toBe(true);
  expect(new Set(hostPackages.map(({ name }) => name)).size).toBe(hostPackages.length);
});
