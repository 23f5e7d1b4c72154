/**
 * The guest's files for the substrate (images/substrate.ts puts them into /opt/helmr/lib). `node packages/guest/build.ts DIRECTORY` writes them.
 *
 *   supervisor.js   trusted half, Node of the substrate
 *   program.mjs     runs a task, in the image's Node (20 or newer)
 *   build.mjs       trusted half of a deployment build, loaded by the supervisor
 *   builder.mjs     compiles a project and loads its modules, in the image's Node
 *   sdk/            the package @helmr/sdk, for packages of a project that import it
 *   sdk-modules/    the same as source modules, of which a compiled task contains only what it uses
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { packageJson } from "@helmr/sdk/pack";
import { build, type BuildOptions } from "esbuild";

export interface GuestFile {
  /** Relative to /opt/helmr/lib. */
  name: string;
  data: Uint8Array;
}

const source = (path: string) => fileURLToPath(new URL(`src/${path}`, import.meta.url));

const requireBanner =
  'import { createRequire } from "node:module"; const require = createRequire(import.meta.url); const __filename = import.meta.filename, __dirname = import.meta.dirname;';

const entries: { name: string; entry: string; options: BuildOptions }[] = [
  { name: "supervisor.js", entry: source("supervisor/main.ts"), options: { target: "node24" } },
  // What is parsed at every start of a task is kept short.
  { name: "build.mjs", entry: source("build/main.ts"), options: { target: "node24" } },
  // esbuild's own library is CommonJS.
  { name: "builder.mjs", entry: source("build/builder.ts"), options: { target: "node20", banner: { js: requireBanner } } },
  { name: "program.mjs", entry: source("program/main.ts"), options: { target: "node20", minifySyntax: true, minifyWhitespace: true } },
];

export async function bundleGuest(): Promise<GuestFile[]> {
  return [...(await guestBundles()), ...(await sdkFiles()), ...(await sdkModules())];
}

/** The package as its users know it, without the declarations that nothing in a guest reads. */
export async function sdkFiles(): Promise<GuestFile[]> {
  const result = await build({
    entryPoints: {
      index: fileURLToPath(import.meta.resolve("@helmr/sdk")),
      runtime: fileURLToPath(import.meta.resolve("@helmr/sdk/runtime")),
    },
    outdir: "/",
    chunkNames: "shared-[hash]",
    bundle: true,
    splitting: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node20",
    legalComments: "none",
    logLevel: "silent",
  });
  const modules = result.outputFiles.map(({ path, contents }) => ({ name: `sdk/dist${path}`, data: contents }));
  return [...modules, { name: "sdk/package.json", data: Buffer.from(`${JSON.stringify(packageJson, null, 2)}\n`) }];
}

/**
 * A bundle of the SDK is all or nothing to the compiler of a project, because it cannot know what its statements do; of modules that are marked
 * as free of side effects it takes those that are needed. A start parses 12 kB for a simple task instead of 105.
 */
export async function sdkModules(): Promise<GuestFile[]> {
  const entry = fileURLToPath(import.meta.resolve("@helmr/sdk"));
  const options = {
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node20",
    legalComments: "none",
    logLevel: "silent",
  } as const;
  const whole = await build({ ...options, entryPoints: [entry], absWorkingDir: dirname(entry), metafile: true, outdir: "/" });
  const own = Object.keys(whole.metafile.inputs).filter((path) => !path.startsWith(".."));
  // Each module an entry: what is in one file and what is shared then follows the modules.
  const modules = await build({
    ...options,
    entryPoints: own,
    absWorkingDir: dirname(entry),
    outbase: ".",
    outdir: "/",
    chunkNames: "parts/[hash]",
    splitting: true,
  });
  return [
    ...modules.outputFiles.map(({ path, contents }) => ({ name: `sdk-modules${path}`, data: contents })),
    { name: "sdk-modules/package.json", data: Buffer.from(`${JSON.stringify({ type: "module", sideEffects: false })}\n`) },
  ];
}

export function guestBundles(): Promise<GuestFile[]> {
  return Promise.all(
    entries.map(async ({ name, entry, options }) => {
      const result = await build({
        entryPoints: [entry],
        bundle: true,
        write: false,
        platform: "node",
        format: "esm",
        legalComments: "none",
        logLevel: "silent",
        ...options,
      });
      return { name, data: result.outputFiles?.[0]?.contents ?? new Uint8Array() };
    }),
  );
}

if (import.meta.main) {
  const directory = process.argv[2];
  if (directory === undefined) {
    process.stderr.write("Usage: node packages/guest/build.ts DIRECTORY\n");
    process.exit(2);
  }
  for (const file of await bundleGuest()) {
    const path = join(directory, file.name);
    await mkdir(join(path, ".."), { recursive: true });
    await writeFile(path, file.data);
    process.stdout.write(`${file.name} ${file.data.length}\n`);
  }
}
