/** A registry for tests, over real HTTP: what a real one answers, and whatever a test makes of it. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const sha256 = (data: Buffer | string) => `sha256:${createHash("sha256").update(data).digest("hex")}`;
export const manifestType = "application/vnd.oci.image.manifest.v1+json";
export const indexType = "application/vnd.oci.image.index.v1+json";

export interface TestRegistry {
  url: string;
  host: string;
  requests: { path: string; authorization: string | undefined; range: string | undefined }[];
  /** By path below `/v2/`. */
  content: Map<string, { type: string; body: Buffer }>;
  /** Answers a request itself when it returns true. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean;
  close(): Promise<void>;
}

export async function testRegistry(): Promise<TestRegistry> {
  const server = createServer((request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    const { authorization, range } = request.headers;
    registry.requests.push({ path, authorization, range });
    if (registry.intercept(request, response)) return;
    const found = registry.content.get(path.replace(/^\/v2\//, ""));
    if (found === undefined) response.writeHead(404).end();
    else if (range === undefined) response.writeHead(200, { "content-type": found.type }).end(found.body);
    else response.writeHead(206).end(found.body.subarray(Number(/^bytes=(\d+)-/.exec(range)?.[1])));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const registry: TestRegistry = {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    requests: [],
    content: new Map(),
    intercept: () => false,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return registry;
}

export interface PushedImage {
  manifest: Buffer;
  layer: Buffer;
}

/** One image with one layer under `repository:tag`; returns its manifest. */
export function pushImage(
  registry: TestRegistry,
  where: { repository: string; tag: string },
  image: { layer: Buffer; diffId?: string; config?: object; layerType?: string; architecture?: string },
): Buffer {
  const config = Buffer.from(
    JSON.stringify({
      architecture: image.architecture ?? "amd64",
      os: "linux",
      config: image.config ?? {},
      rootfs: { type: "layers", diff_ids: [image.diffId ?? sha256(image.layer)] },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256(config), size: config.length },
      layers: [
        { mediaType: image.layerType ?? "application/vnd.oci.image.layer.v1.tar", digest: sha256(image.layer), size: image.layer.length },
      ],
    }),
  );
  const { repository, tag } = where;
  registry.content.set(`${repository}/blobs/${sha256(config)}`, { type: "application/json", body: config });
  registry.content.set(`${repository}/blobs/${sha256(image.layer)}`, { type: "application/octet-stream", body: image.layer });
  for (const reference of [tag, sha256(manifest)])
    registry.content.set(`${repository}/manifests/${reference}`, { type: manifestType, body: manifest });
  return manifest;
}
