/** Manifests, indexes and configurations of images (OCI and Docker's own), as untrusted JSON: what is used is checked, the rest is ignored. */
import * as z from "zod";
import { ImageError } from "../image-error.ts";
import { digestPattern } from "./reference.ts";

export const manifestTypes = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
] as const;
export const manifestBytesMax = 4 * 1024 * 1024;
const layersMax = 256;
const indexEntriesMax = 1000;

const size = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const descriptor = z.object({ mediaType: z.string().max(256), digest: z.string().regex(digestPattern), size });

const index = z.object({
  manifests: z
    .array(
      descriptor.extend({
        platform: z.object({ os: z.string().max(64), architecture: z.string().max(64), variant: z.string().max(64).optional() }).optional(),
      }),
    )
    .max(indexEntriesMax),
});

const manifest = z.object({ config: descriptor, layers: z.array(descriptor).max(layersMax) });

const texts = z.array(z.string().max(131_072)).max(10_000);
const config = z.object({
  architecture: z.string().max(64).optional(),
  os: z.string().max(64).optional(),
  config: z.object({ Env: texts.nullish(), WorkingDir: z.string().max(4096).nullish(), User: z.string().max(256).nullish() }).nullish(),
  rootfs: z.object({ diff_ids: z.array(z.string().regex(digestPattern)).max(layersMax) }),
});

export type LayerCompression = "none" | "gzip" | "zstd";

export interface LayerDescriptor {
  digest: string;
  sizeBytes: number;
  compression: LayerCompression;
  /** Of the uncompressed tar. */
  diffId: string;
}

export interface ImageConfig {
  env: Record<string, string>;
  workdir: string;
  user: string;
}

export interface Platform {
  os: "linux";
  architecture: "amd64" | "arm64";
}

export type ParsedManifest =
  | { kind: "index"; digest: string }
  | { kind: "manifest"; config: { digest: string; sizeBytes: number }; layers: { mediaType: string; digest: string; sizeBytes: number }[] };

export interface ManifestContext {
  /** For messages. */
  name: string;
  platform: Platform;
}

export function parseManifest(body: Buffer, context: ManifestContext): ParsedManifest {
  const json = parseJson(body, context.name);
  if (typeof json === "object" && json !== null && "manifests" in json) return { kind: "index", digest: chosen(json, context) };
  if (typeof json === "object" && json !== null && "fsLayers" in json)
    throw new ImageError(
      "image_unsupported",
      `${context.name} is an image of Docker's first schema; push it again with a client of this decade`,
    );
  const parsed = checked(manifest, json, context.name);
  const layers = parsed.layers.map((layer) => ({ mediaType: layer.mediaType, digest: layer.digest, sizeBytes: layer.size }));
  return { kind: "manifest", config: { digest: parsed.config.digest, sizeBytes: parsed.config.size }, layers };
}

function chosen(json: object, { name, platform }: ManifestContext): string {
  const { manifests } = checked(index, json, name);
  const fitting = manifests.filter((entry) => entry.platform?.os === platform.os && entry.platform.architecture === platform.architecture);
  // arm64 is written with and without its only variant.
  const found = fitting.find((entry) => entry.platform?.variant === undefined || entry.platform.variant === "v8") ?? fitting[0];
  if (found !== undefined) return found.digest;
  const present = manifests.flatMap((entry) =>
    entry.platform === undefined ? [] : [`${entry.platform.os}/${entry.platform.architecture}`],
  );
  throw new ImageError(
    "image_platform_missing",
    `${name} has no image for ${platform.os}/${platform.architecture}; it has ${[...new Set(present)].join(", ") || "none with a platform"}`,
  );
}

export function parseImageConfig(body: Buffer, context: ManifestContext): { config: ImageConfig; diffIds: string[] } {
  const parsed = checked(config, parseJson(body, context.name), context.name);
  const { architecture, os } = parsed;
  const { platform } = context;
  if ((os !== undefined && os !== platform.os) || (architecture !== undefined && architecture !== platform.architecture))
    throw new ImageError(
      "image_platform_missing",
      `${context.name} is an image for ${os}/${architecture}, not for ${platform.os}/${platform.architecture}`,
    );
  const env: Record<string, string> = {};
  for (const line of parsed.config?.Env ?? []) {
    const equals = line.indexOf("=");
    if (equals > 0 && !line.includes("\0")) env[line.slice(0, equals)] = line.slice(equals + 1);
  }
  return {
    config: { env, workdir: parsed.config?.WorkingDir ?? "", user: parsed.config?.User ?? "" },
    diffIds: parsed.rootfs.diff_ids,
  };
}

export function compressionOf(mediaType: string, name: string): LayerCompression {
  if (
    /^application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar|docker\.image\.rootfs\.(foreign\.)?diff\.tar)(\+gzip|\.gzip)$/.test(
      mediaType,
    )
  )
    return "gzip";
  if (/^application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar|docker\.image\.rootfs\.diff\.tar)\+zstd$/.test(mediaType))
    return "zstd";
  if (/^application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1|docker\.image\.rootfs\.diff)\.tar$/.test(mediaType)) return "none";
  throw new ImageError(
    "image_unsupported",
    `${name} has a layer of the unknown type ${JSON.stringify(mediaType.slice(0, 200))}; tar, gzip and zstd are known`,
  );
}

function parseJson(body: Buffer, name: string): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw new ImageError("registry_answer_invalid", `The registry's description of ${name} is no JSON`, { cause });
  }
}

function checked<T extends z.ZodType>(schema: T, json: unknown, name: string): z.output<T> {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ImageError(
    "registry_answer_invalid",
    `The registry's description of ${name} cannot be used: ${issue?.path.join(".") ?? ""}: ${(issue?.message ?? "").slice(0, 300)}`,
  );
}
