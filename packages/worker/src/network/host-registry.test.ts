import { X509Certificate } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findExtraCertificates } from "./host-certificates.ts";
import { findHostSettings, readNpmSettings } from "./host-registry.ts";
import type { NpmSettings } from "./host-registry.ts";
import { fixedFacts } from "./testing/fixed-facts.ts";

/** Made for this test by openssl; nobody has its key. */
const companyCertificate = `-----BEGIN CERTIFICATE-----
MIIBizCCATGgAwIBAgIUZ7IF4bO/SpZEStqybmix78mOD0UwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPRXhhbXBsZSBjb21wYW55MCAXDTI2MTEyMDIxNTk1NFoYDzIx
MjYxMDI3MjE1OTU0WjAaMRgwFgYDVQQDDA9FeGFtcGxlIGNvbXBhbnkwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAATB5+xht8XpjP5qDurKw6o80d0akmSp+pqZz9xA
dFH3uM9+R4NoI4SOTawtYTV1lnNvvQNwBHovt+LZxP9V29k2o1MwUTAdBgNVHQ4E
FgQUQALN61YQiEQvXq2P6fDtAvNSG2AwHwYDVR0jBBgwFoAUQALN61YQiEQvXq2P
6fDtAvNSG2AwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiAe5ao8
0opGxByb39lGwTj3o0ribJ/rXHCklp6jIJepXwIhAKiDK9JMdiUA6vTPWaSRlK2g
n/hI91AVhzXNp5F0FHPs
-----END CERTIFICATE-----
`;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "helmr-registry-"));
});
afterAll(() => rm(directory, { recursive: true }));

const noCertificates = { systemBundles: [], publicDirectories: [] };

function settingsOf(npm: Partial<NpmSettings>, system: Record<string, string[]> = {}, own: string[] = []) {
  return findHostSettings({
    facts: fixedFacts({ system, own }),
    environment: {},
    npm: async () => ({ registry: undefined, cafile: undefined, ca: [], ...npm }),
    certificates: noCertificates,
  });
}

describe("the npm registry", () => {
  test("that is public is named to guests and opens nothing", async () => {
    const settings = await settingsOf({ registry: "https://npm.example.com/private/" }, { "npm.example.com": ["1.1.1.1"] });
    expect(settings).toEqual({
      environment: { npm_config_registry: "https://npm.example.com/private/" },
      extraCa: undefined,
      allow: [],
      services: [],
      notes: [],
    });
  });

  test("that is the default needs nothing, unless it leads to a private address", async () => {
    expect(await settingsOf({}, { "registry.npmjs.org": ["1.1.1.1"] })).toMatchObject({ environment: {}, allow: [] });
    expect(await settingsOf({}, { "registry.npmjs.org": ["10.0.0.1"] })).toMatchObject({
      environment: { npm_config_registry: expect.stringMatching(/^https:/) },
      allow: [{ text: "registry.npmjs.org:443" }],
    });
  });

  test.each([
    ["http://npm.corp.example/", ["10.0.0.9"], { kind: "name", name: "npm.corp.example", port: 80 }],
    ["https://npm.corp.example:8443/", ["10.0.0.9"], { kind: "name", name: "npm.corp.example", port: 8443 }],
    ["https://npm.corp.example/", ["1.1.1.1", "10.0.0.9"], { kind: "name", port: 443 }],
    ["https://npm.corp.example/", ["2.2.2.2"], { kind: "name", port: 443 }],
    ["https://unknown.example/", [], { kind: "name", name: "unknown.example", port: 443 }],
    ["http://10.0.0.9:4873/", [], { kind: "range", port: 4873 }],
    ["http://[fd00::9]:4873/", [], { kind: "range", port: 4873 }],
  ])("%s at %j opens its own host and port", async (registry, addresses, rule) => {
    const settings = await settingsOf({ registry }, { [new URL(registry).hostname]: addresses }, ["2.2.2.2"]);
    expect(settings.allow).toMatchObject([rule]);
    expect(settings.environment).toEqual({ npm_config_registry: registry });
    expect(settings.services).toEqual([]);
  });

  test.each([
    ["http://localhost:4873/x/", ["127.0.0.1", "::1"], "127.0.0.1"],
    ["http://127.0.0.1:4873/x/", [], "127.0.0.1"],
    ["http://[::1]:4873/x/", [], "::1"],
    ["http://my-machine:4873/x/", ["127.0.1.1"], "127.0.0.1"],
  ])("%s on the loopback becomes a service of the host", async (registry, addresses, host) => {
    const settings = await settingsOf({ registry }, { [new URL(registry).hostname]: addresses });
    expect(settings.environment).toEqual({ npm_config_registry: "http://registry.helmr.internal:4873/x/" });
    expect(settings.services).toMatchObject([{ name: "registry.helmr.internal", port: 4873, target: { host, port: 4873 } }]);
    expect(settings.allow).toEqual([]);
  });

  test("keeps its credentials to the host", async () => {
    const settings = await settingsOf({ registry: "https://user:secret@npm.example.com/" }, { "npm.example.com": ["1.1.1.1"] });
    expect(JSON.stringify(settings)).not.toMatch(/secret|user/);
    expect(settings.notes).toHaveLength(1);
  });

  test("that is no URL leaves guests with the public one", async () => {
    expect(await settingsOf({ registry: "file:///x" })).toMatchObject({ environment: {}, notes: [expect.stringContaining("not an http")] });
  });
});

test("npm's own settings are read from npm", async () => {
  const home = join(directory, "home");
  await mkdir(home);
  await writeFile(join(home, ".npmrc"), "registry=https://npm.example.com/a/\ncafile=/nowhere/ca.pem\n");
  const environment = { PATH: process.env["PATH"], HOME: home, npm_config_userconfig: join(home, ".npmrc") };
  expect(await readNpmSettings(environment)).toEqual({ registry: "https://npm.example.com/a/", cafile: "/nowhere/ca.pem", ca: [] });
  expect(await readNpmSettings({ PATH: "/nowhere", NPM_CONFIG_REGISTRY: "https://b.example/" })).toEqual({
    registry: "https://b.example/",
    cafile: undefined,
    ca: [],
  });
}, 30_000);

describe("certificates", () => {
  const root = rootCertificates[0] as string;

  test("are those that this host trusts beyond the public ones, each once", async () => {
    const system = join(directory, "system.pem");
    const extra = join(directory, "extra.pem");
    await writeFile(system, `# comment\n${root}\n${companyCertificate}`);
    await writeFile(extra, companyCertificate.replaceAll("\n", "\r\n"));
    const found = await findExtraCertificates({
      environment: { NODE_EXTRA_CA_CERTS: extra, SSL_CERT_FILE: extra },
      systemBundles: [system],
      publicDirectories: [],
    });
    expect(found).toMatchObject({ count: 1, notes: [] });
    expect(new X509Certificate(found.pem!).subject).toBe("CN=Example company");
  });

  test("of the distribution's own package are public", async () => {
    const mozilla = join(directory, "mozilla");
    await mkdir(mozilla);
    await writeFile(join(mozilla, "a.crt"), companyCertificate);
    const found = await findExtraCertificates({
      environment: {},
      texts: [companyCertificate],
      systemBundles: [],
      publicDirectories: [mozilla],
    });
    expect(found).toEqual({ pem: undefined, count: 0, notes: [] });
  });

  test("that are none are left out, and a file that cannot be read is said", async () => {
    const found = await findExtraCertificates({
      environment: { SSL_CERT_FILE: "/nowhere/ca.pem" },
      texts: [
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
      ],
      ...noCertificates,
    });
    expect(found).toMatchObject({ pem: undefined, notes: [expect.stringContaining("/nowhere/ca.pem")] });
  });
});
