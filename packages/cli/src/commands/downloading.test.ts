/** `workspace cp` and `workspace diff --patch`: several requests, and files of this machine. */
import { mkdtemp, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testEnvironment } from "../testing/environment.ts";

const env = testEnvironment();
const id = "01980a00-0000-7000-8000-000000000007";
const base = `/api/workspaces/${id}`;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "helmr-cli-cp-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const file = (at: string, size: number, mode = 0o644) => ({ path: at, kind: "file", size_bytes: size, mode });
const cp = (...argv: string[]) => env.withKey(["workspace", "cp", id, ...argv], { cwd: directory });

describe("workspace cp", () => {
  test("a file to stdout and to a name, bit for bit", async () => {
    const bytes = Buffer.from([0, 255, 10, 13, 128]);
    env.server
      .on(`GET ${base}/files/content`, { headers: { "content-type": "application/octet-stream" }, body: bytes })
      .on(`GET ${base}/files/stat`, { body: { entry: file("dir/a.bin", 5, 0o755) } });
    expect(await cp("dir/a.bin", "-")).toMatchObject({ code: 0, stderr: "" });
    expect(await cp("dir/a.bin")).toMatchObject({ code: 0, stdout: `${path.join(directory, "a.bin")}\n` });
    expect(await readFile(path.join(directory, "a.bin"))).toEqual(bytes);
    expect((await stat(path.join(directory, "a.bin"))).mode & 0o700).toBe(0o700);
    expect(await cp("dir/a.bin")).toMatchObject({ code: 1, stderr: expect.stringContaining("exists already") });
  });

  test("a directory with what is in it; links stay links and are not written through", async () => {
    env.server
      .on(`GET ${base}/files/stat`, { body: { entry: { path: "src", kind: "directory", size_bytes: 0, mode: 0o755 } } })
      .on(`GET ${base}/files`, ({ query }) => ({
        body:
          query["path"] === "src"
            ? { path: "src", entries: [file("src/f", 3), { path: "src/d", kind: "directory", size_bytes: 0, mode: 0o500 }] }
            : { path: "src/d", entries: [{ path: "src/d/l", kind: "symlink", size_bytes: 4, mode: 0o777, link_target: "../../../etc" }] },
      }))
      .on(`GET ${base}/files/content`, { headers: { "content-type": "application/octet-stream" }, body: "abc" });
    expect(await cp("src", "out")).toMatchObject({ code: 0 });
    expect(await readFile(path.join(directory, "out/f"), "utf8")).toBe("abc");
    expect(await readlink(path.join(directory, "out/d/l"))).toBe("../../../etc");
    await writeFile(path.join(directory, "elsewhere"), "mine");
    await symlink("elsewhere", path.join(directory, "trap"));
    expect(await cp("src", "trap")).toMatchObject({ code: 1 });
    expect(await readFile(path.join(directory, "elsewhere"), "utf8")).toBe("mine");
  });

  test.each(["../evil", ".."])("refuses the name %s that a server gives", async (name) => {
    env.server
      .on(`GET ${base}/files/stat`, { body: { entry: { path: "src", kind: "directory", size_bytes: 0, mode: 0o755 } } })
      .on(`GET ${base}/files`, { body: { path: "src", entries: [file(`src/${name}`, 1)] } })
      .on(`GET ${base}/files/content`, { headers: { "content-type": "application/octet-stream" }, body: "x" });
    await cp("src", "out");
    await expect(stat(path.join(directory, "evil"))).rejects.toThrow("ENOENT");
  });
});

test("workspace diff --patch shows text, and says what it does not show", async () => {
  const changes = ["a", "b", "c"].map((at) => ({ path: at, change: "changed", before: file(at, 1), after: file(at, 2) }));
  const sides = { from_version_id: "v1", to_version_id: "v2" };
  env.server
    .on(
      `GET ${base}/diff`,
      { body: { ...sides, path: ".", changes: changes.slice(0, 1), next_cursor: "a" } },
      { body: { ...sides, path: ".", changes: changes.slice(1) } },
    )
    .on(`GET ${base}/diff/file`, ({ query }) => {
      const text = { ...sides, path: query["path"], change: "changed" };
      if (query["path"] === "a") return { body: { ...text, format: "text", unified: "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-1\n+2\n" } };
      return { body: { ...text, format: query["path"] === "b" ? "binary" : "too_large" } };
    });
  const shown = await env.withKey(["workspace", "diff", id, "--patch"]);
  expect(shown).toEqual({
    code: 0,
    stderr: "",
    stdout: "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-1\n+2\nM b (binary)\nM c (too large to show)\n",
  });
  expect(env.server.requests.slice(1).map(({ query }) => query)).toEqual([
    { from: "v1", to: "v2", cursor: "a", limit: "500" },
    { from: "v1", to: "v2", path: "a" },
    { from: "v1", to: "v2", path: "b" },
    { from: "v1", to: "v2", path: "c" },
  ]);
});
