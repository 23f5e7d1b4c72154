/** Login, logout, whoami, and the management of projects and environments (cli §5.1, §5.7). */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { apiEndpoints } from "@helmr/protocol/api";
import { describe, expect, test } from "vitest";
import { testEnvironment, testKey, testLogin } from "../testing/environment.ts";

const env = testEnvironment();
const fails = (line: string) => ({ code: 1, stdout: "", stderr: `${line}\n` });

const device = {
  device_code: "dc",
  user_code: "ABCD-EFGH",
  verification_uri: "https://h/auth/device",
  interval_seconds: 0.01,
  expires_in_seconds: 60,
};
const pending = { status: 202, body: { error: "authorization_pending" } };
const granted = { body: { access_token: testLogin, token_type: "bearer", expires_in_seconds: 60 } };

function saved(name: string): Promise<string> {
  return readFile(path.join(env.directory, "config", name), "utf8");
}

describe("helmr login", () => {
  test("polls until it is approved, then saves login and host", async () => {
    const { server } = env;
    server.on("POST /api/auth/device/start", {
      status: 201,
      body: { ...device, verification_uri_complete: "https://h/auth/device?code=ABCD-EFGH" },
    });
    server.on("POST /api/auth/device/token", pending, pending, granted);
    const result = await env.bare(["login", `${server.url}/`, "--no-browser"]);
    expect(result).toEqual({
      code: 0,
      stdout: `Visit https://h/auth/device?code=ABCD-EFGH\nCode: ABCD-EFGH\nWaiting for authorization...\nLogged in to ${server.url}\n`,
      stderr: "",
    });
    expect(server.lines).toEqual(["POST /api/auth/device/start", ...Array<string>(3).fill("POST /api/auth/device/token")]);
    expect(server.last.json).toEqual({ device_code: "dc" });
    expect(server.last.headers.authorization).toBeUndefined();
    expect(await saved("config.toml")).toBe(`default_host = "${server.url}"\n`);
    expect(JSON.parse(await saved("credentials.json"))).toEqual({ hosts: { [server.url]: { access_token: testLogin } } });
  });

  test("falls back to the plain address, and a browser that does not open is a note", async () => {
    env.server.on("POST /api/auth/device/start", { status: 201, body: device });
    env.server.on("POST /api/auth/device/token", pending, pending, granted);
    const result = await env.bare(["login", env.server.url], { env: { PATH: "/nonexistent" } });
    expect(result.code).toBe(0);
    expect(result.stdout).toContain("Visit https://h/auth/device\n");
    expect(result.stderr).toMatch(/^the browser did not open: .*\n$/);
  });

  test.each(["access_denied", "expired_token", "invalid_request"])("ends when the answer is %s", async (kind) => {
    env.server.on("POST /api/auth/device/start", { status: 201, body: device });
    env.server.on("POST /api/auth/device/token", { status: 400, body: { error: kind } });
    const result = await env.bare(["login", env.server.url, "--no-browser"]);
    expect(result).toMatchObject({ code: 1, stderr: `device authorization failed: ${kind}\n` });
    await expect(saved("credentials.json")).rejects.toThrow("ENOENT");
  });

  test("ends when the time is over", async () => {
    env.server.on("POST /api/auth/device/start", { status: 201, body: { ...device, expires_in_seconds: 0.05 } });
    env.server.on("POST /api/auth/device/token", pending);
    expect(await env.bare(["login", env.server.url, "--no-browser"])).toMatchObject({ code: 1, stderr: "device authorization expired\n" });
  });

  test("takes one host only", async () => {
    expect(await env.bare(["login", env.server.url, "-a", env.server.url])).toEqual(fails("URL and --api-url cannot be used together"));
  });

  test("keeps the logins of other hosts and the other lines of config.toml", async () => {
    env.server.on("POST /api/auth/device/start", { status: 201, body: device });
    env.server.on("POST /api/auth/device/token", granted);
    env.server.on("POST /b/api/auth/device/start", { status: 201, body: device });
    env.server.on("POST /b/api/auth/device/token", { body: { ...granted.body, access_token: "second" } });
    await env.bare(["login", env.server.url, "--no-browser"]);
    await env.bare(["login", `${env.server.url}/b`, "--no-browser"]);
    expect(JSON.parse(await saved("credentials.json"))).toEqual({
      hosts: { [env.server.url]: { access_token: testLogin }, [`${env.server.url}/b`]: { access_token: "second" } },
    });
    expect(await saved("config.toml")).toBe(`default_host = "${env.server.url}/b"\n`);
  });
});

describe("helmr logout", () => {
  test("revokes the login and deletes it; the host stays", async () => {
    env.server.on("POST /api/auth/device/start", { status: 201, body: device });
    env.server.on("POST /api/auth/device/token", granted);
    env.server.on("POST /api/auth/logout", { status: 204 });
    await env.bare(["login", env.server.url, "--no-browser"]);
    expect(await env.bare(["logout"])).toEqual({ code: 0, stdout: `Logged out from ${env.server.url}\n`, stderr: "" });
    expect(env.server.last).toMatchObject({ path: "/api/auth/logout", headers: { authorization: `Bearer ${testLogin}` } });
    expect(JSON.parse(await saved("credentials.json"))).toEqual({ hosts: {} });
    expect(await saved("config.toml")).toContain(env.server.url);
    expect(await env.bare(["logout"])).toEqual(fails(`not logged in to ${env.server.url}`));
  });

  test("without any host says that there is no login", async () => {
    expect(await env.bare(["logout"])).toEqual(fails("no saved login"));
  });

  test("deletes a login that the server no longer knows, and keeps one it could not be asked about", async () => {
    env.server.on(
      "POST /api/auth/logout",
      { status: 503, body: { error: "later" } },
      { status: 401, body: { error: "authentication is required" } },
    );
    expect(await env.withLogin(["logout"])).toEqual(fails("503 Service Unavailable: later"));
    expect(await env.bare(["logout", env.server.url])).toMatchObject({ code: 0 });
    expect(JSON.parse(await saved("credentials.json"))).toEqual({ hosts: {} });
  });
});

describe("helmr whoami", () => {
  const me = { ...(apiEndpoints.auth.me.example!.response as object), public_url: "https://h" };

  test("with a login asks the server", async () => {
    env.server.on("GET /api/me", { body: me });
    expect(await env.withLogin(["whoami"])).toEqual({ code: 0, stdout: `login ${env.server.url}\n`, stderr: "" });
    const { stdout } = await env.withLogin(["whoami", "--json"]);
    expect(JSON.parse(stdout)).toEqual({ ...me, auth_source: "login", api_url: env.server.url });
  });

  test("with an API key asks only for --json, and a wrong key fails", async () => {
    env.server.on(
      "GET /api/api-key",
      { body: apiEndpoints.apiKeys.self.example!.response },
      { status: 401, body: { error: "authentication is required" } },
    );
    expect(await env.withKey(["whoami"])).toEqual({ code: 0, stdout: `api_key ${env.server.url}\n`, stderr: "" });
    expect(env.server.requests).toHaveLength(0);
    const empty = {
      user_id: "",
      display_name: "",
      profile_image_url: "",
      permissions: null,
      organization_required: false,
      project_required: false,
      access_required: false,
      setup_token_required: false,
    };
    const { stdout } = await env.withKey(["whoami", "--json"]);
    expect(JSON.parse(stdout)).toEqual({
      ...empty,
      auth_source: "api_key",
      api_url: env.server.url,
      api_key: { name: "ci", project: "shop", environment: "production", permissions: ["runs:create", "runs:read"] },
    });
    expect(await env.withKey(["whoami", "--json"])).toEqual(fails("401 Unauthorized: authentication is required"));
  });
});

describe("helmr project and helmr env", () => {
  const environments = [
    {
      id: "01980a00-0000-7000-8000-0000000000e1",
      project_id: "01980a00-0000-7000-8000-0000000000f1",
      slug: "production",
      name: "Production",
      color_hex: "#315FCE",
      is_default: true,
    },
    {
      id: "01980a00-0000-7000-8000-0000000000e2",
      project_id: "01980a00-0000-7000-8000-0000000000f1",
      slug: "staging",
      name: "Staging",
      color_hex: "#F59E0B",
      is_default: false,
    },
  ];
  const shop = { id: "01980a00-0000-7000-8000-0000000000f1", slug: "shop", name: "Shop", is_default: true, environments };
  const projectPath = `/api/projects/${shop.id}`;
  const listed = () => env.server.on("GET /api/projects", { body: { projects: [shop, { ...shop, id: "x", slug: "y", name: "Z" }] } });

  test("need a login, whatever key there is", async () => {
    const text = "project and environment management requires helmr login";
    expect(await env.withKey(["project", "list"])).toEqual(fails(text));
    expect(await env.withKey(["env", "list", "--project", "shop"])).toEqual(fails(text));
    expect(await env.bare(["project", "list"])).toEqual(fails(text));
    expect(env.server.requests).toEqual([]);
  });

  test.each<[string[], string, unknown]>([
    [["project", "list"], `${shop.id}\tshop\tShop\nx\ty\tZ\n`, { projects: [shop, { ...shop, id: "x", slug: "y", name: "Z" }] }],
    [
      ["project", "get", "shop"],
      `ID: ${shop.id}\nSlug: shop\nName: Shop\nEnvironments:\n  ${environments[0]!.id}\tproduction\tProduction\t#315FCE\n  ${environments[1]!.id}\tstaging\tStaging\t#F59E0B\n`,
      shop,
    ],
    [["project", "get", shop.id.toUpperCase()], expect.stringContaining("Slug: shop") as never, shop],
    [
      ["env", "list", "--project", "shop"],
      `${environments[0]!.id}\tproduction\tProduction\n${environments[1]!.id}\tstaging\tStaging\n`,
      environments,
    ],
    [
      ["env", "get", "staging", "--project", shop.id],
      `ID: ${environments[1]!.id}\nProject: ${shop.id}\nSlug: staging\nName: Staging\nColor: #F59E0B\n`,
      environments[1],
    ],
  ])("%j is resolved from the list", async (argv, text, json) => {
    listed();
    expect(await env.withLogin(argv, { env: { HELMR_API_KEY: testKey } })).toEqual({ code: 0, stdout: text, stderr: "" });
    expect(env.server.last.headers.authorization).toBe(`Bearer ${testLogin}`);
    const { stdout } = await env.withLogin([...argv, "--json"]);
    expect(JSON.parse(stdout)).toEqual(json);
    expect(new Set(env.server.lines)).toEqual(new Set(["GET /api/projects"]));
  });

  test("say what was not found", async () => {
    listed();
    expect(await env.withLogin(["project", "get", "nope"])).toEqual(fails('project "nope" was not found'));
    expect(await env.withLogin(["env", "get", "nope", "--project", "shop"])).toEqual(
      fails('environment "nope" was not found in project shop'),
    );
    expect(await env.withLogin(["env", "list"])).toEqual(fails("--project is required"));
  });

  test("create makes slug and colour from the name", async () => {
    listed();
    env.server.on("POST /api/projects", { status: 201, body: shop });
    env.server.on(`POST ${projectPath}/environments`, { status: 201, body: environments[1] });
    expect(await env.withLogin(["project", "create", " My  Web-- Shop! "])).toMatchObject({ code: 0, stdout: `${shop.id}\tshop\tShop\n` });
    expect(env.server.last.json).toEqual({ slug: "my-web-shop", name: " My  Web-- Shop! " });
    await env.withLogin(["project", "create", "Shop", "--slug", "SHOP"]);
    expect(env.server.last.json).toEqual({ slug: "shop", name: "Shop" });
    expect(await env.withLogin(["env", "create", "QA Two", "--project", "shop"])).toMatchObject({
      code: 0,
      stdout: `${environments[1]!.id}\tstaging\tStaging\t#F59E0B\n`,
    });
    expect(env.server.last.json).toEqual({ slug: "qa-two", name: "QA Two", color_hex: "#F59E0B" });
    await env.withLogin(["env", "create", "x", "--project", "shop", "--slug", "Other", "--color", "#000000"]);
    expect(env.server.last.json).toEqual({ slug: "other", name: "x", color_hex: "#000000" });
  });

  test("update fills in what is not given", async () => {
    listed();
    env.server.on(`PATCH ${projectPath}`, { body: { ...shop, name: "New" } });
    env.server.on(`PATCH ${projectPath}/environments/${environments[1]!.id}`, { body: environments[1] });
    expect(await env.withLogin(["project", "update", "shop", "--name", "New"])).toMatchObject({
      code: 0,
      stdout: `${shop.id}\tshop\tNew\n`,
    });
    expect(env.server.last.json).toEqual({ slug: "shop", name: "New" });
    await env.withLogin(["env", "update", "staging", "--project", "shop", "--slug", "Stage"]);
    expect(env.server.last.json).toEqual({ slug: "stage", name: "Staging", color_hex: "#F59E0B" });
    expect(await env.withLogin(["project", "update", "shop"])).toEqual(fails("project update needs --name or --slug"));
    expect(await env.withLogin(["env", "update", "staging", "--project", "shop"])).toEqual(
      fails("env update needs --name, --slug or --color"),
    );
  });

  test("delete needs --yes and prints the id", async () => {
    listed();
    env.server.on(`DELETE ${projectPath}`, { status: 204 });
    env.server.on(`DELETE ${projectPath}/environments/${environments[1]!.id}`, { status: 204 });
    expect(await env.withLogin(["project", "delete", "shop"])).toEqual(fails("project delete needs --yes"));
    expect(await env.withLogin(["env", "delete", "staging", "--project", "shop"])).toEqual(fails("env delete needs --yes"));
    expect(env.server.requests).toEqual([]);
    expect(await env.withLogin(["project", "delete", "shop", "--yes"])).toMatchObject({ code: 0, stdout: `${shop.id}\n` });
    expect(await env.withLogin(["env", "delete", "staging", "--project", "shop", "--yes"])).toMatchObject({
      code: 0,
      stdout: `${environments[1]!.id}\n`,
    });
  });
});
