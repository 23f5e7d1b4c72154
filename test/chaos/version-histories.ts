/**
 * Random histories of workspaces against a model: commits (also beside the collection), restores, forks, deletions, retention, collection. The model knows each
 * version's files; mke2fs makes them, the worker's chunk store stores them, the API reads them back. Nothing is mocked but the machine.
 *
 * To replay a history: its seed is in the name of the test.
 */
import { randomUUID } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ChunkManifest } from "@helmr/protocol/worker";
import {
  type ControlPlane,
  controlPlane,
  deployProject,
  type FakeWorker,
  fakeWorker,
  imageOf,
  type TreeStore,
  treeStore,
} from "@helmr/test/platform";
import { brokenInvariants, type TestDatabase, testDatabase, until } from "@helmr/test/services";
import pg from "pg";

type Tree = ReadonlyMap<string, string>;
interface ModelVersion {
  id: string;
  tree: Tree;
  /** Of the last store of this content: what the next commit is a change of. */
  manifest: ChunkManifest | undefined;
  explicit: boolean;
  gone: boolean;
}
interface ModelWorkspace {
  id: string;
  versions: ModelVersion[];
  head: ModelVersion;
  state: "active" | "archived" | "deleted";
}

const operations = join(import.meta.dirname, "..", "..", "packages", "server", "src", "operations");
const load = async (name: string) =>
  (await import(pathToFileURL(join(operations, `${name}.ts`)).href)) as Record<
    string,
    (...args: unknown[]) => Promise<{ changed: number }>
  >;
const { markStorage, giveUpStorage, purgeStorage } = await load("collect-storage");
const { retireVersions, removeDeletedWorkspaces } = await load("retire-versions");

/** Small, seeded, good enough for choices. */
function choices(seed: number): { below(limit: number): number; of<T>(items: readonly T[]): T } {
  let state = seed >>> 0 || 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return { below: (limit) => next() % limit, of: (items) => items[next() % items.length]! };
}

export class History {
  private readonly choose: ReturnType<typeof choices>;
  private readonly workspaces: ModelWorkspace[] = [];
  private count = 0;
  private readonly parts: { plane: ControlPlane; database: TestDatabase; trees: TreeStore; worker: FakeWorker };

  private constructor(seed: number, parts: History["parts"]) {
    this.choose = choices(seed);
    this.parts = parts;
  }

  static async open(seed: number): Promise<History> {
    const database = await testDatabase();
    const plane = await controlPlane({ databaseUrl: database.url, migrated: true });
    await deployProject(plane);
    const trees = await treeStore(plane);
    const worker = await fakeWorker({ url: plane.url, enrollmentSecret: plane.enrollmentSecret, claims: false });
    return new History(seed, { plane, database, trees, worker });
  }

  /** One random act; then one version of one workspace is read whole. Returns what it was. */
  async step(): Promise<string> {
    const act =
      this.workspaces.length === 0
        ? "create"
        : this.choose.of(["create", "commit", "commit", "commit", "restore", "fork", "delete", "retire", "collect"]);
    const active = this.workspaces.filter(({ state }) => state === "active");
    const readable = this.workspaces.filter(({ state }) => state !== "deleted");
    if (act === "create") await this.create();
    else if (act === "retire") await this.retire();
    else if (act === "collect") await this.collect();
    else if (act === "fork" && readable.length > 0) await this.fork(this.choose.of(readable));
    else if (act === "commit" && active.length > 0) await this.commit(this.choose.of(active));
    else if (act === "restore" && active.length > 0) await this.restore(this.choose.of(active));
    else if (act === "delete" && active.length > 1) await this.remove(this.choose.of(active));
    const some = this.workspaces.filter(({ state }) => state !== "deleted");
    if (some.length > 0) {
      const workspace = this.choose.of(some);
      await this.expectVersion(workspace, this.choose.of(workspace.versions));
    }
    return act;
  }

  private async call(method: string, path: string, body?: unknown) {
    const answer = await this.parts.plane.api.call(method, path, body === undefined ? {} : { body });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.json;
  }

  private async create(): Promise<void> {
    const { workspace } = await this.call("POST", "/api/workspaces", { sandbox_id: "box" });
    const first = { id: workspace.current_version_id, tree: new Map(), manifest: undefined, explicit: false, gone: false };
    this.workspaces.push({ id: workspace.id, versions: [first], head: first, state: "active" });
  }

  private edited(tree: Tree): Tree {
    const next = new Map(tree);
    for (let left = 1 + this.choose.below(6); left > 0; left -= 1) {
      this.count += 1;
      const path = this.choose.of(["a", "b", "c/d", "c/e/f", "g/h"]) + this.choose.below(4);
      if (this.choose.below(4) === 0) next.delete(path);
      else next.set(path, `${this.count} `.repeat(1 + this.choose.below(40_000)));
    }
    return next;
  }

  private async commit(workspace: ModelWorkspace): Promise<void> {
    const tree = this.edited(workspace.head.tree);
    const stored = await this.stored(tree, workspace.head.manifest);
    const { run } = await this.call("POST", "/api/sessions", { task_id: "hello", workspace_id: workspace.id });
    const { worker } = this.parts;
    const held = await until("the run is leased", async () => {
      const leases = [...worker.held.values(), ...(await worker.claim({ kinds: ["run"], wait_ms: 2_000 }))];
      const lease = leases.find((item) => item.kind === "run" && item.run.id === run.id);
      return lease?.kind === "run" ? worker.take(lease) : undefined;
    });
    await held.started();
    const id = randomUUID();
    const result = { status: "captured" as const, version_id: id, artifact: stored.artifact, size_bytes: 1, entry_count: tree.size };
    // The collection decides at the same moment.
    await Promise.all([held.complete({ status: "succeeded", exit_code: 0 }, { workspace: result }), this.collectOnce()]);
    this.advance(workspace, { id, tree, manifest: stored.manifest, explicit: false, gone: false });
  }

  private async stored(tree: Tree, parent: ChunkManifest | undefined) {
    const { trees } = this.parts;
    const place = join(trees.directory, `tree-${(this.count += 1)}`);
    await mkdir(place);
    for (const [path, content] of tree) {
      await mkdir(dirname(join(place, path)), { recursive: true });
      await writeFile(join(place, path), content);
    }
    const image = await imageOf(`${place}.img`, { from: place, sizeMib: 16 });
    const stored = await trees.store(image, parent);
    await rm(place, { recursive: true });
    await rm(image);
    return stored;
  }

  private advance(workspace: ModelWorkspace, version: ModelVersion): void {
    workspace.versions.push(version);
    workspace.head = version;
  }

  private async restore(workspace: ModelWorkspace): Promise<void> {
    const source = this.choose.of(workspace.versions.filter(({ gone }) => !gone));
    const { version } = await this.call("POST", `/api/workspaces/${workspace.id}/restore`, {
      version_id: source.id,
      expected_version_id: workspace.head.id,
    });
    if (version.id !== workspace.head.id) this.advance(workspace, { ...source, id: version.id, explicit: true });
  }

  private async fork(workspace: ModelWorkspace): Promise<void> {
    const source = this.choose.of(workspace.versions.filter(({ gone }) => !gone));
    const { workspace: made } = await this.call("POST", `/api/workspaces/${workspace.id}/fork`, { version_id: source.id });
    const first = { ...source, id: made.current_version_id, explicit: false };
    this.workspaces.push({ id: made.id, versions: [first], head: first, state: "active" });
  }

  private async remove(workspace: ModelWorkspace): Promise<void> {
    await this.call("DELETE", `/api/workspaces/${workspace.id}`);
    workspace.state = "archived";
    if (this.choose.below(2) === 0) return;
    await removeDeletedWorkspaces!(this.parts.plane.parts.engine, { keptMs: 0 });
    for (const each of this.workspaces) if (each.state === "archived") each.state = "deleted";
  }

  /** All that is not the head, not explicit, and not the newest one or two. */
  private async retire(): Promise<void> {
    await retireVersions!(this.parts.plane.parts.engine, { versionsKeptMs: 0, failedVersionsKeptMs: 0, versionsKeptMin: 2 });
    for (const { versions, head, state } of this.workspaces) {
      if (state === "deleted") continue;
      const ready = versions.filter(({ gone }) => !gone);
      for (const version of ready.slice(0, -2))
        if (!version.explicit && version !== head && version.manifest !== undefined) version.gone = true;
    }
  }

  private async collectOnce(): Promise<number> {
    const { engine } = this.parts.plane.parts;
    await markStorage!(engine);
    const { changed } = await giveUpStorage!(engine, { graceMs: 0 });
    await purgeStorage!(engine);
    return changed;
  }

  /** Until nothing is left to do; then the store holds exactly what the versions of the database need. */
  async collect(): Promise<void> {
    for (let left = 8; left > 0 && (await this.collectOnce()) > 0; left -= 1);
    const client = new pg.Client({ connectionString: this.parts.database.url });
    await client.connect();
    try {
      const { rows } = await client.query<{ key: string }>(
        `with live as (select distinct artifact_id as id from workspace_versions where artifact_id is not null)
         select a.manifest_key as key from artifacts a join live on live.id = a.id
         union select p.object_key from artifact_packs ap join live on live.id = ap.artifact_id join packs p on p.id = ap.pack_id`,
      );
      const wanted = new Set(rows.map(({ key }) => key));
      const stored = new Set<string>();
      // What the deployment's fake build named was never stored; sources are not collected.
      for await (const { key } of this.parts.plane.parts.engine.blobs.list("orgs/")) if (!key.includes("/sources/")) stored.add(key);
      const missing = [...wanted].filter((key) => !stored.has(key));
      const extra = [...stored].filter((key) => !wanted.has(key));
      if (missing.length + extra.length > 0) throw new Error(`missing ${missing.join(", ")}; left over ${extra.join(", ")}`);
    } finally {
      await client.end();
    }
  }

  /** Every version of every workspace, byte by byte. */
  async expectAll(): Promise<number> {
    let count = 0;
    for (const workspace of this.workspaces) {
      const { versions } = await this.call("GET", `/api/workspaces/${workspace.id}/versions?limit=200`);
      const known = workspace.state === "deleted" ? [] : workspace.versions;
      const ids = (list: readonly { id: string }[]) =>
        list
          .map(({ id }) => id)
          .sort()
          .join(" ");
      if (ids(versions) !== ids(known)) throw new Error(`workspace ${workspace.id} has other versions than the model`);
      for (const version of known) await this.expectVersion(workspace, version);
      count += known.length;
    }
    const broken = await brokenInvariants(this.parts.database.url);
    if (broken.length > 0) throw new Error(JSON.stringify(broken));
    return count;
  }

  private async expectVersion(workspace: ModelWorkspace, version: ModelVersion): Promise<void> {
    const base = `/api/workspaces/${workspace.id}/files`;
    const source = `source=version&version_id=${version.id}`;
    if (version.gone) {
      const { status } = await this.parts.plane.api.call("GET", `${base}?${source}`);
      if (status !== 404) throw new Error(`version ${version.id} was let go of and is read with ${status}`);
      return;
    }
    const found = new Map<string, string>();
    const walk = async (path: string): Promise<void> => {
      const { entries } = await this.call("GET", `${base}?${source}&path=${path}`);
      for (const entry of entries) {
        if (entry.kind === "directory") await walk(entry.path);
        else found.set(entry.path, (await this.parts.plane.api.call("GET", `${base}/content?${source}&path=${entry.path}`)).text);
      }
    };
    await walk(".");
    const same = found.size === version.tree.size && [...version.tree].every(([path, content]) => found.get(path) === content);
    if (!same)
      throw new Error(`version ${version.id} holds ${[...found.keys()].join(" ")} and should hold ${[...version.tree.keys()].join(" ")}`);
  }

  async close(): Promise<void> {
    const { plane, database, trees, worker } = this.parts;
    await worker.stop();
    await trees.close();
    await plane.close();
    await database.drop();
  }
}
