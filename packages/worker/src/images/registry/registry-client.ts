/**
 * The pull half of the distribution API. An image is resolved to digests first; from then on everything is asked for by digest and every byte is
 * checked against it, so that neither a mirror nor a registry can give something else.
 *
 *   resolve   reference → index → manifest of the platform → configuration; nothing is downloaded but JSON
 *   blob      opens a layer from an offset on (a download that was cut goes on where it stopped)
 *
 * Endpoints are tried in turn: a mirror that does not have an image, or fails, is passed over. 429 and 5xx are tried again for a while.
 */
import { createHash } from "node:crypto";
import { jitter, pause } from "../../host/pause.ts";
import { ImageError } from "../image-error.ts";
import { type Authorization, authorize, type CredentialsByRegistry, parseChallenge, unauthorized } from "./authorize.ts";
import { endpointsOf, type RegistryEndpoint, type RegistrySettings } from "./endpoints.ts";
import { readBody, requestRegistry, type RegistryResponse } from "./http-request.ts";
import {
  compressionOf,
  type ImageConfig,
  type LayerDescriptor,
  manifestBytesMax,
  type ManifestContext,
  manifestTypes,
  parseImageConfig,
  parseManifest,
  type Platform,
} from "./manifests.ts";
import { type ImageReference, parseReference } from "./reference.ts";

export interface ResolvedImage {
  reference: ImageReference;
  /** What the tag stands for: of the index when there is one. */
  digest: string;
  config: ImageConfig;
  layers: LayerDescriptor[];
}

export interface RegistryClientOptions {
  settings: RegistrySettings;
  credentials: CredentialsByRegistry;
  platform: Platform;
}

interface Asking {
  reference: ImageReference;
  path: string;
  headers: Record<string, string>;
  signal: AbortSignal;
}

const attemptsMax = 5;
const retryableStatus = (status: number) => status === 408 || status === 429 || status >= 500;

export class RegistryClient {
  private readonly options: RegistryClientOptions;
  private readonly trustedOrigins: ReadonlySet<string>;
  private readonly tokens = new Map<string, Authorization>();

  constructor(options: RegistryClientOptions) {
    this.options = options;
    const { mirrors, registries } = options.settings;
    this.trustedOrigins = new Set([...[...mirrors.values()].flat(), ...registries].map((url) => url.origin));
  }

  async resolve(text: string, signal: AbortSignal): Promise<ResolvedImage> {
    const reference = parseReference(text);
    const context: ManifestContext = { name: reference.canonical, platform: this.options.platform };
    const first = await this.manifest(reference, reference.digest ?? reference.tag ?? "latest", signal);
    let parsed = parseManifest(first.body, context);
    if (parsed.kind === "index") parsed = parseManifest((await this.manifest(reference, parsed.digest, signal)).body, context);
    if (parsed.kind === "index")
      throw new ImageError("registry_answer_invalid", `${context.name} is an index of indexes, which is not followed`);
    const configBody = await this.small(reference, parsed.config, signal);
    const { config, diffIds } = parseImageConfig(configBody, context);
    if (diffIds.length !== parsed.layers.length)
      throw new ImageError(
        "registry_answer_invalid",
        `${context.name} has ${parsed.layers.length} layers and ${diffIds.length} digests of them`,
      );
    const layers = parsed.layers.map(({ mediaType, digest, sizeBytes }, number) => ({
      digest,
      sizeBytes,
      compression: compressionOf(mediaType, context.name),
      diffId: diffIds[number] as string,
    }));
    return { reference, digest: first.digest, config, layers };
  }

  /** The body from `offset` on; a registry that cannot do ranges gives all of it, which `from` tells. */
  async blob(
    reference: ImageReference,
    digest: string,
    { offset, signal }: { offset: number; signal: AbortSignal },
  ): Promise<{ body: AsyncIterable<Buffer>; from: number }> {
    const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
    const response = await this.ask({ reference, path: `blobs/${digest}`, headers, signal });
    if (response.status === 206) return { body: response.body, from: offset };
    if (response.status === 200) return { body: response.body, from: 0 };
    throw refused(response, reference, `blob ${digest}`);
  }

  private async manifest(reference: ImageReference, which: string, signal: AbortSignal): Promise<{ body: Buffer; digest: string }> {
    const response = await this.ask({ reference, path: `manifests/${which}`, headers: { accept: manifestTypes.join(", ") }, signal });
    if (response.status !== 200) throw refused(response, reference, which.startsWith("sha256:") ? `digest ${which}` : `tag ${which}`);
    const body = await readBody(response, manifestBytesMax);
    const digest = `sha256:${createHash("sha256").update(body).digest("hex")}`;
    if (which.startsWith("sha256:") && which !== digest)
      throw new ImageError("digest_mismatch", `The registry ${reference.registry} gave a manifest with the digest ${digest} for ${which}`);
    return { body, digest };
  }

  private async small(reference: ImageReference, wanted: { digest: string; sizeBytes: number }, signal: AbortSignal): Promise<Buffer> {
    const response = await this.ask({ reference, path: `blobs/${wanted.digest}`, headers: {}, signal });
    if (response.status !== 200) throw refused(response, reference, `configuration ${wanted.digest}`);
    const body = await readBody(response, manifestBytesMax);
    const digest = `sha256:${createHash("sha256").update(body).digest("hex")}`;
    if (digest !== wanted.digest)
      throw new ImageError(
        "digest_mismatch",
        `The registry ${reference.registry} gave a configuration with the digest ${digest} for ${wanted.digest}`,
      );
    return body;
  }

  /** The answer of the first endpoint that has one; the last one's when none has. */
  private async ask(asking: Asking): Promise<RegistryResponse> {
    const endpoints = endpointsOf(asking.reference.registry, this.options.settings);
    for (const [number, endpoint] of endpoints.entries()) {
      const isLast = number === endpoints.length - 1;
      try {
        const response = await this.askEndpoint(endpoint, asking);
        if (isLast || response.status === 200 || response.status === 206) return response;
        response.body.destroy();
      } catch (error) {
        if (isLast || asking.signal.aborted || !(error instanceof ImageError)) throw error;
      }
    }
    throw new ImageError("registry_unavailable", `No endpoint is known for ${asking.reference.registry}`);
  }

  private async askEndpoint(endpoint: RegistryEndpoint, asking: Asking): Promise<RegistryResponse> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const response = await this.authorized(endpoint, asking);
        if (attempt === attemptsMax - 1 || !retryableStatus(response.status)) return response;
        response.body.destroy();
      } catch (error) {
        const again = error instanceof ImageError && error.retryable && attempt < attemptsMax - 1;
        if (!again || asking.signal.aborted) throw error;
      }
      await pause(jitter(attempt, { firstMs: 200, maxMs: 5_000 }), asking.signal);
    }
  }

  private async authorized(endpoint: RegistryEndpoint, asking: Asking): Promise<RegistryResponse> {
    const { reference, signal } = asking;
    const key = `${endpoint.url.href} ${reference.repository}`;
    const known = this.tokens.get(key);
    const send = (authorization: Authorization | undefined) =>
      requestRegistry({
        url: new URL(`${endpoint.url.href.replace(/\/$/, "")}/v2/${reference.repository}/${asking.path}`),
        headers: { ...asking.headers, ...(authorization === undefined ? {} : { authorization: authorization.header }) },
        trustedOrigins: this.trustedOrigins,
        signal,
      });
    const valid = known !== undefined && known.untilMs > performance.now() ? known : undefined;
    const first = await send(valid);
    if (first.status !== 401) return first;
    first.body.destroy();
    const challenge = parseChallenge(first.headers["www-authenticate"]);
    if (challenge === undefined) throw unauthorized(reference.registry, reference.repository);
    const credentials = endpoint.isMirror ? undefined : this.options.credentials.get(reference.registry);
    const { registry, repository } = reference;
    const fresh = await authorize({ challenge, credentials, registry, repository, trustedOrigins: this.trustedOrigins, signal });
    this.tokens.set(key, fresh);
    return send(fresh);
  }
}

function refused(response: RegistryResponse, reference: ImageReference, what: string): ImageError {
  response.body.destroy();
  const { status } = response;
  if (status === 401 || status === 403) return unauthorized(reference.registry, reference.repository);
  if (status === 404)
    return new ImageError(
      "image_not_found",
      `The registry ${reference.registry} has no ${what} of ${reference.repository}. Check the name and the tag of ${reference.canonical}`,
    );
  if (retryableStatus(status))
    return new ImageError(
      "registry_unavailable",
      `The registry ${reference.registry} answered ${status} for ${what} of ${reference.repository}`,
    );
  return new ImageError(
    "registry_answer_invalid",
    `The registry ${reference.registry} answered ${status} for ${what} of ${reference.repository}`,
  );
}
