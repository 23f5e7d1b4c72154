import { expect, test } from "vitest";
import { defineConfig, readConfig, type HelmrConfigInput } from "./config.ts";
import { cache, image, imageData } from "./image.ts";
import { queue } from "./queue.ts";
import { sandbox, sandboxData, type SandboxNetwork } from "./sandbox.ts";
import { validateSecretName } from "./secret-name.ts";
import { secretDeclarations } from "./secrets.ts";
import { source } from "./source.ts";

test("defineConfig() copies its lists and is recognised by its brand", () => {
  const dirs = ["./tasks"];
  const config = defineConfig({ project: "p", dirs, ignorePatterns: [] });
  dirs.push("./more");
  expect(config).toEqual({ project: "p", dirs: ["./tasks"], ignorePatterns: [] });
  expect(defineConfig({ project: "p", dirs: ["a"] })).toEqual({ project: "p", dirs: ["a"] });
  expect(readConfig(config)).toEqual({ ok: true, config });
  for (const other of [undefined, null, { ...config }, "x"])
    expect(readConfig(other)).toMatchObject({ ok: false, failure: { kind: "missing_config" } });
});

test.each([
  [{ project: " ", dirs: ["a"] }, "project of helmr.config.ts must be a text that is not blank"],
  [{ project: "a\0", dirs: ["a"] }, "project of helmr.config.ts must be"],
  [{ dirs: ["a"] }, "and is undefined"],
  [{ project: "p" }, "dirs of helmr.config.ts must be a list of texts"],
  [{ project: "p", dirs: [] }, "dirs of helmr.config.ts must name at least one directory"],
  [{ project: "p", dirs: ["a", ""] }, "dirs[1] of helmr.config.ts must be"],
  [{ project: "p", dirs: ["a"], ignorePatterns: "x" }, "ignorePatterns of helmr.config.ts must be a list of texts"],
  [{ project: "p", dirs: ["a"], ignorePatterns: ["\0"] }, "ignorePatterns[0] of helmr.config.ts must be"],
])("defineConfig(%j) is refused", (input, message) => {
  expect(() => defineConfig(input as unknown as HelmrConfigInput)).toThrow(message);
});

test("an image builder is immutable: each call gives a new one", () => {
  const base = image("app").from("node:24");
  const left = base.run(["npm", "ci"], {
    cache: [{ mountPath: "/root/.npm", cache: cache("npm") }],
    secrets: [{ mountPath: "/run/key", secret: "KEY" }],
  });
  const right = base
    .workdir("/app")
    .env("A", "b")
    .user("node")
    .copy("/app", source.directory("src", { ignore: ["*.md"] }));
  expect(imageData(base)?.steps).toEqual([{ kind: "from", ref: "node:24" }]);
  expect(imageData(left)?.steps[1]).toEqual({
    kind: "run",
    argv: ["npm", "ci"],
    caches: [{ mountPath: "/root/.npm", id: "npm" }],
    secrets: [{ mountPath: "/run/key", secret: "KEY" }],
  });
  expect(imageData(right)?.steps.slice(1)).toEqual([
    { kind: "workdir", path: "/app" },
    { kind: "env", key: "A", value: "b" },
    { kind: "user", name: "node" },
    { kind: "copy", destination: "/app", source: { kind: "directory", path: "src", ignore: ["*.md"] } },
  ]);
  const copied = image("other").from("debian").copy("/x", base).copyFrom("/y", left, "/z").copy("/f", source.file("a.txt"));
  expect(imageData(copied)?.steps.slice(1)).toEqual([
    { kind: "copyFrom", destination: "/x", image: imageData(base), source: "/" },
    { kind: "copyFrom", destination: "/y", image: imageData(left), source: "/z" },
    { kind: "copy", destination: "/f", source: { kind: "file", path: "a.txt" } },
  ]);
});

test("an image checks secret names and what it copies from", () => {
  expect(() => image("a").run(["x"], { secrets: [{ mountPath: "/s", secret: "-bad" }] })).toThrow(
    'secret of a run step of image "a" must begin with a letter or digit',
  );
  expect(() => image("a").copy("/x", { kind: "file", path: "a" })).toThrow(
    "needs source.file(path), source.directory(path) or another image",
  );
  expect(() => image("a").copyFrom("/x", {} as ReturnType<typeof image>, "/")).toThrow("needs another image");
  expect(() => image(" ")).toThrow("not blank");
  expect(() => cache("")).toThrow("not blank");
});

test("a sandbox builder collects in place and returns itself", () => {
  const builder = sandbox("box");
  expect(sandboxData(builder)).toEqual({ id: "box", workspacePath: "/workspace", resources: {}, network: { internet: true } });
  const same = builder
    .image(image("a").from("x"))
    .workspace("//srv/./data/")
    .resources({ cpu: 4, memory: "4Gi", disk: 512 })
    .network({ internet: { allow: [" api.example.com "], deny: [] } });
  expect(same).toBe(builder);
  expect(sandboxData(builder)).toMatchObject({
    workspacePath: "/srv/data",
    resources: { cpu: 4, memory: "4Gi", disk: 512 },
    network: { internet: true, allow: ["api.example.com"] },
  });
  expect(sandboxData(builder)?.network).not.toHaveProperty("deny");
  builder.network({ internet: false });
  expect(sandboxData(builder)?.network).toEqual({ internet: false });
});

test.each([
  ["relative", "must be an absolute path"],
  ["/", 'must not be "/"'],
  ["//.", 'must not be "/"'],
  ["/a/../b", 'must not contain ".."'],
  ["/a\0", "must not contain NUL"],
  ["/tmp", "reserved path /tmp"],
  ["/opt/helmr/x", "reserved path /opt/helmr"],
  ["/dev//shm", "reserved path /dev"],
  ["/.helmr-old-root", "reserved path /.helmr-old-root"],
])("workspace(%j) is refused", (path, message) => {
  expect(() => sandbox("box").workspace(path)).toThrow(message);
});

test("workspace() takes names that only begin like a reserved path", () => {
  for (const path of ["/tmpdir", "/opt/helmr-task2", "/running"])
    expect(sandboxData(sandbox("b").workspace(path))?.workspacePath).toBe(path);
});

test.each([{ internet: { allow: [" "] } }, { internet: { deny: [5] } }, { internet: "yes" }, { internet: { allow: "x" } }])(
  "network(%j) is refused",
  (network) => {
    expect(() => sandbox("box").network(network as unknown as SandboxNetwork)).toThrow(/of sandbox "box"/);
  },
);

test("queue() checks id and limit", () => {
  expect(queue({ id: "a/b", concurrencyLimit: 1 })).toEqual({ id: "a/b", concurrencyLimit: 1 });
  expect(queue({ id: "a", concurrencyLimit: null })).toEqual({ id: "a", concurrencyLimit: null });
  expect(queue({ id: "a" })).toEqual({ id: "a" });
  for (const concurrencyLimit of [0, -1, 1.5, "2"])
    expect(() => queue({ id: "a", concurrencyLimit: concurrencyLimit as number })).toThrow("must be a positive whole number");
  for (const id of ["", "/a", "a b", "x".repeat(257)]) expect(() => queue({ id })).toThrow("queue id must match");
});

test("validateSecretName() names the rule that is broken", () => {
  validateSecretName("A.b-c_9");
  validateSecretName("x".repeat(128));
  expect(() => validateSecretName("")).toThrow("secret name must not be empty");
  expect(() => validateSecretName("x".repeat(129), "name")).toThrow("name must have at most 128 characters, and has 129");
  expect(() => validateSecretName("_a")).toThrow("must begin with a letter or digit");
  expect(() => validateSecretName("a b")).toThrow('and is "a b"');
});

test("secretDeclarations() gives normal forms", () => {
  const declared = [
    { name: "A", env: "A_TOKEN" },
    { name: "B", file: "./keys//b", mode: "0o640", owner: "node" },
    { name: "C", dir: "/etc/c/", mode: "700" },
  ];
  expect(secretDeclarations("t", declared)).toEqual([
    { name: "A", env: "A_TOKEN" },
    { name: "B", file: "keys/b", mode: "0o640", owner: "node" },
    { name: "C", dir: "/etc/c", mode: "700" },
  ]);
  expect(secretDeclarations("t", undefined)).toEqual([]);
});

test.each([
  [{}, 'secrets of task "t" must be a list'],
  [["A"], 'secrets[0] of task "t" must be an object'],
  [[{ name: "-", env: "A" }], 'secrets[0] of task "t": name must begin'],
  [[{ name: "A" }], "needs exactly one of env, file and dir"],
  [[{ name: "A", env: "A", file: "a" }], "needs exactly one of env, file and dir"],
  [[{ name: "A", env: "A", mode: "600" }], 'has an unknown key "mode"; allowed are name, env'],
  [[{ name: "A", file: "a", extra: 1 }], 'has an unknown key "extra"'],
  [[{ name: "A", env: "1A" }], "env must match"],
  [[{ name: "A", env: "LD_PRELOAD" }], "env must not begin with LD_"],
  [[{ name: "A", file: " a" }], "without surrounding blanks"],
  [[{ name: "A", file: "." }], "must name something"],
  [[{ name: "A", dir: "/" }], "must name something"],
  [[{ name: "A", file: "a/../b" }], 'must not contain ".."'],
  [[{ name: "A", file: "/run/a" }], "reserved path /run"],
  [[{ name: "A", file: "a", mode: "1777" }], "mode must be octal text of at most 0777"],
  [[{ name: "A", file: "a", mode: "8" }], "mode must be octal text"],
  [[{ name: "A", file: "a", mode: 384 }], "and is 384"],
  [[{ name: "A", file: "a", owner: " " }], "owner must be a user name"],
  [
    [
      { name: "A", env: "A" },
      { name: "A", file: "a" },
    ],
    'secret "A" is declared twice',
  ],
])("secretDeclarations(%j) is refused", (secrets, message) => {
  expect(() => secretDeclarations("t", secrets)).toThrow(message);
});
