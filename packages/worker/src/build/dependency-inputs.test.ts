import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tar } from "../images/layers/layer.fixture.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { dependencyInputs, explainInstall, installKey } from "./dependency-inputs.ts";

const root = temporaryDirectory("dependency-inputs");
let count = 0;

function inputsOf(files: Record<string, string>) {
  count += 1;
  const path = join(root, `${count}.tar`);
  writeFileSync(path, tar(...Object.entries(files).map(([name, data]) => ({ path: name, data }))));
  return dependencyInputs(path, AbortSignal.timeout(10_000));
}

const manifest = (more: object = {}) =>
  JSON.stringify({ name: "p", packageManager: "pnpm@9.15.0", dependencies: { "@helmr/sdk": "0.1.0", "is-odd": "3.0.1" }, ...more });
const source = { "package.json": manifest(), "pnpm-lock.yaml": "one", "tasks/a.ts": "a", "patches/is-odd.patch": "p" };

test("a changed task file changes nothing, what the package manager reads does, and the reason is said", async () => {
  const first = await inputsOf(source);
  expect(first).toMatchObject({ manager: "pnpm", isShared: true });
  if (first === undefined) throw new TypeError("There are dependencies");
  const reasonOf = async (change: Record<string, string>) => {
    const next = await inputsOf({ ...source, ...change });
    if (next === undefined) throw new TypeError("There are dependencies");
    return installKey(next.inputs) === installKey(first.inputs) ? "the same" : explainInstall(next.inputs, first.inputs);
  };
  expect(await reasonOf({ "tasks/a.ts": "b" })).toBe("the same");
  expect(await reasonOf({ "package.json": manifest({ scripts: { test: "x" } }) })).toBe("the same");
  expect(await reasonOf({ "pnpm-lock.yaml": "two" })).toBe("the lock file changed");
  expect(await reasonOf({ "package.json": manifest({ pnpm: { overrides: {} } }) })).toBe("package.json changed");
  expect(await reasonOf({ "package.json": manifest({ packageManager: "pnpm@10.0.0" }) })).toBe("the package manager changed");
  expect(await reasonOf({ ".npmrc": "registry=x" })).toBe("the settings of the package manager changed");
  expect(await reasonOf({ "patches/is-odd.patch": "q" })).toBe("the settings of the package manager changed");
});

test.each([
  ["no lock file", { "package.json": manifest() }],
  ["workspaces", { "package.json": manifest({ workspaces: ["packages/*"] }), "pnpm-lock.yaml": "one" }],
  ["a local package", { "package.json": manifest({ dependencies: { left: "file:left" } }), "pnpm-lock.yaml": "one" }],
])("with %s every file counts", async (_name, files) => {
  const one = await inputsOf({ ...files, "tasks/a.ts": "a" });
  const other = await inputsOf({ ...files, "tasks/a.ts": "b" });
  expect([one?.isShared, other?.isShared]).toEqual([false, false]);
  expect(installKey(one?.inputs ?? {})).not.toBe(installKey(other?.inputs ?? {}));
});

test("the SDK alone, and a source that cannot be read, need no installation", async () => {
  expect(await inputsOf({ ...source, "package.json": manifest({ dependencies: { "@helmr/sdk": "0.1.0" } }) })).toBeUndefined();
  expect(await inputsOf({ "package.json": "{" })).toBeUndefined();
});
