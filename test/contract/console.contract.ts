/** What stands beside the API (http §1.1): the web console as static files, and the packages of /npm/. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { type ControlPlane, controlPlane, tarOf } from "@helmr/test/platform";
import { type TestDatabase, testDatabase } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

let database: TestDatabase;
let plane: ControlPlane;
let directory: string;
let tarball: Buffer;
const script = `export const x = ${JSON.stringify("y".repeat(5_000))};`;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "helmr-console-"));
  const consoleDirectory = join(directory, "console");
  const packagesDirectory = join(directory, "packages");
  await mkdir(join(consoleDirectory, "assets"), { recursive: true });
  await mkdir(packagesDirectory);
  await writeFile(join(consoleDirectory, "index.html"), "<!doctype html><title>Helmr</title>");
  await writeFile(join(consoleDirectory, "assets", "app-1234.js"), script);
  await writeFile(join(consoleDirectory, "favicon.svg"), "<svg/>");
  await writeFile(join(directory, "secret.txt"), "outside");
  tarball = gzipSync(
    await tarOf({
      "package/package.json": JSON.stringify({ name: "@helmr/sdk", version: "0.1.0", type: "module" }),
      "package/index.js": "",
    }),
  );
  await writeFile(join(packagesDirectory, "helmr-sdk-0.1.0.tgz"), tarball);
  database = await testDatabase();
  plane = await controlPlane({
    databaseUrl: database.url,
    migrated: true,
    dispatcher: false,
    config: { consoleDirectory, packagesDirectory },
  });
});
afterAll(async () => {
  await plane.close();
  await database.drop();
  await rm(directory, { recursive: true, force: true });
});

const get = (path: string, headers: Record<string, string> = {}) => fetch(`${plane.url}${path}`, { headers });

describe("the console", () => {
  test.each(["/", "/runs/1", "/auth/device?code=X", "/anything/else", "/index.html"])("%s is the page", async (path) => {
    const answer = await get(path);
    expect([answer.status, answer.headers.get("content-type"), answer.headers.get("cache-control")]).toEqual([
      200,
      "text/html; charset=utf-8",
      "no-cache",
    ]);
    expect(answer.headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
    expect(await answer.text()).toContain("<title>Helmr</title>");
  });

  test("assets never change, are compressed, and are 404 when they are missing", async () => {
    const answer = await get("/assets/app-1234.js", { "accept-encoding": "gzip" });
    expect([answer.status, answer.headers.get("cache-control"), answer.headers.get("content-encoding")]).toEqual([
      200,
      "public, max-age=31536000, immutable",
      "gzip",
    ]);
    expect(await answer.text()).toBe(script);
    const again = await get("/assets/app-1234.js", { "if-none-match": answer.headers.get("etag") ?? "" });
    expect(again.status).toBe(304);
    expect((await get("/assets/missing.js")).status).toBe(404);
    expect((await get("/favicon.svg")).headers.get("content-type")).toBe("image/svg+xml");
  });

  test.each([
    "/../secret.txt",
    "/%2e%2e/secret.txt",
    "/assets/../../secret.txt",
    "/assets/%2e%2e%2f%2e%2e%2fsecret.txt",
    "/%ff",
    "/assets/%00",
  ])("%s leads nowhere", async (path) => {
    const answer = await plane.api.call("GET", path);
    expect(answer.text).not.toContain("outside");
    expect([200, 400, 404]).toContain(answer.status);
  });

  test("other methods are no page", async () => {
    expect((await plane.api.call("POST", "/runs", { body: {} })).status).toBe(404);
    const head = await fetch(`${plane.url}/`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });
});

describe("/npm/", () => {
  test.each(["/npm/@helmr%2fsdk", "/npm/@helmr/sdk"])("%s is the packument", async (path) => {
    const answer = await get(path);
    expect(answer.status).toBe(200);
    const packument = (await answer.json()) as {
      versions: Record<string, { dist: { tarball: string; integrity: string; shasum: string } }>;
    };
    expect(packument).toMatchObject({ name: "@helmr/sdk", "dist-tags": { latest: "0.1.0" }, versions: { "0.1.0": { type: "module" } } });
    const { dist } = packument.versions["0.1.0"]!;
    expect(dist.tarball).toBe(`${plane.url}/npm/@helmr/sdk/-/sdk-0.1.0.tgz`);
    const bytes = Buffer.from(await (await fetch(dist.tarball)).arrayBuffer());
    expect(bytes).toEqual(tarball);
    expect(dist.integrity).toBe(`sha512-${createHash("sha512").update(bytes).digest("base64")}`);
    expect(gunzipSync(bytes).length).toBeGreaterThan(0);
  });

  test.each(["/npm/other", "/npm/@helmr/sdk/-/sdk-9.9.9.tgz", "/npm/@helmr/../x", "/npm/"])("%s is 404", async (path) => {
    expect((await get(path)).status).toBe(404);
  });

  test("nothing can be published", async () => {
    expect([404, 405]).toContain((await plane.api.call("PUT", "/npm/@helmr%2fsdk", { body: {} })).status);
  });
});
