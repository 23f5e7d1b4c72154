/** Host, credential and scope (cli §2): the texts are part of the contract. */
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { testEnvironment, testKey, testLogin } from "../testing/environment.ts";
import { parseBaseUrl } from "./api-url.ts";

const env = testEnvironment();
const fails = (line: string) => ({ code: 1, stdout: "", stderr: `${line}\n` });

describe("parseBaseUrl()", () => {
  test.each([
    ["https://h.example.com/", "https://h.example.com"],
    ["https://H.Example.com:443", "https://h.example.com"],
    ["  https://h.example.com/a/b//  ", "https://h.example.com/a/b"],
    ["http://localhost:1234", "http://localhost:1234"],
    ["http://127.1.2.3", "http://127.1.2.3"],
    ["http://[::1]:8080/x", "http://[::1]:8080/x"],
  ])("takes %s as %s", (text, url) => {
    expect(parseBaseUrl(text)).toEqual({ ok: true, url });
  });

  test.each([
    "",
    "example.com",
    "ftp://h",
    "https://h/?a=1",
    "https://h/?",
    "https://h/#",
    "https://u:p@h",
    "http://h.example.com",
    "http://10.0.0.1",
    "http://128.0.0.1",
    "http://localhost.example.com",
  ])("refuses %j", (text) => {
    expect(parseBaseUrl(text)).toMatchObject({ ok: false });
  });
});

describe("the host", () => {
  test("is --api-url, then HELMR_API_URL, then the saved one", async () => {
    const { server } = env;
    server.on("GET /flag/api/deployments", { body: { deployments: [] } });
    server.on("GET /variable/api/deployments", { body: { deployments: [] } });
    server.on("GET /saved/api/deployments", { body: { deployments: [] } });
    await mkdir(path.join(env.directory, "config"));
    await writeFile(path.join(env.directory, "config", "config.toml"), `# mine\ndefault_host = '${server.url}/saved' # last\n`);
    const key = { HELMR_API_KEY: testKey };
    await env.bare(["deployment", "list", "--api-url", `${server.url}/flag/`], {
      env: { ...key, HELMR_API_URL: `${server.url}/variable` },
    });
    await env.bare(["-a", `${server.url}/flag`, "deployment", "list"], { env: key });
    await env.bare(["deployment", "list", "-a", "  "], { env: { ...key, HELMR_API_URL: `${server.url}/variable` } });
    await env.bare(["deployment", "list"], { env: key });
    expect(server.lines).toEqual([
      "GET /flag/api/deployments",
      "GET /flag/api/deployments",
      "GET /variable/api/deployments",
      "GET /saved/api/deployments",
    ]);
  });

  test("missing is said", async () => {
    expect(await env.bare(["run", "list"])).toEqual(fails("helmr API access requires HELMR_API_URL=http(s)://... or helmr login"));
  });

  test("in plain text names HELMR_API_KEY and the URL", async () => {
    const { stderr } = await env.bare(["run", "list"], { env: { HELMR_API_URL: "http://helmr.example.com", HELMR_API_KEY: testKey } });
    expect(stderr).toContain("HELMR_API_KEY");
    expect(stderr).toContain("http://helmr.example.com");
  });
});

describe("the credential", () => {
  test("missing is said", async () => {
    expect(await env.bare(["run", "list", "-a", env.server.url])).toEqual(fails("helmr API access requires HELMR_API_KEY or helmr login"));
  });

  test("from HELMR_API_KEY is trimmed and wins over a saved login", async () => {
    env.server.on("GET /api/tasks", { body: { tasks: [] } });
    await env.withLogin(["task", "list"], { env: { HELMR_API_KEY: `  ${testKey} \n` } });
    expect(env.server.last.headers.authorization).toBe(`Bearer ${testKey}`);
  });

  test("of a login is that of exactly this base URL", async () => {
    await env.withLogin(["login", "--help"]);
    const url = `${env.server.url}/other`;
    expect(await env.withLogin(["task", "list", "-p", "a", "-e", "b", "-a", url])).toEqual(
      fails("helmr API access requires HELMR_API_KEY or helmr login"),
    );
    expect(env.server.requests).toEqual([]);
  });

  test("in a file that others may read is refused, with the command that mends it", async () => {
    await env.withLogin(["login", "--help"]);
    const file = path.join(env.directory, "config", "credentials.json");
    await chmod(file, 0o644);
    const { code, stderr } = await env.bare(["task", "list", "-p", "a", "-e", "b", "-a", env.server.url]);
    expect(code).toBe(1);
    expect(stderr).toContain(`chmod 600 ${file}`);
    expect(stderr).not.toContain(testLogin);
  });

  test("is kept in a closed file of a closed directory", async () => {
    await mkdir(path.join(env.directory, "config"), { mode: 0o755 });
    await env.withLogin(["login", "--help"]);
    const directory = path.join(env.directory, "config");
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(path.join(directory, "credentials.json"))).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(path.join(directory, "credentials.json"), "utf8"))).toEqual({
      hosts: { [env.server.url]: { access_token: testLogin } },
    });
  });

  test("store that is damaged is said, and kept", async () => {
    await mkdir(path.join(env.directory, "config"));
    const file = path.join(env.directory, "config", "credentials.json");
    await writeFile(file, "{", { mode: 0o600 });
    expect(await env.bare(["task", "list", "-p", "a", "-e", "b", "-a", env.server.url])).toEqual(
      fails(`${file} is damaged; delete it and run: helmr login`),
    );
  });
});

describe("the scope", () => {
  const keyWithScope = "--project and --env require helmr login; API keys are already environment scoped";
  const loginWithout = "--project and --env are required with helmr login";
  const layerUnexpected = "project and environment scope is only accepted on session-scoped API routes";
  const layerMissing = "project and environment are required for session-scoped API routes";

  test.each([
    ["-p", "a"],
    ["-e", "b"],
    ["--project", "a", "--env", "b"],
  ])("with an API key is refused before any request: %j", async (...flags) => {
    expect(await env.withKey(["task", "list", ...flags])).toEqual(fails(keyWithScope));
    expect(env.server.requests).toEqual([]);
  });

  test("that is blank counts as not given", async () => {
    env.server.on("GET /api/tasks", { body: { tasks: [] } });
    expect(await env.withKey(["task", "list", "-p", " "])).toMatchObject({ code: 0 });
    expect(await env.withLogin(["task", "list", "-p", " ", "-e", "b"])).toEqual(fails(loginWithout));
  });

  test.each([[], ["-p", "a"], ["-e", "b"]])("with a login needs both: %j", async (...flags) => {
    expect(await env.withLogin(["session", "get", "x", ...flags])).toEqual(fails(loginWithout));
    expect(env.server.requests).toEqual([]);
  });

  test("with a login is part of the path, trimmed and encoded", async () => {
    env.server.on("GET /api/projects/my%20shop/environments/production/tasks", { body: { tasks: [] } });
    expect(await env.withLogin(["task", "list", "-p", " my shop ", "-e", " production"])).toMatchObject({ code: 0, stderr: "" });
    expect(env.server.last.headers.authorization).toBe(`Bearer ${testLogin}`);
  });

  test.each([
    ["run", "list"],
    ["secret", "list"],
    ["secret", "get", "A"],
    ["secret", "set", "A", "v"],
    ["secret", "delete", "A", "--yes"],
    ["deployment", "promote", "20260606.1"],
  ])("of %s %s is checked by the HTTP layer, with its texts", async (...argv) => {
    expect(await env.withKey([...argv, "-p", "a"])).toEqual(fails(layerUnexpected));
    expect(await env.withLogin(argv)).toEqual(fails(layerMissing));
    expect(await env.withLogin([...argv, "-p", "a"])).toEqual(fails(layerMissing));
    expect(env.server.requests).toEqual([]);
  });
});
