/** The built command line against a running server: texts, JSON, exit codes, as cli.md says. See cli-target.ts for where the server is. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CliUnderTest, cliTarget } from "./cli-target.ts";

const target = cliTarget();
const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
const instant = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)`;
const unknownId = "01980a00-0000-7000-8000-00000000ffff";
/** Names of one run of this suite, so that it can be run again on the same installation. */
const mark = randomBytes(4).toString("hex");
const lines = (text: string) => text.split("\n").slice(0, -1);

describe.skipIf(target === undefined)("helmr against a running server", () => {
  let cli: CliUnderTest;
  beforeAll(async () => {
    cli = await CliUnderTest.start(target!);
    if (target!.login) await cli.saveLogin(target!.login.token);
  }, 60_000);
  afterAll(() => cli.stop());

  const ok = async (argv: string[], run?: Parameters<CliUnderTest["withKey"]>[1]) => {
    const result = await cli.withKey(argv, run);
    expect(result, argv.join(" ")).toMatchObject({ code: 0, stderr: "" });
    return result.stdout;
  };
  const json = async (argv: string[]) => JSON.parse(await ok([...argv, "--json"])) as never;
  const refused = async (argv: string[]) => {
    const result = await cli.withKey(argv);
    expect(result, argv.join(" ")).toMatchObject({ code: 1, stdout: "" });
    expect(lines(result.stderr), argv.join(" ")).toHaveLength(1);
    return result.stderr.trimEnd();
  };

  describe("identity", () => {
    test("whoami tells the kind of credential", async () => {
      expect(await ok(["whoami"])).toBe(`api_key ${target!.apiUrl}\n`);
      expect(await json(["whoami"])).toMatchObject({ user_id: "", permissions: null, auth_source: "api_key", api_url: target!.apiUrl });
    });

    test("a wrong key fails", async () => {
      const wrong = { env: { HELMR_API_KEY: "hlmr_sk_wrongwrongwrongwrongwrongwrongwrong" } };
      expect(await cli.withKey(["whoami", "--json"], wrong)).toMatchObject({
        code: 1,
        stderr: "401 Unauthorized: authentication is required\n",
      });
      expect(await cli.withKey(["run", "list"], wrong)).toMatchObject({
        code: 1,
        stderr: "401 Unauthorized: authentication is required\n",
      });
    });
  });

  describe("secrets", () => {
    const name = `CLI_${mark}`;

    test("go in verbatim, are listed without value, and are deleted", async () => {
      expect(await ok(["secret", "set", name], { stdin: "line\n" })).toBe(`${name}\n`);
      expect(await ok(["secret", "list"])).toMatch(new RegExp(`^${name}\t${instant}\t${instant}$`, "m"));
      expect(lines(await ok(["secret", "get", name]))).toEqual([
        `Name: ${name}`,
        expect.stringMatching(`^Project: ${uuid}$`),
        expect.stringMatching(`^Environment: ${uuid}$`),
        expect.stringMatching(`^Created: ${instant}$`),
        expect.stringMatching(`^Updated: ${instant}$`),
      ]);
      expect(Object.keys(await json(["secret", "get", name])).sort()).toEqual([
        "created_at",
        "environment_id",
        "name",
        "project_id",
        "updated_at",
      ]);
      expect(await refused(["secret", "delete", name])).toBe("secret delete needs --yes");
      expect(await ok(["secret", "delete", name, "--yes"])).toBe(`${name}\n`);
      expect(await refused(["secret", "get", name])).toMatch(/^404 Not Found: .*secret/);
    });

    test("have names of a pattern", async () => {
      expect(await refused(["secret", "set", "no blanks", "v"])).toMatch(/^400 Bad Request: /);
    });
  });

  describe("tokens", () => {
    test("are created, completed once, and listed", async () => {
      const created = lines(await ok(["token", "create", "--timeout", "1h", "--tag", mark, "--idempotency-key", `cli-${mark}`]));
      expect(created).toEqual([
        expect.stringMatching(`^Token:       ${uuid}$`),
        "Status:      pending",
        expect.stringMatching(`^Timeout:     ${instant}$`),
        expect.stringMatching(/^Callback: {4}https?:.*\/api\/v1\/tokens\/.*\/callback\/hlmr_callback_/),
        expect.stringMatching(/^PublicToken: hlmr_public_access_/),
      ]);
      expect(lines(await ok(["token", "create", "--timeout", "1h", "--tag", mark, "--idempotency-key", `cli-${mark}`]))).toEqual(created);
      const id = created[0]!.slice("Token:       ".length);
      expect(lines(await ok(["token", "get", id]))).toEqual(created.slice(0, 3));
      expect(await ok(["token", "list", "--status", "pending", "--limit", "500"])).toMatch(
        new RegExp(`^${id}\tpending\t${instant}\t${mark}$`, "m"),
      );
      const complete = (data: string) => ["token", "complete", id, "--data-json", data];
      expect(await ok(complete('{"a":1}'))).toBe(`token_id: ${id}\ntoken_status: completed\ncompletion_status: completed\n`);
      expect(await json(complete('{ "a": 1 }'))).toMatchObject({ status: "already_completed", token: { id, data: { a: 1 } } });
      expect(await refused(complete("2"))).toMatch(/^409 Conflict: /);
      expect(await refused(["token", "cancel", id])).toMatch(/^409 Conflict: /);
      expect(await refused(["token", "get", unknownId])).toMatch(/^404 Not Found: /);
    });

    test("are cancelled", async () => {
      const { id } = (await json(["token", "create"])) as { id: string };
      expect(await ok(["token", "cancel", id])).toBe(`${id} cancelled\n`);
      expect(await refused(["token", "create", "--timeout", "soon"])).toMatch(/^400 Bad Request: /);
    });
  });

  describe("what does not exist", () => {
    test.each([
      [["run", "get", unknownId]],
      [["run", "logs", unknownId]],
      [["run", "events", unknownId]],
      [["run", "events", unknownId, "--follow"]],
      [["run", "wait", unknownId]],
      [["run", "cancel", unknownId]],
      [["session", "get", unknownId]],
      [["session", "close", unknownId]],
      [["session", "stream", "list", unknownId]],
      [["deployment", "get", unknownId]],
      [["deployment", "promote", "19990101.1"]],
      [["sandbox", "get", `none-${mark}`]],
      [["task", "get", `none-${mark}`]],
      [["workspace", "get", unknownId]],
      [["workspace", "exec", "list", unknownId]],
      [["workspace", "exec", unknownId, "--", "true"]],
    ])("is 404 in one line: %j", async (argv) => {
      expect(await refused(argv)).toMatch(/^404 Not Found(: |$)/);
    });

    test.each([
      [["run", "get", "x"]],
      [["session", "get", "x"]],
      [["token", "get", "x"]],
      [["workspace", "get", "x"]],
      [["deployment", "get", "x"]],
    ])("is 400 for an id that is none: %j", async (argv) => {
      expect(await refused(argv)).toMatch(/^400 Bad Request: invalid .* id$/);
    });

    test("is told for a task that is not deployed", async () => {
      expect(await refused(["session", "start", `none-${mark}`])).toMatch(/^409 Conflict: /);
      expect(await refused(["session", "get", "--external-id", mark])).toBe(`no session has the external id "${mark}"`);
    });
  });

  describe("deployments", () => {
    test("are uploaded, listed and shown", async () => {
      const result = await cli.withKey(["deploy", await cli.project(`upload-${mark}`), "--detach", "--json"]);
      expect(result).toMatchObject({ code: 0, stderr: "" });
      const said = lines(result.stdout).map(
        (line) => JSON.parse(line) as { type: string; phase?: string; deployment: { id: string; version: string; status: string } },
      );
      expect(said.map(({ type }) => type)).toEqual(["step", "step", "step", "step", "deployment_created", "deployment_result"]);
      const { phase, deployment } = said.at(-1)!;
      expect(phase).toBe("queued");
      expect(deployment.version).toMatch(/^\d{8}\.\d+$/);
      expect(await ok(["deployment", "list"])).toMatch(
        new RegExp(`^${deployment.id}\t${deployment.version}\t(queued|building|deployed|failed)$`, "m"),
      );
      expect(lines(await ok(["deployment", "get", deployment.id])).slice(0, 2)).toEqual([
        `Deployment: ${deployment.id}`,
        `Version:    ${deployment.version}`,
      ]);
    });
  });

  describe("lists", () => {
    test("have the members that are promised", async () => {
      expect(Object.keys(await json(["run", "list"]))).toEqual(["runs"]);
      expect(Object.keys(await json(["session", "list"]))).toEqual(["sessions"]);
      expect(Object.keys(await json(["workspace", "list"]))).toEqual(["workspaces"]);
      expect(Object.keys(await json(["deployment", "list"]))).toEqual(["deployments"]);
      expect(Object.keys(await json(["task", "list"]))).toEqual(["tasks"]);
      expect(Object.keys(await json(["sandbox", "list"]))).toEqual(["sandboxes"]);
      expect(lines(await ok(["run", "list"]))[0]).toMatch(/^RUN ID\s+TASK\s+STATUS\s+WAIT$/);
    });
  });

  describe.skipIf(!target?.login)("with a login", () => {
    const login = async (argv: string[]) => {
      const result = await cli.withLogin(argv);
      expect(result, argv.join(" ")).toMatchObject({ code: 0, stderr: "" });
      return result.stdout;
    };
    const scope = () => ["-p", target!.login!.project, "-e", target!.login!.environment];

    test("whoami tells the user", async () => {
      expect(await login(["whoami"])).toBe(`login ${target!.apiUrl}\n`);
      expect(JSON.parse(await login(["whoami", "--json"]))).toMatchObject({
        auth_source: "login",
        user_id: expect.stringMatching(uuid) as string,
      });
    });

    test("environment resources are reached by slugs", async () => {
      expect(Object.keys(JSON.parse(await login(["run", "list", ...scope(), "--json"])) as object)).toEqual(["runs"]);
      expect(await login(["secret", "list", ...scope()])).toBe(await ok(["secret", "list"]));
    });

    test("projects and environments are made, changed and deleted", async () => {
      const slug = `cli-${mark}`;
      const row = await login(["project", "create", `CLI ${mark}`]);
      const id = row.split("\t")[0]!;
      expect(row).toBe(`${id}\t${slug}\tCLI ${mark}\n`);
      const slugs = lines(await login(["env", "list", "--project", slug])).map((line) => line.split("\t")[1]);
      expect(new Set(slugs)).toEqual(new Set(["production", "staging"]));
      expect(await login(["env", "create", "QA", "--project", slug])).toMatch(new RegExp(`^${uuid}\tqa\tQA\t#F59E0B\n$`));
      expect(await login(["env", "update", "qa", "--project", slug, "--color", "#112233"])).toMatch(/\tqa\tQA\t#112233\n$/);
      expect(await login(["env", "delete", "qa", "--project", slug, "--yes"])).toMatch(new RegExp(`^${uuid}\n$`));
      expect(await login(["project", "update", slug, "--name", "Renamed"])).toBe(`${id}\t${slug}\tRenamed\n`);
      expect(await login(["project", "delete", id, "--yes"])).toBe(`${id}\n`);
      expect(await cli.withLogin(["project", "get", slug])).toMatchObject({ code: 1, stderr: `project "${slug}" was not found\n` });
    });
  });

  describe.skipIf(!target?.runs)("with a worker", () => {
    test("deploys, starts, waits and shows the run", async () => {
      const deployed = await cli.withKey(["deploy", await cli.project(`run-${mark}`)]);
      expect(deployed.code, deployed.stderr).toBe(0);
      expect(deployed.stdout).toMatch(/^\d{8}\.\d+\n$/);
      expect(await ok(["task", "list"])).toContain("hello\ttasks/hello.ts\thello\n");
      const started = (await json(["session", "start", "hello", "--payload", "name=Ada", "--wait"])) as {
        session: { id: string };
        run: { id: string; status: string; output: unknown };
      };
      expect(started.run).toMatchObject({ status: "succeeded", output: { greeting: "Hello, Ada!" } });
      expect(await ok(["run", "wait", started.run.id])).toBe(
        `run_id: ${started.run.id}\nrun_status: succeeded\nsession_id: ${started.session.id}\n`,
      );
      expect(await ok(["run", "logs", started.run.id, "--records"])).toMatch(new RegExp(`^${instant}\tinfo\twrote greeting.txt$`, "m"));
      const kinds = lines(await ok(["run", "events", started.run.id])).map((line) => (JSON.parse(line) as { kind: string }).kind);
      expect([kinds[0], kinds.at(-1)]).toEqual(["run.created", "run.completed"]);
      expect(await ok(["session", "close", started.session.id])).toContain("operation: close\n");
    }, 180_000);
  });
});
