/**
 * The publishable `@helmr/sdk`: our sources import each other as TypeScript, a user's project gets this. Two entries as bundles without
 * any dependency, their declarations, and a package.json of their own. The server hands it out under /npm/.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { helmrVersion } from "@helmr/protocol/shared";
import * as esbuild from "esbuild";
import { DefinitionError } from "../errors.ts";
import { emitDeclarations } from "./declarations.ts";
import { type PackageFiles, npmTarball } from "./npm-tarball.ts";

export interface PackedSdk {
  tarball: Uint8Array;
  /** `sha512-…`, as in a packument. */
  integrity: string;
  /** Hex SHA-1, which old clients still ask for. */
  shasum: string;
  packageJson: Readonly<Record<string, unknown>>;
}

const entries = ["index", "runtime"] as const;
const packageRoot = fileURLToPath(new URL("../..", import.meta.url));
const sourcePath = (file: string): string => fileURLToPath(new URL(`../${file}`, import.meta.url));

export async function packSdk(): Promise<PackedSdk> {
  const tarball = npmTarball(await sdkPackageFiles());
  return {
    tarball,
    integrity: `sha512-${createHash("sha512").update(tarball).digest("base64")}`,
    shasum: createHash("sha1").update(tarball).digest("hex"),
    packageJson,
  };
}

export const packageJson: Readonly<Record<string, unknown>> = Object.freeze({
  name: "@helmr/sdk",
  version: helmrVersion,
  description: "Declare Helmr tasks, and start and follow their sessions",
  license: "Apache-2.0",
  type: "module",
  sideEffects: false,
  engines: { node: ">=20.19" },
  exports: {
    ".": { types: "./dist/index.d.ts", default: "./dist/index.js" },
    "./runtime": { types: "./dist/runtime.d.ts", default: "./dist/runtime.js" },
    "./package.json": "./package.json",
  },
  files: ["dist"],
});

/** Everything in the package by its path there. */
export async function sdkPackageFiles(): Promise<PackageFiles> {
  const encoder = new TextEncoder();
  const [bundles, declarations, license, readme] = await Promise.all([
    bundle(),
    emitDeclarations(entries),
    readFile(new URL("../../../../LICENSE", import.meta.url)),
    readFile(new URL("../../README.md", import.meta.url)),
  ]);
  return new Map<string, Uint8Array>([
    ...bundles,
    ...Array.from(declarations, ([path, text]) => [`dist/${path}`, encoder.encode(text)] as const),
    ["LICENSE", license],
    ["README.md", readme],
    ["package.json", encoder.encode(`${JSON.stringify(packageJson, null, 2)}\n`)],
  ]);
}

async function bundle(): Promise<Map<string, Uint8Array>> {
  const result = await esbuild.build({
    // Paths appear as comments in the output: they must not depend on where this runs.
    absWorkingDir: packageRoot,
    entryPoints: Object.fromEntries(entries.map((entry) => [entry, sourcePath(`${entry}.ts`)])),
    outdir: "dist",
    write: false,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "neutral",
    target: ["es2022"],
    chunkNames: "shared-[hash]",
    metafile: true,
    logLevel: "silent",
  });
  const used = Object.values(result.metafile.outputs).flatMap((output) => Object.keys(output.inputs));
  const foreign = used.find((path) => !path.startsWith("src/") && !path.startsWith("../protocol/src/"));
  if (foreign !== undefined) throw new DefinitionError(`The SDK must have no dependency at run time, and its bundle holds ${foreign}`);
  return new Map(result.outputFiles.map((file) => [`dist/${file.path.slice(file.path.lastIndexOf("/") + 1)}`, file.contents]));
}
