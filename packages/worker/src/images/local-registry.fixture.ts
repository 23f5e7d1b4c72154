/**
 * Debian's docker-registry on a port of its own, and images made here for it: a Debian + Node image out of the built-in base image, pushed by skopeo
 * under the name a user would write. Needs the packages docker-registry, skopeo and umoci.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import { until } from "@helmr/test/services";

export interface LocalRegistry {
  url: string;
  /** Copies an image of an OCI layout into the registry. */
  push(layout: string, tag: string, name: string): void;
  close(): Promise<void>;
}

/** A password of the user `puller`, and its line for htpasswd (bcrypt is all that the registry knows). */
export const registryPassword = "hunter2-of-the-registry";
const registryUser = "puller:$2y$05$abcdefghijklmnopqrstuuJQ0OEfoQ1jvzDwPykoQtl7vEtSYYygy\n";

/** Over the same directory there may be a second one, that lets nobody but `puller` in. */
export async function localRegistry(directory: string, options: { auth?: "basic" } = {}): Promise<LocalRegistry> {
  await mkdir(directory, { recursive: true });
  const port = await freePort();
  const config = join(directory, `registry-${port}.yml`);
  const passwords = join(directory, "htpasswd");
  await writeFile(passwords, registryUser);
  const auth = options.auth === undefined ? "" : `auth: {htpasswd: {realm: helmr-test, path: ${JSON.stringify(passwords)}}}\n`;
  await writeFile(
    config,
    `${auth}version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${JSON.stringify(join(directory, "registry"))}}}\nhttp: {addr: "127.0.0.1:${port}"}\n`,
  );
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  const url = `http://127.0.0.1:${port}`;
  await until(
    "the registry",
    () =>
      fetch(`${url}/v2/`).then(
        (answer) => answer.ok || answer.status === 401,
        () => false,
      ),
    20_000,
  );
  return {
    url,
    push: (layout, tag, name) => {
      const target = `docker://127.0.0.1:${port}/${name}`;
      execFileSync("skopeo", ["copy", "--quiet", "--dest-tls-verify=false", `oci:${layout}:${tag}`, target], { stdio: "pipe" });
    },
    close: () => stop(child),
  };
}

function stop(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null) return resolve();
    child.once("exit", () => resolve());
    child.kill("SIGKILL");
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

export interface LayoutImage {
  tag: string;
  /** Tars, the lowest first; compressed when their image is made. */
  layers: readonly string[];
  /** Default zstd. */
  compression?: "gzip" | "zstd";
  config?: { Env?: string[]; WorkingDir?: string; User?: string };
}

/** An OCI layout with these images. */
export async function writeLayout(layout: string, images: readonly LayoutImage[]): Promise<void> {
  const blobs = join(layout, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  const manifests = [];
  for (const { tag, layers, config, compression = "zstd" } of images) {
    const packed = [];
    const diffIds = [];
    for (const layer of layers) {
      diffIds.push(await digestOf(layer));
      const compressed = join(layout, "layer.partial");
      const packer =
        compression === "gzip" ? createGzip({ level: 1 }) : createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } });
      await pipeline(createReadStream(layer, { highWaterMark: 1 << 20 }), packer, createWriteStream(compressed));
      packed.push({ mediaType: `application/vnd.oci.image.layer.v1.tar+${compression}`, ...(await place(blobs, compressed)) });
    }
    const described = await placeJson(blobs, {
      architecture: "amd64",
      os: "linux",
      config: config ?? {},
      rootfs: { type: "layers", diff_ids: diffIds },
    });
    const manifest = await placeJson(blobs, {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...described },
      layers: packed,
    });
    manifests.push({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      ...manifest,
      annotations: { "org.opencontainers.image.ref.name": tag },
    });
  }
  await writeFile(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
}

/** Tar of the built-in base image's tree, made once for all tests of this checkout. */
export async function baseTar(image: string, cache: string): Promise<string> {
  const target = join(cache, `base-${createHash("sha256").update(image).digest("hex").slice(0, 16)}.tar`);
  if (await stat(target).catch(() => undefined)) return target;
  const tree = `${target}.tree`;
  await rm(tree, { recursive: true, force: true });
  await mkdir(tree, { recursive: true });
  execFileSync("debugfs", ["-R", `rdump / ${tree}`, image], { stdio: "pipe" });
  execFileSync("tar", ["-C", tree, "--numeric-owner", "--sort=name", "--mtime=@1", "-cf", `${target}.partial`, "."]);
  await rm(tree, { recursive: true, force: true });
  await rename(`${target}.partial`, target);
  return target;
}

async function place(blobs: string, file: string): Promise<{ digest: string; size: number }> {
  const digest = await digestOf(file);
  const { size } = await stat(file);
  await rename(file, join(blobs, digest.slice(7)));
  return { digest, size };
}

async function placeJson(blobs: string, value: unknown): Promise<{ digest: string; size: number }> {
  const text = JSON.stringify(value);
  const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
  await writeFile(join(blobs, digest.slice(7)), text);
  return { digest, size: Buffer.byteLength(text) };
}

async function digestOf(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size < 1 << 20)
    return `sha256:${createHash("sha256")
      .update(await readFile(path))
      .digest("hex")}`;
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return `sha256:${hash.digest("hex")}`;
}
