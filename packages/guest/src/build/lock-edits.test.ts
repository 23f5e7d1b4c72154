import { expect, test } from "vitest";
import { addedPackages, withoutSdk } from "./lock-edits.ts";

const pnpm = (sdk: { importer: string; packages: string }) => `lockfileVersion: '9.0'

importers:

  .:
    dependencies:
${sdk.importer}      is-odd:
        specifier: 3.0.1
        version: 3.0.1

packages:

${sdk.packages}  is-odd@3.0.1:
    resolution: {integrity: sha512-x}

snapshots:

  user@1.0.0:
    dependencies:
      '@helmr/sdk': 0.1.0
`;

test("a lock file of pnpm loses the project's wish for the SDK, and nothing else", () => {
  const packages = "  '@helmr/sdk@0.1.0':\n    resolution: {integrity: sha512-y}\n\n";
  const importer = "      '@helmr/sdk':\n        specifier: 0.1.0\n        version: 0.1.0\n";
  expect(withoutSdk(pnpm({ importer, packages }))).toBe(pnpm({ importer: "", packages }));
  const old = "lockfileVersion: '6.0'\n\ndependencies:\n  '@helmr/sdk':\n    specifier: 0.1.0\n    version: 0.1.0\n\npackages:\n";
  expect(withoutSdk(old)).toBe("lockfileVersion: '6.0'\n\ndependencies:\n\npackages:\n");
});

test("what an installation adds to a lock file is found, what it leaves out is not", () => {
  const bun = (...names: string[]) =>
    `{\n  "packages": {\n${names.map((name) => `    "a/${name}": ["${name}@1.0.0", "", {}, "sha512-x"],\n`).join("")}  }\n}`;
  expect(addedPackages("bun", bun("one", "@scope/two"), bun("one"))).toEqual([]);
  expect(addedPackages("bun", bun("one"), bun("one", "@scope/two"))).toEqual(["@scope/two@1.0.0"]);
  const yarn = (...names: string[]) => names.map((name) => `"${name}":\n  version: 1.0.0\n  resolution: "${name}"\n`).join("\n");
  expect(addedPackages("yarn", yarn("a@npm:1.0.0"), yarn("p@workspace:.", "a@npm:1.0.0"))).toEqual([]);
  expect(addedPackages("yarn", yarn("a@npm:1.0.0"), yarn("a@npm:1.0.0", "b@npm:2.0.0"))).toEqual(["b@npm:2.0.0"]);
});
