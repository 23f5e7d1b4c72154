/** Files of versions (http §12), restore, fork and diff (docs/reference/workspace-extension.md), on trees that the worker's own chunk store has stored. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { imageOf, type StoredDevice, type TreeStore, treeStore } from "@helmr/test/platform";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Api, type Json, openApi } from "./api-fixture.ts";

const nowhere = "01980a00-0000-7000-8000-000000000001";
const big = randomBytes(9 * 1024 * 1024 + 11);
let api: Api;
let trees: TreeStore;
let first: StoredDevice;
let second: StoredDevice;
beforeAll(async () => {
  api = await openApi();
  trees = await treeStore(api.plane);
  const source = join(trees.directory, "source");
  await mkdir(join(source, "src"), { recursive: true });
  await writeFile(join(source, "README.md"), "# one\ntwo\n");
  await writeFile(join(source, "big.bin"), big);
  await writeFile(join(source, "ünï 🚀"), "named");
  await symlink("README.md", join(source, "link"));
  for (let index = 0; index < 30; index += 1) await writeFile(join(source, "src", `f${index}`), String(index));
  first = await trees.store(await imageOf(join(trees.directory, "first"), { from: source }));
  await writeFile(join(trees.directory, "changed"), "# one\n2\n");
  const changes = ["rm README.md", `write ${join(trees.directory, "changed")} README.md`, "rm src/f7", "mkdir src/new"];
  second = await trees.store(await imageOf(join(trees.directory, "second"), { from: source, debugfs: changes }), first.manifest);
}, 120_000);
afterAll(async () => {
  await trees.close();
  await api.close();
});

/** A workspace whose runs have left these trees. */
async function workspaceWith(...devices: StoredDevice[]): Promise<Json> {
  const worker = await api.worker();
  let workspaceId: string | undefined;
  for (const { artifact } of devices) {
    const { session, run } = await api.start(workspaceId === undefined ? {} : { workspace_id: workspaceId });
    workspaceId = session.workspace_id as string;
    const held = await api.take(worker, run.id);
    await held.started();
    const workspace = { status: "captured" as const, version_id: randomUUID(), artifact, size_bytes: 10, entry_count: 33 };
    await held.complete({ status: "succeeded", exit_code: 0 }, { workspace });
  }
  await worker.stop();
  return (await api.get(`/api/workspaces/${workspaceId}`)).json.workspace;
}

const filesOf = (workspace: Json, rest: string) => api.get(`/api/workspaces/${workspace.id}/files${rest}`);

async function bytesOf(path: string, headers: Record<string, string> = {}) {
  const response = await api.plane.api.open("GET", path, { headers });
  const parts: Buffer[] = [];
  for await (const part of response as AsyncIterable<Buffer>) parts.push(part);
  return { status: response.statusCode, headers: response.headers, bytes: Buffer.concat(parts) };
}

describe("files of the head", () => {
  let workspace: Json;
  beforeAll(async () => {
    workspace = await workspaceWith(first);
  });

  test("list, by pages and below directories", async () => {
    const { json } = await filesOf(workspace, "");
    expect(json.path).toBe(".");
    expect(json.next_cursor).toBeUndefined();
    expect(json.entries).toEqual([
      entry("README.md", { size_bytes: 10 }),
      entry("big.bin", { size_bytes: big.length }),
      entry("link", { kind: "symlink", link_target: "README.md", mode: 0o777, size_bytes: 9 }),
      entry("src", { kind: "directory", mode: 0o755 }),
      entry("ünï 🚀", { size_bytes: 5 }),
    ]);
    const names: string[] = [];
    for (let cursor = ""; ;) {
      const page = (await filesOf(workspace, `?path=src/&limit=7${cursor}`)).json;
      expect(page.path).toBe("src");
      names.push(...page.entries.map(({ path }: Json) => path));
      if (page.next_cursor === undefined) break;
      cursor = `&cursor=${encodeURIComponent(page.next_cursor)}`;
    }
    expect(names).toEqual(Array.from({ length: 30 }, (_, index) => `src/f${index}`).sort());
  });

  test("stat describes a link and does not follow it", async () => {
    expect((await filesOf(workspace, "/stat?path=link")).json.entry).toMatchObject({ kind: "symlink", link_target: "README.md" });
    expect((await filesOf(workspace, "/stat?path=.")).json.entry).toMatchObject({ path: ".", kind: "directory" });
    expect((await filesOf(workspace, "/stat?path=./src//f3")).json.entry).toMatchObject({ path: "src/f3", size_bytes: 1 });
  });

  test("content streams whole, in ranges, through links, with its headers", async () => {
    const path = `/api/workspaces/${workspace.id}/files/content?path=big.bin`;
    const whole = await bytesOf(path);
    expect(whole.status).toBe(200);
    expect(createHash("sha256").update(whole.bytes).digest("hex")).toBe(createHash("sha256").update(big).digest("hex"));
    expect(whole.headers).toMatchObject({
      "content-type": "application/octet-stream",
      "content-length": String(big.length),
      "x-helmr-workspace-version-id": workspace.current_version_id,
      "x-helmr-workspace-file-path": "big.bin",
      "x-helmr-workspace-file-size": String(big.length),
      "x-helmr-workspace-file-mode": "420",
    });
    const part = await bytesOf(path, { range: "bytes=5000000-5000009" });
    expect(part).toMatchObject({ status: 206, headers: { "content-range": `bytes 5000000-5000009/${big.length}` } });
    expect(part.bytes.equals(big.subarray(5_000_000, 5_000_010))).toBe(true);
    expect((await bytesOf(path, { range: "bytes=-4" })).bytes.equals(big.subarray(-4))).toBe(true);
    expect(await bytesOf(path, { range: `bytes=${big.length}-` })).toMatchObject({
      status: 416,
      headers: { "content-range": `bytes */${big.length}` },
    });
    expect((await bytesOf(path.replace("big.bin", "link"))).bytes.toString()).toBe("# one\ntwo\n");
    const named = await bytesOf(path.replace("big.bin", encodeURIComponent("ünï 🚀")));
    expect(named).toMatchObject({ status: 200, headers: { "x-helmr-workspace-file-path": encodeURI("ünï 🚀") } });
  });

  test.each([
    ["/stat?path=none", 404, "workspace_file_not_found"],
    ["/stat?path=README.md/x", 404, "workspace_file_not_found"],
    ["/content?path=none", 404, "workspace_file_not_found"],
    ["/content?path=src", 422, "workspace_file_not_regular"],
    ["?path=README.md", 422, "workspace_file_not_directory"],
    ["?path=none", 404, "workspace_file_not_found"],
    ["?path=/etc", 400, undefined],
    ["?path=a/../b", 400, undefined],
    ["/stat", 400, undefined],
    ["/content", 400, undefined],
    ["?limit=501", 400, undefined],
    ["?source=version", 400, "workspace_version_id_required"],
    [`?version_id=${nowhere}`, 400, "workspace_version_id_unexpected"],
    [`?workspace_mount_id=${nowhere}`, 400, "workspace_mount_id_unexpected"],
    [`?source=version&version_id=${nowhere}`, 404, "workspace_version_not_readable"],
  ])("files%s is %i", async (rest, status, code) => {
    const answer = await filesOf(workspace, rest);
    expect(answer.status, answer.text).toBe(status);
    expect(answer.json.code).toBe(code);
  });

  test("of another workspace are not there", async () => {
    expect((await filesOf({ id: nowhere }, "")).status).toBe(404);
    const other = (await api.post("/api/workspaces", { sandbox_id: "box" })).json.workspace;
    const borrowed = await filesOf(other, `?source=version&version_id=${workspace.current_version_id}`);
    expect(borrowed).toMatchObject({ status: 404, json: { code: "workspace_version_not_readable" } });
  });
});

test("a new workspace is empty", async () => {
  const { workspace } = (await api.post("/api/workspaces", { sandbox_id: "box" })).json;
  expect((await filesOf(workspace, "")).json).toEqual({ path: ".", entries: [] });
  expect((await filesOf(workspace, "/stat?path=.")).json.entry).toMatchObject({ path: ".", kind: "directory", size_bytes: 0 });
  expect(await filesOf(workspace, "/content?path=x")).toMatchObject({ status: 404, json: { code: "workspace_file_not_found" } });
});

test("damaged packs give an error, never other bytes", async () => {
  const image = await imageOf(join(trees.directory, "damaged"), { debugfs: [`write ${join(trees.directory, "changed")} only`] });
  const stored = await trees.store(image);
  const workspace = await workspaceWith(stored);
  for (const { object_key } of stored.artifact.packs) await rm(join(api.plane.config.blobDirectory, object_key));
  const answer = await filesOf(workspace, "/content?path=only");
  expect(answer).toMatchObject({ status: 404, json: { code: "workspace_version_not_readable" } });
});

describe("versions", () => {
  let workspace: Json;
  let versions: Json[];
  const diff = async (query: string) => (await api.get(`/api/workspaces/${workspace.id}/diff${query}`)).json;
  beforeAll(async () => {
    workspace = await workspaceWith(first, second);
    versions = (await api.get(`/api/workspaces/${workspace.id}/versions`)).json.versions;
  });

  test("each is read as it was", async () => {
    const [head, older] = versions;
    const read = async (version: Json) =>
      (
        await bytesOf(`/api/workspaces/${workspace.id}/files/content?path=README.md&source=version&version_id=${version.id}`)
      ).bytes.toString();
    expect(await read(head)).toBe("# one\n2\n");
    expect(await read(older)).toBe("# one\ntwo\n");
  });

  test("the head against its parent, page by page, one file as text", async () => {
    const whole = await diff("");
    expect(whole).toMatchObject({ from_version_id: versions[1].id, to_version_id: versions[0].id, path: "." });
    expect(whole.changes.map(({ path, change }: Json) => [path, change])).toEqual([
      ["README.md", "changed"],
      ["src/f7", "removed"],
      ["src/new", "added"],
    ]);
    expect(whole.changes[0]).toMatchObject({ before: { size_bytes: 10 }, after: { size_bytes: 8 } });
    const page = await diff("?limit=1");
    expect(page.next_cursor).toBe("README.md");
    expect((await diff(`?limit=2&cursor=${page.next_cursor}`)).changes.map(({ path }: Json) => path)).toEqual(["src/f7", "src/new"]);
    expect(await diff("/file?path=README.md")).toMatchObject({
      change: "changed",
      format: "text",
      unified: expect.stringContaining("-two\n+2\n"),
    });
    const created = await diff(`?to=${versions[1].id}`);
    expect(created.from_version_id).toBe(versions[2].id);
    expect(new Set(created.changes.map(({ change }: Json) => change))).toEqual(new Set(["added"]));
    const beginning = await diff(`?to=${versions[2].id}`);
    expect(beginning).toEqual({ to_version_id: versions[2].id, path: ".", changes: [] });
    expect((await api.get(`/api/workspaces/${workspace.id}/diff?from=${nowhere}`)).status).toBe(404);
    expect((await api.get(`/api/workspaces/${workspace.id}/diff?from_workspace_id=${nowhere}`)).status).toBe(400);
    expect((await api.get(`/api/workspaces/${workspace.id}/diff/file?path=none`)).status).toBe(404);
    expect((await api.get(`/api/workspaces/${workspace.id}/diff/file?path=src`)).status).toBe(422);
  });

  test("restore makes an old one the head, once, and only of the head that was expected", async () => {
    const own = await workspaceWith(first, second);
    const path = `/api/workspaces/${own.id}`;
    const all = (await api.get(`${path}/versions`)).json.versions;
    const moved = await api.post(`${path}/restore`, { version_id: all[1].id, expected_version_id: all[1].id });
    expect(moved).toMatchObject({ status: 409, json: { code: "workspace_head_moved" } });
    const restored = await api.post(`${path}/restore`, { version_id: all[1].id, expected_version_id: own.current_version_id });
    expect(restored.status).toBe(201);
    expect(restored.json.version).toMatchObject({
      kind: "user",
      state: "ready",
      parent_version_id: all[0].id,
      content_digest: all[1].content_digest,
    });
    expect(await api.post(`${path}/restore`, { version_id: all[1].id })).toMatchObject({
      status: 200,
      json: { is_unchanged: true, version: { id: restored.json.version.id } },
    });
    expect((await filesOf(own, "/stat?path=src/f7")).status).toBe(200);
    expect((await api.post(`${path}/restore`, { version_id: nowhere })).status).toBe(404);
    expect((await api.post(`${path}/restore`, { version_id: "x" })).status).toBe(400);
  });

  test("fork begins with a version's content and goes its own way", async () => {
    const path = `/api/workspaces/${workspace.id}/fork`;
    const body = { version_id: versions[1].id, external_id: "forked", tags: ["t"], idempotency_key: "fork" };
    const forked = await api.post(path, body);
    expect(forked).toMatchObject({
      status: 201,
      json: { workspace: { external_id: "forked", tags: ["t"], state: "active", sandbox_id: "box" } },
    });
    const fork = forked.json.workspace;
    expect(await api.post(path, body)).toMatchObject({ status: 201, json: { is_cached: true, workspace: { id: fork.id } } });
    expect(await api.post(path, { ...body, tags: [] })).toMatchObject({ status: 409, json: { code: "idempotency_fingerprint_mismatch" } });
    expect((await api.post(path, { external_id: "forked" })).status).toBe(409);
    expect((await api.get(`/api/workspaces/${fork.id}/versions`)).json.versions).toMatchObject([
      {
        id: fork.current_version_id,
        state: "ready",
        content_digest: versions[1].content_digest,
        message: expect.stringContaining(workspace.id),
      },
    ]);
    expect((await bytesOf(`/api/workspaces/${fork.id}/files/content?path=README.md`)).bytes.toString()).toBe("# one\ntwo\n");
    const against = `/api/workspaces/${workspace.id}/diff?from=${fork.current_version_id}&from_workspace_id=${fork.id}`;
    expect((await api.get(against)).json.changes).toHaveLength(3);
    const { session, run } = await api.start({ workspace_id: fork.id });
    expect(session.workspace_id).toBe(fork.id);
    const worker = await api.worker();
    const held = await api.take(worker, run.id);
    expect(held.lease.workspace.base?.artifact_id).toBe(first.artifact.artifact_id);
    await held.started();
    expect(await api.post(`/api/workspaces/${fork.id}/restore`, { version_id: fork.current_version_id })).toMatchObject({ status: 200 });
    await held.complete({ status: "succeeded", exit_code: 0 });
    expect((await api.post(`/api/workspaces/${nowhere}/fork`, {})).status).toBe(404);
    expect((await api.post(path, { version_id: nowhere })).status).toBe(404);
  });
});

function entry(name: string, over: object) {
  return { path: name, name, kind: "file", size_bytes: expect.any(Number), mode: 0o644, mod_time: expect.stringMatching(/Z$/), ...over };
}
