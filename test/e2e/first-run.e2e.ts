/** A user's first minutes: deploy an example, run it, look at it, and begin a project of their own outside the repository. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repository } from "./local-install.ts";
import { type SharedInstall, sharedInstall } from "./shared-install.ts";

const hello = join(repository, "examples", "hello");
const lines = (text: string) => text.split("\n").slice(0, -1);
const jsonLines = (text: string) => lines(text).map((line) => JSON.parse(line));

let install: SharedInstall;
let outside: string | undefined;
beforeAll(async () => {
  install = await sharedInstall();
  outside = await mkdtemp(join(tmpdir(), "helmr e2e outside "));
});
afterAll(async () => {
  install?.close();
  if (outside !== undefined) await rm(outside, { recursive: true, force: true });
});

describe("examples/hello", () => {
  let deployment: { id: string; version: string };

  test("is deployed by one command that tells its steps", async () => {
    const { code, stdout, stderr } = await install.local.helmr(["deploy", hello]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(lines(stdout)).toEqual([expect.stringMatching(/^\d{8}\.\d+$/)]);
    expect(lines(stderr).slice(0, 4)).toEqual(["Preparing project", "Inspecting config", "Creating archive", "Uploading deployment"]);
    expect(lines(stderr)[4]).toMatch(/^Deployment [0-9a-f-]{36} queued$/);
    expect(stderr).toContain("Compiling 1 module\n");
    expect(lines(stderr).at(-1)).toBe("Promoting deployment");
    ({ deployment } = await install.get("/api/deployments/current"));
    expect(deployment).toMatchObject({ version: lines(stdout)[0], status: "deployed", tasks: [{ task_id: "hello" }] });
  });

  test("runs to its end, with output, logs, events and a file in its workspace", async () => {
    const { code, stdout, stderr } = await install.local.helmr(["session", "start", "hello", "--payload", "name=Ada", "--wait", "--json"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { session, run, is_cached } = JSON.parse(stdout);
    expect(is_cached).toBeUndefined();
    expect(session).toMatchObject({ task_id: "hello", status: "open", current_run_id: run.id, active_deployment_id: deployment.id });
    expect(run).toMatchObject({
      session_id: session.id,
      task_id: "hello",
      status: "succeeded",
      exit_code: 0,
      output: { greeting: "Hello, Ada!" },
      attempt_number: 1,
      deployment_version: deployment.version,
    });

    const events = jsonLines((await install.local.helmr(["run", "events", run.id])).stdout);
    expect(events.map(({ id, kind }) => [id, kind])).toEqual([
      ["1", "run.created"],
      ["2", "log"],
      ["3", "run.completed"],
    ]);
    expect(events[0].attributes).toMatchObject({ task_id: "hello", payload: { name: "Ada" }, max_duration_seconds: 900 });
    expect(events[1].attributes).toEqual({ redacted: true });
    expect(events[2].attributes).toEqual({ exit_code: 0 });

    expect(await install.local.helmr(["run", "logs", run.id])).toMatchObject({ code: 0, stdout: "", stderr: "" });
    const records = jsonLines((await install.local.helmr(["run", "logs", run.id, "--records", "--json"])).stdout);
    expect(records).toMatchObject([{ stream: "logger", level: "info", message: "wrote greeting.txt" }]);

    expect(await install.get(`/api/sessions/${session.id}`)).toMatchObject({ status: "open", activity: "idle", can_close: true });
    const { versions } = await install.get(`/api/workspaces/${session.workspace_id}/versions`);
    expect(versions).toMatchObject([
      { state: "ready", artifact_entry_count: 1 },
      { state: "ready", artifact_entry_count: 0 },
    ]);
    // Without a machine: the one of the run is gone.
    expect(lines((await install.local.helmr(["workspace", "files", session.workspace_id])).stdout)).toEqual([
      expect.stringMatching(/^0644\t\d+\t[0-9T:Z-]+\tgreeting\.txt$/),
    ]);
    const printed = await install.local.helmr(["workspace", "cp", session.workspace_id, "greeting.txt", "-"]);
    expect(printed).toMatchObject({ code: 0, stdout: expect.stringContaining("Hello, Ada!"), stderr: "" });
    expect(await install.local.helmr(["workspace", "diff", session.workspace_id])).toMatchObject({ code: 0, stdout: "A greeting.txt\n" });
  });

  test("is deployed at once when it has not changed", async () => {
    const { code, stdout } = await install.local.helmr(["deploy", "--json", hello]);
    expect(code).toBe(0);
    const said = jsonLines(stdout);
    expect(said.at(-1)).toMatchObject({ type: "deployment_result", phase: "promoted", deployment: { id: deployment.id } });
    // Nothing was built again: what is told is the one build there was.
    expect(said.filter((line) => line.type === "deployment_event" && line.event.kind === "deployment.building")).toHaveLength(1);
    expect((await install.get("/api/deployments")).deployments.filter((one: { id: string }) => one.id === deployment.id)).toHaveLength(1);
  });
});

describe("a project of one's own", () => {
  test("begins in an empty folder, finds the SDK at the install, and runs", async () => {
    const project = join(outside!, "my project");
    const init = await install.local.helmr(["init", "--dir", project]);
    expect(init).toMatchObject({ code: 0, stderr: "" });
    expect(lines(init.stdout)).toEqual(["created helmr.config.ts", "created or updated package.json", "created tasks/hello.ts"]);
    expect(await readFile(join(project, ".npmrc"), "utf8")).toContain(`@helmr:registry=${install.ready.api_url}/npm/`);

    const deployed = await install.local.helmr(["deploy"], { cwd: project });
    expect(deployed, deployed.stderr).toMatchObject({ code: 0 });
    // The SDK came by npm, from the server's own registry.
    expect(await readdir(join(project, "node_modules", "@helmr"))).toEqual(["sdk"]);
    const packument = await (await fetch(`${install.ready.api_url}/npm/@helmr%2fsdk`)).json();
    const locked = JSON.parse(await readFile(join(project, "package-lock.json"), "utf8")).packages["node_modules/@helmr/sdk"];
    expect(locked.integrity).toBe(packument.versions[locked.version].dist.integrity);

    const ran = await install.play("hello", { payload: { name: "Grace" } });
    expect(ran.run).toMatchObject({
      status: "succeeded",
      output: { greeting: "Hello, Grace!" },
      deployment_version: deployed.stdout.trim(),
    });
  });

  test("cannot be begun twice by accident", async () => {
    const again = await install.local.helmr(["init", "--dir", join(outside!, "my project")]);
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toContain("pass --force to overwrite");
  });
});

describe("the front door", () => {
  test("says where the install is", async () => {
    const { stdout } = await install.local.helmr(["env"]);
    expect(lines(stdout)).toEqual([`export HELMR_API_URL='${install.ready.api_url}'`, `export HELMR_API_KEY='${install.ready.api_key}'`]);
    expect(await install.local.helmr(["whoami"])).toMatchObject({ code: 0, stdout: `api_key ${install.ready.api_url}\n` });
  });

  test("has an accelerator that was proved", () => {
    expect(["kvm", "tcg"]).toContain(install.ready.accelerator);
    expect(install.ready.state_dir).toBe(install.local.state);
  });
});
