import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../testing/temporary.ts";
import { ImageError } from "../image-error.ts";
import { parseChallenge, parseCredentials } from "./authorize.ts";
import { parseMirrors, parseRegistries } from "./endpoints.ts";
import { LayerStore } from "./layer-store.ts";
import { parseReference } from "./reference.ts";
import { RegistryClient } from "./registry-client.ts";
import { indexType, manifestType, pushImage, sha256, type TestRegistry, testRegistry } from "./registry.fixture.ts";

const root = temporaryDirectory("registry");
const signal = AbortSignal.timeout(60_000);
const layer = randomBytes(100_000);
const where = { repository: "library/thing", tag: "1" };
let registry: TestRegistry;
let count = 0;

beforeEach(async () => {
  registry = await testRegistry();
});
afterEach(() => registry.close());

function value<T>(parsed: { ok: true; value: T } | { ok: false; problem: string }): T {
  if (!parsed.ok) throw new TypeError(parsed.problem);
  return parsed.value;
}

function client(options: { mirrors?: string; registries?: string; auths?: object } = {}): RegistryClient {
  return new RegistryClient({
    settings: {
      mirrors: value(parseMirrors(options.mirrors ?? `docker.io=${registry.url}`)),
      registries: value(parseRegistries(options.registries ?? registry.url)),
    },
    credentials: parseCredentials(JSON.stringify({ auths: options.auths ?? {} })),
    platform: { os: "linux", architecture: "amd64" },
  });
}

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "no refusal",
    (error: unknown) => (error instanceof ImageError ? error.code : String(error)),
  );

describe("references", () => {
  test.each([
    ["debian", "docker.io/library/debian:latest"],
    ["a/b:1.2", "docker.io/a/b:1.2"],
    ["docker.io/node", "docker.io/library/node:latest"],
    ["index.docker.io/a/b", "docker.io/a/b:latest"],
    ["localhost/x", "localhost/x:latest"],
    ["ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"],
    ["127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"],
    [`x@sha256:${"a".repeat(64)}`, `docker.io/library/x@sha256:${"a".repeat(64)}`],
    [`x:1@sha256:${"a".repeat(64)}`, `docker.io/library/x:1@sha256:${"a".repeat(64)}`],
  ])("%s is %s", (text, canonical) => expect(parseReference(text).canonical).toBe(canonical));

  test.each([
    "",
    "UPPER",
    "a//b",
    "x:",
    "x:tag with blanks",
    "x@sha256:abc",
    "http://x/y",
    "-a.io/b",
    `a/${"b".repeat(300)}`,
    "x\0y",
    "../etc",
  ])("%j is refused", (text) => expect(() => parseReference(text)).toThrow(ImageError));
});

describe("resolving", () => {
  test("a tag through a mirror, to digests and the configuration", async () => {
    const manifest = pushImage(registry, where, {
      layer,
      config: { Env: ["PATH=/bin", "A=b=c", "broken"], WorkingDir: "/w", User: "1000:1000" },
    });
    const resolved = await client().resolve("thing:1", signal);
    expect(resolved).toMatchObject({
      digest: sha256(manifest),
      config: { env: { PATH: "/bin", A: "b=c" }, workdir: "/w", user: "1000:1000" },
      layers: [{ digest: sha256(layer), compression: "none" }],
    });
  });

  test("the platform is chosen from an index; a missing one is named", async () => {
    const manifest = pushImage(registry, where, { layer });
    const entry = (architecture: string, digest: string) => ({
      mediaType: manifestType,
      digest,
      size: 1,
      platform: { os: "linux", architecture },
    });
    const index = (entries: object[]) => ({ type: indexType, body: Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: entries })) });
    registry.content.set(
      "library/thing/manifests/both",
      index([entry("arm64", `sha256:${"0".repeat(64)}`), entry("amd64", sha256(manifest))]),
    );
    registry.content.set("library/thing/manifests/other", index([entry("s390x", sha256(manifest))]));
    expect((await client().resolve("thing:both", signal)).layers).toHaveLength(1);
    await expect(client().resolve("thing:other", signal)).rejects.toMatchObject({
      code: "image_platform_missing",
      message: expect.stringMatching(/s390x/),
    });
  });

  test("a mirror that has nothing, or fails, is passed over", async () => {
    pushImage(registry, where, { layer });
    const empty = await testRegistry();
    const mirrors = `docker.io=${empty.url},docker.io=http://127.0.0.1:1,docker.io=${registry.url}`;
    await client({ mirrors }).resolve("thing:1", signal);
    expect(empty.requests.length).toBeGreaterThan(0);
    await empty.close();
  }, 60_000);

  test("a registry whose name is not known is said at once", async () => {
    expect(await codeOf(client({ mirrors: "" }).resolve("registry.invalid/none:1", signal))).toBe("image_not_found");
  });

  test("other bytes than the digest says are refused", async () => {
    const manifest = pushImage(registry, where, { layer });
    registry.content.set(`library/thing/manifests/${sha256(manifest)}`, { type: manifestType, body: Buffer.from("{}") });
    expect(await codeOf(client().resolve(`thing@${sha256(manifest)}`, signal))).toBe("digest_mismatch");
  });

  test("an image that is not there, for another platform, of an unknown kind", async () => {
    pushImage(registry, { ...where, tag: "arm" }, { layer, architecture: "arm64" });
    pushImage(registry, { ...where, tag: "odd" }, { layer, layerType: "application/x-odd" });
    const named = client({ mirrors: "" });
    expect(await codeOf(named.resolve(`${registry.host}/library/thing:none`, signal))).toBe("image_not_found");
    expect(await codeOf(named.resolve(`${registry.host}/library/thing:arm`, signal))).toBe("image_platform_missing");
    expect(await codeOf(named.resolve(`${registry.host}/library/thing:odd`, signal))).toBe("image_unsupported");
  });

  test("answers that make no sense are refused, never a crash", async () => {
    pushImage(registry, where, { layer });
    const key = "library/thing/manifests/1";
    const bodies = fc.oneof(
      fc.jsonValue().map((json) => JSON.stringify(json)),
      fc.string(),
      fc
        .record({ config: fc.jsonValue(), layers: fc.jsonValue(), manifests: fc.option(fc.jsonValue(), { nil: undefined }) })
        .map((json) => JSON.stringify(json)),
    );
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        registry.content.set(key, { type: manifestType, body: Buffer.from(body) });
        const error = await client({ mirrors: "" })
          .resolve(`${registry.host}/library/thing:1`, signal)
          .then(
            () => undefined,
            (cause: unknown) => cause,
          );
        expect(error).toBeInstanceOf(ImageError);
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});

describe("authorization", () => {
  test("a token is fetched once, with the credentials of the registry, which no other host gets", async () => {
    pushImage(registry, where, { layer });
    const tokens = await testRegistry();
    tokens.intercept = (_, response) => Boolean(response.end(JSON.stringify({ token: "t0ken", expires_in: 300 })));
    registry.intercept = (request, response) => {
      if (request.headers.authorization === "Bearer t0ken") return false;
      response.writeHead(401, { "www-authenticate": `Bearer realm="${tokens.url}/token",service="reg",scope="x"` }).end();
      return true;
    };
    const auths = { [registry.host]: { auth: Buffer.from("user:pass").toString("base64") } };
    const one = client({ mirrors: "", registries: `${registry.url},${tokens.url}`, auths });
    await one.resolve(`${registry.host}/library/thing:1`, signal);
    await one.resolve(`${registry.host}/library/thing:1`, signal);
    expect(tokens.requests).toHaveLength(1);
    expect(tokens.requests[0]?.authorization).toBe(`Basic ${Buffer.from("user:pass").toString("base64")}`);
    expect(registry.requests.filter((request) => request.authorization?.startsWith("Basic"))).toEqual([]);
    await tokens.close();
  });

  test("basic, and the error without credentials, which names the secret", async () => {
    pushImage(registry, where, { layer });
    registry.intercept = (request, response) => {
      if (request.headers.authorization === `Basic ${Buffer.from("u:p").toString("base64")}`) return false;
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      return true;
    };
    const reference = `${registry.host}/library/thing:1`;
    await client({ mirrors: "", auths: { [registry.host]: { username: "u", password: "p" } } }).resolve(reference, signal);
    await expect(client({ mirrors: "" }).resolve(reference, signal)).rejects.toMatchObject({
      code: "registry_unauthorized",
      message: expect.stringMatching(/HELMR_REGISTRY_AUTH/),
    });
  });

  test("a redirect to another origin loses the credentials", async () => {
    pushImage(registry, where, { layer });
    const storage = await testRegistry();
    storage.content = registry.content;
    registry.intercept = (request, response) => {
      if (request.headers.authorization === undefined) response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      else if (request.url?.includes("/blobs/")) response.writeHead(307, { location: `${storage.url}${request.url}` }).end();
      else return false;
      return true;
    };
    const auths = { [registry.host]: { username: "u", password: "p" } };
    const one = client({ mirrors: "", registries: `${registry.url},${storage.url}`, auths });
    await one.resolve(`${registry.host}/library/thing:1`, signal);
    expect(storage.requests.length).toBeGreaterThan(0);
    expect(storage.requests.every((request) => request.authorization === undefined)).toBe(true);
    await storage.close();
  });

  test("challenges with quotes and several parameters", () => {
    expect(parseChallenge('Bearer realm="https://a/b?c=d",service="x,y",scope="repository:a:pull"')?.parameters.get("service")).toBe("x,y");
    expect(parseChallenge("Digest x")).toBeUndefined();
  });
});

test("a registry on a private address, or over plain http, is refused unless the operator named it", async () => {
  pushImage(registry, where, { layer });
  for (const host of [registry.host, "127.0.0.1", "169.254.169.254", "10.0.0.1:5000", "localhost", "[::1]:443"])
    expect(await codeOf(client({ mirrors: "", registries: "" }).resolve(`${host}/library/thing:1`, signal))).toBe("registry_refused");
  registry.intercept = (request, response) => {
    if (!request.url?.includes("/blobs/")) return false;
    response.writeHead(307, { location: "http://169.254.169.254/latest/meta-data" }).end();
    return true;
  };
  expect(await codeOf(client({ mirrors: "" }).resolve(`${registry.host}/library/thing:1`, signal))).toBe("registry_refused");
});

describe("layers", () => {
  const reference = parseReference("thing:1");
  const described = { digest: sha256(layer), sizeBytes: layer.length, compression: "none" as const, diffId: sha256(layer) };
  const open = () => LayerStore.open(join(root, `store-${(count += 1)}`), 150_000);

  test("a download that is cut off goes on where it stopped", async () => {
    pushImage(registry, where, { layer });
    let cuts = 2;
    registry.intercept = (request, response) => {
      if (!request.url?.includes("/blobs/") || cuts === 0) return false;
      cuts -= 1;
      const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      response.writeHead(from === 0 ? 200 : 206, { "content-length": layer.length - from });
      response.write(layer.subarray(from, from + 30_000), () => response.destroy());
      return true;
    };
    let bytes = 0;
    const held = await (await open()).acquire(described, { client: client(), reference, signal, onBytes: (more) => (bytes += more) });
    expect(readFileSync(held.path).equals(layer)).toBe(true);
    expect(registry.requests.map((request) => request.range).filter(Boolean).length).toBeGreaterThan(0);
    expect(bytes).toBe(layer.length);
  });

  test("is fetched once for all who want it, and evicted when nobody does", async () => {
    pushImage(registry, where, { layer });
    const store = await open();
    const both = await Promise.all([1, 2].map(() => store.acquire(described, { client: client(), reference, signal })));
    expect(registry.requests).toHaveLength(1);
    const other = randomBytes(100_000);
    pushImage(registry, { ...where, tag: "2" }, { layer: other });
    const second = await store.acquire(
      { ...described, digest: sha256(other), diffId: sha256(other) },
      { client: client(), reference, signal },
    );
    for (const held of both) held.release();
    second.release();
    (await store.acquire(described, { client: client(), reference, signal })).release();
    expect(registry.requests).toHaveLength(3);
  });

  test("other bytes, or more of them, are refused and not kept", async () => {
    pushImage(registry, where, { layer });
    const store = await open();
    for (const body of [randomBytes(layer.length), Buffer.concat([layer, layer])]) {
      registry.content.set(`library/thing/blobs/${sha256(layer)}`, { type: "x", body });
      expect(await codeOf(store.acquire(described, { client: client(), reference, signal }))).toBe("digest_mismatch");
    }
    pushImage(registry, where, { layer });
    await store.acquire(described, { client: client(), reference, signal });
  });
});
