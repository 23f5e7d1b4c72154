/** Reads a package from the npm registry that is configured where this runs. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { promisify } from "node:util";

const run = promisify(execFile);
const metadataBytesMax = 64 * 1024 * 1024;
const tarballBytesMax = 128 * 1024 * 1024;

export interface PackageTarball {
  name: string;
  version: string;
  integrity: string;
  bytes: Buffer;
}

interface Manifest {
  version: string;
  dist: { tarball: string; integrity?: string; shasum?: string };
}

interface Packument {
  "dist-tags": Record<string, string>;
  versions: Record<string, Manifest>;
}

/** The environment wins over npm's files, as it does for npm itself; asking npm costs a process and knows the default. */
export async function registryUrl(signal: AbortSignal): Promise<URL> {
  const fromEnvironment = process.env["npm_config_registry"] ?? process.env["NPM_CONFIG_REGISTRY"];
  const text = fromEnvironment ?? (await run("npm", ["config", "get", "registry"], { signal })).stdout;
  const url = new URL(text.trim());
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

/** `version` is a version or a tag; the newest when it is absent. */
export async function fetchPackage(wanted: { name: string; version?: string | undefined }, signal: AbortSignal): Promise<PackageTarball> {
  const { name } = wanted;
  const registry = await registryUrl(signal);
  const packument = await fetchPackument(new URL(name.replace("/", "%2f"), registry), signal);
  const tag = wanted.version ?? "latest";
  const version = packument["dist-tags"][tag] ?? tag;
  const manifest = packument.versions[version];
  if (manifest === undefined)
    throw new Error(`${name} has no version ${JSON.stringify(tag)}; its newest is ${packument["dist-tags"]["latest"]}`);
  const bytes = await fetchTarball(new URL(manifest.dist.tarball), registry, signal);
  return { name, version, integrity: verify(bytes, manifest.dist, `${name}@${version}`), bytes };
}

async function fetchPackument(url: URL, signal: AbortSignal): Promise<Packument> {
  const response = await fetch(url, { headers: { accept: "application/vnd.npm.install-v1+json" }, signal });
  if (response.status === 404) throw new Error(`The registry has no package at ${url.pathname}`);
  if (!response.ok) throw new Error(`The registry answered ${response.status} for ${url.pathname}`);
  return JSON.parse((await readLimited(response, metadataBytesMax)).toString("utf8")) as Packument;
}

/** A mirror passes on the addresses of the registry behind it: its own copy comes first, as npm does it. */
async function fetchTarball(tarball: URL, registry: URL, signal: AbortSignal): Promise<Buffer> {
  const mirrored = new URL(`.${tarball.pathname}`, registry);
  const candidates = mirrored.href === tarball.href ? [tarball] : [mirrored, tarball];
  let status = 0;
  for (const url of candidates) {
    const response = await fetch(url, { signal });
    if (response.ok) return await readLimited(response, tarballBytesMax);
    status = response.status;
    await response.body?.cancel();
  }
  throw new Error(`The registry answered ${status} for ${tarball.pathname}`);
}

async function readLimited(response: Response, bytesMax: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Error(`${response.url} is larger than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Gives the integrity that was checked. */
function verify(bytes: Buffer, { integrity, shasum }: Manifest["dist"], what: string): string {
  const expected = integrity?.split(" ").find((entry) => entry.startsWith("sha512-"));
  const [algorithm, wanted] =
    expected === undefined ? (["sha1", shasum] as const) : (["sha512", expected.slice("sha512-".length)] as const);
  const actual = createHash(algorithm)
    .update(bytes)
    .digest(algorithm === "sha512" ? "base64" : "hex");
  if (actual !== wanted)
    throw new Error(`The tarball of ${what} is not what the registry announced: ${algorithm} is ${actual}, expected ${wanted}`);
  return `${algorithm}-${actual}`;
}
