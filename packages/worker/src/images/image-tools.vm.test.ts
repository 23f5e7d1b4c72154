/** What needs a network as well: tools that steps bring, and the dependencies of a project by each package manager, in its image. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { base, builtImage, ImageBuilds, sdk } from "./image-builds.fixture.ts";

let on: ImageBuilds;
beforeAll(async () => {
  on = await ImageBuilds.open("image-tools");
});
afterAll(async () => {
  await on?.close();
});

/** As bun writes them into its lock file. */
const bunPackages = {
  "is-number": [
    "is-number@6.0.0",
    "",
    {},
    "sha512-Wu1VHeILBK8KAWJUAiSZQX94GmOE45Rg6/538fKwiloUu21KncEkYGPqob2oSZ5mUT73vLGrHQjKw3KMPwfDzg==",
  ],
  "is-odd": [
    "is-odd@3.0.1",
    "",
    { dependencies: { "is-number": "^6.0.0" } },
    "sha512-CQpnWPrDwmP1+SMHXZhtLtJv90yiyVfluGsX5iNCVkrhQtU3TQHsUWPG9wkdk9Lgd5yNpAg9jQEo90CBaXgWMA==",
  ],
};

describe("tools of the world", () => {
  test("by apt, by npm with a cache mount, by bun with its lock file", { timeout: 1_800_000 }, async () => {
    const lock = JSON.stringify({
      lockfileVersion: 1,
      workspaces: { "": { name: "b", dependencies: { "is-odd": "3.0.1" } } },
      packages: bunPackages,
    });
    const images = `const tools = image("tools").from("${base}")
  .run(["sh", "-ec", "apt-get update -q && apt-get install -y -q --no-install-recommends jq && rm -rf /var/lib/apt/lists/*"])
  .run(["sh", "-ec", "cd /opt && npm init -y >/dev/null && npm install --cache /cache is-number@7.0.0 && ls /cache > /opt/cached"], { cache: [{ mountPath: "/cache", cache: cache("npm") }] })
  .run(["npm", "install", "-g", "bun@1.2.2"])
  .copy("/bunny/", source.directory("bunny")).workdir("/bunny").run(["bun", "install", "--frozen-lockfile"]);`;
    const files = { "bunny/package.json": JSON.stringify({ name: "b", dependencies: { "is-odd": "3.0.1" } }), "bunny/bun.lock": lock };
    const played = await on.build(on.project(images, files), { timeout_ms: 1_700_000 });
    builtImage(played);
    const said = await on.run(played, "jq --version; ls /opt/node_modules /bunny/node_modules; cat /opt/cached");
    expect(said).toMatch(/^jq-1\.6\n/);
    for (const part of ["is-number", "is-odd", "_cacache"]) expect(said).toContain(part);
  });
});

describe("dependencies of a project that declares an image", () => {
  const number = "sha512-Wu1VHeILBK8KAWJUAiSZQX94GmOE45Rg6/538fKwiloUu21KncEkYGPqob2oSZ5mUT73vLGrHQjKw3KMPwfDzg==";
  const odd = "sha512-CQpnWPrDwmP1+SMHXZhtLtJv90yiyVfluGsX5iNCVkrhQtU3TQHsUWPG9wkdk9Lgd5yNpAg9jQEo90CBaXgWMA==";
  const locks = {
    "package-lock.json": JSON.stringify({
      name: "p",
      lockfileVersion: 3,
      requires: true,
      packages: {
        "": { name: "p", dependencies: { [sdk]: "0.1.0", "is-odd": "3.0.1" } },
        "node_modules/is-number": { version: "6.0.0", integrity: number },
        "node_modules/is-odd": { version: "3.0.1", integrity: odd, dependencies: { "is-number": "^6.0.0" } },
      },
    }),
    "pnpm-lock.yaml": `lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

importers:

  .:
    dependencies:
      '${sdk}':
        specifier: 0.1.0
        version: 0.1.0
      is-odd:
        specifier: 3.0.1
        version: 3.0.1

packages:

  '${sdk}@0.1.0':
    resolution: {integrity: ${number}}

  is-number@6.0.0:
    resolution: {integrity: ${number}}

  is-odd@3.0.1:
    resolution: {integrity: ${odd}}

snapshots:

  '${sdk}@0.1.0': {}

  is-number@6.0.0: {}

  is-odd@3.0.1:
    dependencies:
      is-number: 6.0.0
`,
    "bun.lock": JSON.stringify({
      lockfileVersion: 1,
      workspaces: { "": { name: "p", dependencies: { [sdk]: "0.1.0", "is-odd": "3.0.1" } } },
      packages: bunPackages,
    }),
    // Of Berry: without checksums it is as good as with them.
    "yarn.lock": `__metadata:
  version: 8
  cacheKey: 10c0

"is-number@npm:^6.0.0":
  version: 6.0.0
  resolution: "is-number@npm:6.0.0"
  languageName: node
  linkType: hard

"is-odd@npm:3.0.1":
  version: 3.0.1
  resolution: "is-odd@npm:3.0.1"
  dependencies:
    is-number: "npm:^6.0.0"
  languageName: node
  linkType: hard

"p@workspace:.":
  version: 0.0.0-use.local
  resolution: "p@workspace:."
  dependencies:
    "${sdk}": "npm:0.1.0"
    is-odd: "npm:3.0.1"
  languageName: unknown
  linkType: soft
`,
  };
  // Another Node than the built-in one has would do: what counts is who installed.
  const images = `import isOdd from "is-odd";
const tools = image("tools").from("${base}").env("ODD", String(isOdd(3))).run(["sh", "-ec", "echo made in the image > /made"]).run(["useradd", "-m", "dev"]).user("dev");`;
  const source = (manager: string, lock: keyof typeof locks, more: Record<string, string> = {}) =>
    on.project(images, {
      "package.json": JSON.stringify({
        name: "p",
        type: "module",
        packageManager: manager,
        dependencies: { [sdk]: "0.1.0", "is-odd": "3.0.1" },
      }),
      [lock]: locks[lock],
      ...more,
    });
  const look =
    'cd /opt/helmr-task && node -p \'require("is-odd")(5) && require("is-number/package.json").version\'; grep -c node_modules /proc/self/mountinfo; stat -c %U node_modules/is-odd; ls -a /opt/helmr-task/node_modules/@helmr /tmp; echo $ODD';

  test("npm: a step of its own on the image's disk, cached until the lock file changes", { timeout: 1_200_000 }, async () => {
    const first = await on.build(source("npm@11.0.0", "package-lock.json"));
    builtImage(first);
    expect(first.steps.at(-1)).toMatchObject({ cached: false, reason: "it was not built before" });
    expect(first.steps.at(-1)?.message).toMatch(/dependencies by npm: /);
    const said = await on.run(first, look);
    expect(said).toMatch(/^6\.0\.0\n1\nroot\n/);
    expect(said).toMatch(/sdk/);
    expect(said).not.toMatch(/helmr-install/);
    const again = await on.build(source("npm@11.0.0", "package-lock.json", { "tasks/more.ts": "export const more = 1;" }));
    expect(again.steps.map(({ cached }) => cached)).toEqual(first.steps.map(() => true));
  });

  test.each([
    ["pnpm", "pnpm@9.15.0", "pnpm-lock.yaml"],
    ["bun", "bun@1.2.2", "bun.lock"],
    ["yarn", "yarn@4.6.0", "yarn.lock"],
  ] as const)("%s, from its lock file", { timeout: 1_200_000 }, async (name, manager, lock) => {
    const played = await on.build(source(manager, lock));
    builtImage(played);
    expect(played.steps.at(-1)?.message).toMatch(`dependencies by ${name}: `);
    expect(played.log).toMatch(`$ ${name} install`);
    expect(await on.run(played, look)).toMatch(/^6\.0\.0\n1\nroot\n/);
  });
});
