/** Help pages and completion scripts against the files in `packages/cli/golden`; `vitest -u` writes them anew. */
import { execFile } from "node:child_process";
import { readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { flagName } from "./command.ts";
import { commands, groups } from "./commands/catalog.ts";
import { testEnvironment } from "./testing/environment.ts";
import { runInProcess } from "./testing/run-in-process.ts";

const golden = fileURLToPath(new URL("../golden", import.meta.url));
const fileOf = (name: string) => path.join(golden, "help", `${name.replaceAll(" ", "-")}.txt`);
const pages = ["helmr", ...groups.map(({ name }) => name), ...commands.map(({ name }) => name)].filter(
  (name, index, all) => all.indexOf(name) === index,
);

describe("help", () => {
  test.each(pages)("of %s", async (name) => {
    const words = name === "helmr" ? [] : name.split(" ");
    const page = await runInProcess([...words, "--help"]);
    expect(page).toMatchObject({ code: 0, stderr: "" });
    await expect(page.stdout).toMatchFileSnapshot(fileOf(name));
    expect(await runInProcess(["help", ...words])).toEqual(page);
    expect(await runInProcess([...words, "-h"])).toEqual(page);
  });

  test("has no page left over", async () => {
    expect((await readdir(path.join(golden, "help"))).sort()).toEqual(pages.map((name) => path.basename(fileOf(name))).sort());
  });

  test("is also what a group without a verb shows", async () => {
    for (const name of ["", "session", "session stream input", "workspace pty"]) {
      const words = name === "" ? [] : name.split(" ");
      expect(await runInProcess(words)).toEqual(await runInProcess([...words, "--help"]));
    }
  });

  test("names every group that has a command", () => {
    const nouns = commands.flatMap(({ name }) =>
      name
        .split(" ")
        .slice(0, -1)
        .map((_word, depth, words) => words.slice(0, depth + 1).join(" ")),
    );
    expect(new Set(groups.map(({ name }) => name))).toEqual(new Set(nouns));
  });

  test("shows examples that begin with the command and use its flags only", () => {
    for (const spec of commands) {
      expect(spec.examples.length, spec.name).toBeGreaterThan(0);
      const known = new Set([
        "--api-url",
        "-a",
        ...Object.entries(spec.flags).flatMap(([key, flag]) => [`--${flagName(key)}`, ...(flag.short ? [`-${flag.short}`] : [])]),
      ]);
      for (const { command } of spec.examples) {
        expect(command, spec.name).toContain(`helmr ${spec.name}`);
        const own = command
          .slice(command.indexOf(`helmr ${spec.name}`))
          .split(" -- ")[0]!
          .split(" < ")[0]!;
        const used = own.replaceAll(/'[^']*'/g, "").match(/(?<=\s)--?[a-z][a-z-]*/g) ?? [];
        expect(
          used.filter((flag) => !known.has(flag)),
          command,
        ).toEqual([]);
      }
    }
  });
});

describe("usage errors", () => {
  test.each([
    [["sesion"], "unknown command 'sesion' (Did you mean session?)"],
    [["session", "strat", "x"], "unknown command 'strat' (Did you mean start?)"],
    [["session", "start"], "missing required argument 'TASK'"],
    [["whoami", "x"], "too many arguments for 'whoami'. Expected 0 arguments but got 1: x."],
    [["run", "list", "--josn"], "unknown option '--josn' (Did you mean --json?)"],
    [["run", "list", "--session"], "option '--session <ID>' argument missing"],
    [["workspace", "create"], "--sandbox is required"],
    [["token", "complete", "t"], "--data-json is required"],
    [["completion", "tcsh"], 'no completion for "tcsh"; use bash, zsh or fish'],
    [["run", "list", "--json", "--jsonl"], "--json and --jsonl cannot be used together"],
    [["task", "get", "a/b"], 'invalid task id "a/b": it must match ^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'],
  ])("%j are one line without usage text", async (argv, line) => {
    expect(await runInProcess(argv)).toEqual({ code: 1, stdout: "", stderr: `${line}\n` });
  });

  test("a command of the front door says where it is", async () => {
    const stderr = "up belongs to the single-machine install; run ./helmr up in a checkout of Helmr\n";
    expect(await runInProcess(["up", "--detach"])).toEqual({ code: 1, stdout: "", stderr });
  });

  test("--version prints the bare version", async () => {
    expect(await runInProcess(["--version"])).toEqual({ code: 0, stdout: "0.1.0\n", stderr: "" });
  });
});

describe("completion", () => {
  const env = testEnvironment();
  const run = promisify(execFile);

  test.each(["bash", "zsh", "fish"])("for %s", async (shell) => {
    const { code, stdout } = await runInProcess(["completion", shell]);
    expect(code).toBe(0);
    await expect(stdout).toMatchFileSnapshot(path.join(golden, "completion", `helmr.${shell}`));
  });

  test.each([
    [
      "",
      [
        "init",
        "login",
        "logout",
        "whoami",
        "deploy",
        "deployment",
        "sandbox",
        "task",
        "session",
        "run",
        "token",
        "workspace",
        "project",
        "env",
        "secret",
        "completion",
      ],
    ],
    ["de", ["deploy", "deployment"]],
    ["session ", ["start", "list", "get", "close", "cancel", "stream"]],
    ["session stream input ", ["send", "list"]],
    ["-a https://h session -", ["--api-url", "-a", "--help", "-h"]],
    ["run wait --ti", ["--timeout"]],
    ["run wait --timeout ", []],
    ["run wait some-id --exit", ["--exit-status"]],
    ["workspace exec W -- l", []],
    ["completion ", ["bash", "zsh", "fish"]],
  ])("in bash behind %j", async (typed, expected) => {
    const script = path.join(env.directory, "helmr.bash");
    await writeFile(script, (await runInProcess(["completion", "bash"])).stdout);
    const words = ["helmr", ...typed.split(" ")];
    const quoted = words.map((word) => `'${word}'`).join(" ");
    const program = `source '${script}'; COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _helmr; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await run("bash", ["--norc", "-c", program], { timeout: 10_000 });
    expect(stdout.split("\n").filter((line) => line !== "")).toEqual(expected);
  });
});
