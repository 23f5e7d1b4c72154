/** The built command line against a running server: texts, JSON, exit codes, as cli.md says. See cli-target.ts for where the server is. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CliUnderTest, cliTarget, nextBuild } from "./cli-target.ts";

const target = await cliTarget();
const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
const instant = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)`;
const unknownId = "01980a00-0000-7000-8000-00000000ffff";
/** Names of one run of this suite, so that it can be run again on the same installation. */
const mark = randomBytes(4).toString("hex");
const lines = (text: string) => text.split("\n").slice(0, -1);

describe("helmr against a running server", () => {
  let cli: CliUnderTest;
  beforeAll(async () => {
    cli = await CliUnderTest.start(target);
    if (target.login) await cli.saveLogin(target.login.token);
  }, 60_000);
  afterAll(async () => {
    await cli.stop();
    await target.close();
    expect(target.faults()).toEqual([]);
  });

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
      expect(await ok(["whoami"])).toBe(`api_key ${target.apiUrl}\n`);
      expect(await json(["whoami"])).toMatchObject({ user_id: "", permissions: null, auth_source: "api_key", api_url: target.apiUrl });
      const { api_key } = (await json(["whoami"])) as { api_key: { permissions: string[] } };
      expect(api_key).toMatchObject({
        name: expect.any(String) as string,
        project: expect.any(String) as string,
        environment: expect.any(String) as string,
      });
      expect(api_key.permissions).toContain("runs:create");
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

  describe.skipIf(!target.has("tokens.create", "tokens.complete"))("tokens", () => {
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

    test.each([[["run", "get", "x"]], [["session", "get", "x"]], [["workspace", "get", "x"]], [["deployment", "get", "x"]]])(
      "is 400 for an id that is none: %j",
      async (argv) => {
        expect(await refused(argv)).toMatch(/^400 Bad Request: invalid .* id$/);
      },
    );

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

  describe.skipIf(!target.login)("with a login", () => {
    const login = async (argv: string[]) => {
      const result = await cli.withLogin(argv);
      expect(result, argv.join(" ")).toMatchObject({ code: 0, stderr: "" });
      return result.stdout;
    };
    const scope = () => ["-p", target.login!.project, "-e", target.login!.environment];

    test("whoami tells the user", async () => {
      expect(await login(["whoami"])).toBe(`login ${target.apiUrl}\n`);
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

  describe.skipIf(target.worker === "none")("with a worker", () => {
    const deploy = async (name: string, ...flags: string[]) => cli.withKey(["deploy", await cli.project(`${name}-${mark}`), ...flags]);
    type Started = {
      session: { id: string; workspace_id: string };
      run: { id: string; status: string; output: unknown; exit_code: number };
    };
    const started = async (...argv: string[]) => (await json(["session", "start", ...argv])) as Started;

    beforeAll(async () => {
      const { code, stdout, stderr } = await deploy("current");
      expect(code, stderr).toBe(0);
      expect(stdout).toMatch(/^\d{8}\.\d+\n$/);
      expect(lines(stderr)).toEqual(expect.arrayContaining(["Preparing project", "Uploading deployment", "Promoting deployment"]));
    }, 180_000);

    test("the tasks of the deployment are listed", async () => {
      expect(lines(await ok(["task", "list"]))).toContain("hello\ttasks/hello.ts\thello");
      expect(lines(await ok(["task", "get", "hello"])).slice(0, 3)).toEqual([
        "Task:       hello",
        "File:       tasks/hello.ts",
        "Export:     hello",
      ]);
    });

    test("a session is started, waited for, shown and closed", async () => {
      const { session, run } = await started("hello", "--payload", "name=Ada", "--wait");
      expect(run).toMatchObject({ status: "succeeded", exit_code: 0, output: { greeting: "Hello, Ada!" } });
      expect(await ok(["run", "wait", run.id, "--exit-status"])).toBe(
        `run_id: ${run.id}\nrun_status: succeeded\nsession_id: ${session.id}\n`,
      );
      expect(lines(await ok(["run", "get", run.id]))).toEqual([
        `ID:       ${run.id}`,
        "Task:     hello",
        "Status:   succeeded",
        "Exit:     0",
        expect.stringMatching(`^Created:  ${instant}$`),
        expect.stringMatching(`^Updated:  ${instant}$`),
      ]);
      expect(lines(await ok(["session", "get", session.id]))).toEqual([
        `Session:   ${session.id}`,
        "Task:      hello",
        "Status:    open",
        "Activity:  idle",
        `Run:       ${run.id}`,
        `Workspace: ${session.workspace_id}`,
      ]);
      const closed = `operation: close\nsession_id: ${session.id}\nsession_status: closed\nsession_activity: idle\nrun_id: ${run.id}\n`;
      expect(await ok(["session", "close", session.id])).toBe(closed);
      expect(await ok(["session", "close", session.id])).toBe(closed);
      expect(await refused(["session", "cancel", session.id])).toMatch(/^409 Conflict: /);
      expect(await ok(["run", "list", "--session", session.id])).toMatch(new RegExp(`\\n${run.id.slice(0, 12)}  hello  succeeded\\n$`));
    });

    test("an idempotent start gives the same session", async () => {
      const first = await started("hello", "--idempotency-key", mark);
      expect(await started("hello", "--idempotency-key", ` ${mark} `)).toMatchObject({
        is_cached: true,
        session: { id: first.session.id },
        run: { id: first.run.id },
      });
      expect(await refused(["session", "start", "hello", "--payload", "a=b", "--idempotency-key", mark])).toMatch(/^409 Conflict: /);
    });

    test("events and records of a run are listed and followed", async () => {
      const { run } = await started("hello", "--wait");
      const listed = lines(await ok(["run", "events", run.id]));
      const kinds = listed.map((line) => (JSON.parse(line) as { kind: string }).kind);
      expect([kinds[0], kinds.at(-1)]).toEqual(["run.created", "run.completed"]);
      expect(lines(await ok(["run", "events", run.id, "--follow"]))).toEqual(listed);
      expect(lines(await ok(["run", "events", run.id, "--cursor", "1", "--limit", "1"]))).toEqual(listed.slice(1, 2));
      const records = lines(await ok(["run", "logs", run.id, "--records"]));
      expect(records).toContainEqual(expect.stringMatching(`^${instant}\tinfo\twrote greeting.txt(\t|$)`));
      expect(lines(await ok(["run", "logs", run.id, "--records", "--follow"]))).toEqual(records);
    });

    describe.skipIf(target.worker !== "fake")("whose tasks are known", () => {
      test("bytes of both streams come out where they went in", async () => {
        const { run } = await started("hello", "--wait");
        const logs = { code: 0, signal: null, stdout: "hello from the task\n", stderr: "a warning\n" };
        expect(await cli.withKey(["run", "logs", run.id])).toEqual(logs);
        expect(await cli.withKey(["run", "logs", run.id, "--follow"])).toEqual(logs);
        const followed = await cli.withKey(["session", "start", "hello", "--follow"]);
        expect(followed).toMatchObject({ code: 0, stderr: "a warning\n" });
        expect(lines(followed.stdout)).toEqual([
          expect.stringMatching(`^session_id: ${uuid}$`),
          expect.stringMatching(`^run_id: ${uuid}$`),
          expect.stringMatching(`^workspace_id: ${uuid}$`),
          "hello from the task",
          "run_status: succeeded",
        ]);
      });

      test("a run that fails does not fail the command, unless it is asked to", async () => {
        expect(await ok(["session", "start", "fails", "--wait"])).toMatch(/\nrun_status: failed\n$/);
        const strict = await cli.withKey(["session", "start", "fails", "--wait", "--exit-status"]);
        expect(strict).toMatchObject({ code: 2, stderr: "" });
        expect(strict.stdout).toMatch(/\nrun_status: failed\n$/);
      });

      test("a live run is waited for in vain, cancelled, and ends its followers", async () => {
        const { session, run } = await started("slow");
        const timedOut = await cli.withKey(["run", "wait", run.id, "--timeout", "500ms"]);
        expect(timedOut).toMatchObject({ code: 1, stdout: "", stderr: `wait for run ${run.id}: context deadline exceeded\n` });
        expect(await refused(["session", "close", session.id])).toMatch(/^409 Conflict: /);
        const following = cli.withKey(["run", "events", run.id, "--follow"]);
        const cancelled = lines(await ok(["run", "cancel", run.id, "--reason", "enough"]));
        expect(cancelled).toEqual([
          `run_id: ${run.id}`,
          "run_status: cancelled",
          `session_id: ${session.id}`,
          expect.stringMatching(`^operation_id: ${uuid}$`),
          "operation_status: applied",
        ]);
        const kinds = lines((await following).stdout).map((line) => (JSON.parse(line) as { kind: string }).kind);
        expect(kinds.slice(-2)).toEqual(["run.cancel_requested", "run.cancelled"]);
        expect(lines(await ok(["run", "cancel", run.id])).at(-1)).toBe("operation_status: rejected");
      }, 60_000);

      test("following is given up with the session's status", async () => {
        const result = await cli.withKey(["session", "start", "slow", "--follow", "--timeout", "1s"]);
        expect(result).toMatchObject({ code: 1, stderr: "a warning\ncontext deadline exceeded\n" });
        const said = lines(result.stdout);
        expect(said.slice(3)).toEqual(["hello from the task", "session_status: open"]);
        const session = said[0]!.slice("session_id: ".length);
        expect(await ok(["session", "cancel", session])).toContain("session_status: cancelled\n");
      }, 60_000);

      test("a build that fails says why, event by event", async () => {
        nextBuild.failure = "tasks/hello.ts:3:5: Expected a semicolon";
        try {
          const { code, stdout, stderr } = await deploy("broken");
          expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
          expect(lines(stderr)).toContain("compiled 3 tasks");
          expect(lines(stderr).at(-1)).toMatch(new RegExp(`^deployment ${uuid} failed: .*tasks/hello\\.ts:3:5: Expected a semicolon`));
        } finally {
          nextBuild.failure = undefined;
        }
      });

      test("an unchanged project is deployed again at once", async () => {
        const first = await deploy("again", "--skip-promotion");
        const second = await cli.withKey(["deploy", `${cli.directory}/again-${mark}`, "--json"]);
        const last = JSON.parse(lines(second.stdout).at(-1)!) as { phase: string; deployment: { version: string; tasks: unknown[] } };
        expect(last).toMatchObject({ phase: "promoted", deployment: { version: first.stdout.trim() } });
        expect(last.deployment.tasks).toHaveLength(3);
        expect(await refused(["deployment", "promote", "19990101.1"])).toMatch(/^404 Not Found: /);
        expect(await ok(["deployment", "promote", first.stdout.trim(), "--reason", "test"])).toBe(first.stdout);
      });
    });
  });
});
