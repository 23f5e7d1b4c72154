/**
 * What a random history of workspaces should have left (the model), and whether it has: chains and heads, every byte of a version, what two versions differ by,
 * what the blob store holds. The acts are in workspace-histories.fixture.ts.
 */
import type { NewArtifact } from "@helmr/protocol/worker";
import { assert, required } from "../assert.ts";
import type { TreeReader } from "../files/tree-reader.ts";
import { isRefusal, type Refusal } from "../outcome.ts";
import type { RunCall } from "../worker-actor.ts";
import { diffVersions } from "./diff-versions.ts";
import type { Engine } from "./engine.fixture.ts";
import { type Choices, type FailingBlobs, keysOf, type Tree } from "./history-trees.fixture.ts";
import type { HeldMount } from "./mounts.fixture.ts";
import { listFiles, openFileContent, type TreesContext } from "./read-files.ts";

export interface ModelVersion {
  id: string;
  parent: string | null;
  kind: "user" | "system";
  tree: Tree;
  artifact: NewArtifact | undefined;
  /** Kept aside: it was never the head. */
  failed?: boolean;
  /** Retention took its content. */
  gone: boolean;
}

/** A machine that has the workspace. */
export interface Holder {
  /** What its tree is compared with. */
  base: ModelVersion;
  tree: Tree;
  mountId: string;
  on: { kind: "run"; call: RunCall } | { kind: "mount"; call: HeldMount["call"] };
  /** A run that uses the machine of a mount. */
  guest: RunCall | undefined;
  /** It was asked to go: what a lost run has left may still act in it. */
  stopping?: boolean;
}

export interface Parked {
  base: ModelVersion;
  tree: Tree;
  runId: string;
  tokenId: string;
  checkpointId: string;
}

export interface ModelWorkspace {
  id: string;
  versions: ModelVersion[];
  head: ModelVersion;
  state: "active" | "deleting" | "archived" | "deleted";
  holder: Holder | undefined;
  parked: Parked | undefined;
}

export function granted<T>(answer: T | Refusal): T {
  assert(!isRefusal(answer), `Refused: ${JSON.stringify(answer)}`);
  return answer;
}

export function expectCode(answer: unknown, code: string): void {
  assert(isRefusal(answer) && answer.code === code, `Should be refused as ${code}: ${JSON.stringify(answer)}`);
}

interface VersionFacts {
  id: string;
  parent_version_id: string | null;
  kind: string;
  state: string;
  artifact_id: string | null;
}

const factsOf = ({ id, parent, kind, artifact, gone, failed }: ModelVersion): VersionFacts => ({
  id,
  parent_version_id: parent,
  kind,
  state: gone ? "deleted" : failed ? "failed" : "ready",
  artifact_id: gone ? null : (artifact?.artifact_id ?? null),
});
const toldOf = (versions: VersionFacts[]) =>
  versions
    .map(({ id, parent_version_id, kind, state, artifact_id }) => JSON.stringify({ id, parent_version_id, kind, state, artifact_id }))
    .sort()
    .join("\n");

export interface Checked {
  engine: Engine;
  choose: Choices;
  blobs: FailingBlobs;
  reader: TreeReader;
  workspaces: readonly ModelWorkspace[];
}

export class HistoryChecks {
  private readonly parts: Checked;
  private readonly trees: TreesContext;

  constructor(parts: Checked) {
    this.parts = parts;
    this.trees = { engine: parts.engine.context, reader: parts.reader };
  }

  private get environmentId(): string {
    return this.parts.engine.scope.environmentId;
  }

  /** Objects of the blob store, sources apart. */
  async objects(): Promise<Set<string>> {
    const keys = new Set<string>();
    for await (const { key } of this.parts.engine.context.blobs.list("orgs/")) if (!key.includes("/sources/")) keys.add(key);
    return keys;
  }

  /** What the store holds although no kept version needs it. What is needed is there, always. */
  async leftOver(): Promise<string[]> {
    const stored = await this.objects();
    const kept = this.parts.workspaces.flatMap(({ versions, state }) => (state === "deleted" ? [] : versions.filter(({ gone }) => !gone)));
    const wanted = new Set(kept.flatMap(({ artifact }) => (artifact ? keysOf(artifact) : [])));
    const missing = [...wanted].filter((key) => !stored.has(key));
    assert(missing.length === 0, `A collection took ${missing.join(", ")}`);
    return [...stored].filter((key) => !wanted.has(key));
  }

  async chains(): Promise<void> {
    const { engine } = this.parts;
    const rows = await engine.sql<VersionFacts & { workspace_id: string }>(
      "select id, workspace_id, parent_version_id, kind, state, artifact_id from workspace_versions",
    );
    const heads = await engine.sql<{ id: string; current_version_id: string | null; state: string; execs: number }>(
      `select w.id, w.current_version_id, w.state, (select count(*)::int from workspace_execs e where e.workspace_id = w.id and e.ended_at is null) as execs
         from workspaces w`,
    );
    for (const workspace of this.parts.workspaces) {
      const row = required(
        heads.find(({ id }) => id === workspace.id),
        "A workspace keeps its row",
      );
      assert(row.state === workspace.state, `Workspace ${workspace.id} is ${row.state} and should be ${workspace.state}`);
      const isDeleted = workspace.state === "deleted";
      assert(isDeleted || row.current_version_id === workspace.head.id, `The head of ${workspace.id} is ${row.current_version_id}`);
      assert(workspace.holder !== undefined || row.execs === 0, `Workspace ${workspace.id} has execs without a machine`);
      const found = toldOf(rows.filter(({ workspace_id }) => workspace_id === workspace.id));
      const wanted = toldOf(isDeleted ? [] : workspace.versions.map(factsOf));
      assert(found === wanted, `Versions of ${workspace.id}:\n${found}\nand not\n${wanted}`);
    }
  }

  async invariants(): Promise<void> {
    const broken = await this.parts.engine.invariants();
    assert(broken.length === 0, JSON.stringify(broken));
  }

  async version(workspace: ModelWorkspace, version: ModelVersion): Promise<void> {
    if (workspace.state === "deleted") return;
    const at = { environmentId: this.environmentId, workspaceId: workspace.id, versionId: version.id };
    const list = (path: string) => listFiles(this.trees, at, { path, after: undefined, limit: 500 });
    if (version.gone) return expectCode(await list("."), "workspace_version_not_readable");
    if (this.parts.choose.once(8)) {
      this.parts.blobs.failNext("get", this.parts.choose.of(["before", "after"]));
      const first = await list(".");
      // The store failed, or all was in a cache.
      assert(!isRefusal(first) || first.status === 503, `A failing store is no damage: ${JSON.stringify(first)}`);
      this.parts.blobs.failNothing();
    }
    const found = new Map<string, string>();
    const walk = async (path: string): Promise<void> => {
      for (const entry of granted(await list(path)).entries) {
        if (entry.kind === "directory") await walk(entry.path);
        else {
          const content = granted(await openFileContent(this.trees, at, entry.path));
          const parts: Buffer[] = [];
          for await (const part of content.bytes({ start: 0, end: content.entry.sizeBytes })) parts.push(part as Buffer);
          found.set(entry.path, Buffer.concat(parts).toString());
        }
      }
    };
    await walk(".");
    const { files } = version.tree;
    const same = found.size === files.size && [...files].every(([path, content]) => found.get(path) === content);
    assert(same, `Version ${version.id} holds ${[...found.keys()].sort().join(" ")} and should hold ${[...files.keys()].sort().join(" ")}`);
  }

  /** Any two versions of a workspace that are kept differ by what the model says. */
  async diff(workspace: ModelWorkspace): Promise<void> {
    const kept = workspace.versions.filter(({ gone }) => !gone);
    const [from, to] = [this.parts.choose.of(kept), this.parts.choose.of(kept)];
    const sides = { environmentId: this.environmentId, workspaceId: workspace.id, from: from.id, fromWorkspaceId: undefined, to: to.id };
    const { changes } = granted(await diffVersions(this.trees, sides, { path: ".", after: undefined, limit: 500 }));
    const found = changes
      .filter(({ before, after }) => (after ?? before)?.kind !== "directory")
      .map(({ path, change }) => `${change} ${path}`);
    const [old, now] = [from.tree.files, to.tree.files];
    const wanted = [...new Set([...old.keys(), ...now.keys()])].flatMap((path) => {
      if (!old.has(path)) return [`added ${path}`];
      if (!now.has(path)) return [`removed ${path}`];
      return old.get(path) === now.get(path) ? [] : [`changed ${path}`];
    });
    assert(
      found.sort().join("\n") === wanted.sort().join("\n"),
      `Versions ${from.id} and ${to.id} differ by ${found.join()} and should by ${wanted.join()}`,
    );
  }
}
