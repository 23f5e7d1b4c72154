/**
 * The npm registry protocol, read-only, for the packages this server brings (`@helmr/sdk` is in no public registry): `GET /npm/<name>` is the packument,
 * `GET /npm/<name>/-/<file>.tgz` the tarball. A directory of `npm pack` tarballs is read at start. Tarball URLs name the host the packument was asked
 * from, because a guest, a laptop and a build reach the server under different names.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gunzipSync } from "node:zlib";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { extract } from "tar-stream";
import { sendJson } from "./errors.ts";

const prefix = "/npm/";
const unpackedBytesMax = 256 * 1024 * 1024;

interface PackedVersion {
  file: string;
  tarball: Buffer;
  manifest: { name: string; version: string } & Record<string, unknown>;
  integrity: string;
  shasum: string;
}

export class PackageError extends Error {
  override name = "PackageError";
}

export async function addPackageRoutes(app: FastifyInstance, directory: string): Promise<void> {
  const packages = directory === "" ? new Map<string, PackedVersion[]>() : await readPackages(directory);
  app.route({ method: ["GET", "HEAD"], url: `${prefix}*`, handler: (request, reply) => serve(packages, request, reply) });
}

function serve(packages: ReadonlyMap<string, PackedVersion[]>, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  // npm writes a scoped name as @scope%2fname; the router has decoded it already.
  const path = (request.params as { "*": string })["*"];
  if (path === "-/ping") return sendJson(reply, 200, {});
  const match = /^((?:@[a-z0-9._-]+\/)?[a-z0-9._-]+)(?:\/-\/([a-z0-9._-]+\.tgz))?$/i.exec(path);
  const versions = match && packages.get(match[1] as string);
  if (!versions) return sendJson(reply, 404, { error: "Not found" });
  const file = match[2];
  if (file === undefined) return sendJson(reply, 200, packument(versions, `${request.protocol}://${request.host}${prefix}`));
  const version = versions.find((item) => item.file === file);
  if (!version) return sendJson(reply, 404, { error: "Not found" });
  return reply.header("cache-control", "public, max-age=31536000, immutable").type("application/octet-stream").send(version.tarball);
}

function packument(versions: readonly PackedVersion[], base: string): object {
  const latest = versions.at(-1) as PackedVersion;
  const { name } = latest.manifest;
  return {
    name,
    "dist-tags": { latest: latest.manifest.version },
    versions: Object.fromEntries(
      versions.map(({ file, manifest, integrity, shasum }) => [
        manifest.version,
        { ...manifest, _id: `${name}@${manifest.version}`, dist: { tarball: `${base}${name}/-/${file}`, integrity, shasum } },
      ]),
    ),
  };
}

async function readPackages(directory: string): Promise<Map<string, PackedVersion[]>> {
  const packages = new Map<string, PackedVersion[]>();
  const names = (await readdir(directory)).filter((name) => name.endsWith(".tgz")).sort();
  for (const name of names) {
    const tarball = await readFile(join(directory, name));
    const manifest = await readManifest(tarball, name);
    const unscoped = manifest.name.replace(/^@[^/]+\//, "");
    const version: PackedVersion = {
      file: `${unscoped}-${manifest.version}.tgz`,
      tarball,
      manifest,
      integrity: `sha512-${createHash("sha512").update(tarball).digest("base64")}`,
      shasum: createHash("sha1").update(tarball).digest("hex"),
    };
    packages.set(manifest.name, [...(packages.get(manifest.name) ?? []), version].sort(byVersion));
  }
  return packages;
}

function byVersion(left: PackedVersion, right: PackedVersion): number {
  return left.manifest.version.localeCompare(right.manifest.version, "en", { numeric: true });
}

async function readManifest(tarball: Buffer, file: string): Promise<PackedVersion["manifest"]> {
  const archive = extract();
  Readable.from([gunzipSync(tarball, { maxOutputLength: unpackedBytesMax })]).pipe(archive);
  for await (const entry of archive) {
    if (entry.header.name !== "package/package.json") {
      entry.resume();
      continue;
    }
    const parts: Buffer[] = [];
    for await (const part of entry as AsyncIterable<Buffer>) parts.push(part);
    const manifest = JSON.parse(Buffer.concat(parts).toString()) as Record<string, unknown>;
    const { name, version } = manifest;
    if (typeof name === "string" && typeof version === "string") return { ...manifest, name, version };
  }
  throw new PackageError(`${file} is no npm package: make it with npm pack`);
}
