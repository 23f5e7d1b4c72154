/**
 * Files of a version, read without a machine (http §12). The empty tree of a new workspace has no artifact; everything else is asked of the file thread.
 * Trees of failed versions are kept so that they can be looked at: they are read like others.
 */
import { Readable } from "node:stream";
import { unreachable } from "../assert.ts";
import type { EngineContext } from "../engine-context.ts";
import type { StoredTree, TreeProblem } from "../files/file-requests.ts";
import { fileLimits } from "../files/file-limits.ts";
import { isTreeProblem, type TreeReader } from "../files/tree-reader.ts";
import { isRefusal, refusal, type Refusal, refuse } from "../outcome.ts";
import { workspaceTree } from "../store/workspace-tree.ts";
import { noWorkspace } from "./delete-workspace.ts";

export type { TreeEntry } from "../ext4/tree.ts";
import type { TreeEntry } from "../ext4/tree.ts";

export interface TreesContext {
  engine: Pick<EngineContext, "db" | "keys">;
  reader: TreeReader;
}

export interface VersionAddress {
  environmentId: string;
  workspaceId: string;
  /** Absent: the head. */
  versionId: string | undefined;
}

export interface VersionTree {
  versionId: string;
  /** Undefined: the empty tree. */
  stored: StoredTree | undefined;
  createdAt: string;
}

export async function findTree({ engine }: TreesContext, at: VersionAddress): Promise<VersionTree | Refusal> {
  const row = await workspaceTree(engine.db, at);
  if (!row) return noWorkspace();
  const { version_id: versionId, version_state: state } = row;
  if (versionId === null)
    return at.versionId === undefined
      ? refuse("workspace_no_current_version")
      : refuse("workspace_version_not_readable", `the workspace has no version ${at.versionId}`);
  if (state !== "ready" && state !== "failed")
    return refuse("workspace_version_not_readable", `the workspace version cannot be read while its state is ${state}`);
  const createdAt = row.version_created_at ?? unreachable("a version has a time");
  if (row.artifact_id === null || row.manifest_key === null || row.digest === null)
    return state === "ready" ? { versionId, stored: undefined, createdAt } : refuse("workspace_version_not_readable");
  const { idKey, contentKeys } = engine.keys.storageKeys(row.org_id);
  const keys = { orgId: row.org_id, idKey, content: contentKeys };
  const { artifact_id: artifactId, manifest_key: manifestKey, digest, workspace_path: mountPath } = row;
  return { versionId, createdAt, stored: { artifactId, manifestKey, digest, mountPath, keys } };
}

export interface FilePage {
  versionId: string;
  entries: TreeEntry[];
  more: boolean;
}

/** `after` is a path of the page before. */
export async function listFiles(
  context: TreesContext,
  at: VersionAddress,
  page: { path: string; after: string | undefined; limit: number },
): Promise<FilePage | Refusal> {
  const tree = await findTree(context, at);
  if (isRefusal(tree)) return tree;
  const { versionId, stored } = tree;
  if (stored === undefined) return page.path === "." ? { versionId, entries: [], more: false } : noFile(page.path);
  const after = page.after === undefined ? undefined : page.after.slice(page.after.lastIndexOf("/") + 1);
  const listed = await context.reader.ask("list", { tree: stored, path: page.path, after, limit: page.limit });
  return isTreeProblem(listed) ? refuseTree(listed, page.path) : { versionId, ...listed };
}

export async function statFile(context: TreesContext, at: VersionAddress, path: string): Promise<TreeEntry | Refusal> {
  const tree = await findTree(context, at);
  if (isRefusal(tree)) return tree;
  if (tree.stored === undefined) return path === "." ? emptyRoot(tree.createdAt) : noFile(path);
  const entry = await context.reader.ask("stat", { tree: tree.stored, path });
  // A path that goes on behind a file names nothing.
  return isTreeProblem(entry) ? refuseTree(entry.problem === "not_directory" ? { ...entry, problem: "not_found" } : entry, path) : entry;
}

export interface FileContent {
  versionId: string;
  entry: TreeEntry;
  /** Pulls piece after piece; each is verified before it goes out. */
  bytes(range: { start: number; end: number }): Readable;
}

export async function openFileContent(context: TreesContext, at: VersionAddress, path: string): Promise<FileContent | Refusal> {
  const tree = await findTree(context, at);
  if (isRefusal(tree)) return tree;
  const { versionId, stored } = tree;
  if (stored === undefined) return path === "." ? refuse("workspace_file_not_regular") : noFile(path);
  const opened = await context.reader.ask("open", { tree: stored, path });
  if (isTreeProblem(opened)) return refuseTree(opened.problem === "not_directory" ? { ...opened, problem: "not_found" } : opened, path);
  const { inode, entry } = opened;
  return {
    versionId,
    entry,
    bytes: (range) => Readable.from(pieces(context.reader, { tree: stored, inode, ...range }), { objectMode: false }),
  };
}

async function* pieces(
  reader: TreeReader,
  { tree, inode, start, end }: { tree: StoredTree; inode: number; start: number; end: number },
): AsyncGenerator<Uint8Array> {
  const ask = (from: number) => reader.ask("read", { tree, inode, start: from, length: Math.min(fileLimits.readBytesMax, end - from) });
  let next = start < end ? ask(start) : undefined;
  for (let at = start; at < end && next !== undefined;) {
    const piece = await next;
    if (isTreeProblem(piece)) throw new ReadBrokeOff(piece.message);
    if (piece.length === 0) throw new ReadBrokeOff("the file ended before its size");
    at += piece.length;
    // One piece ahead: it is opened while the one before is on its way.
    next = at < end ? ask(at) : undefined;
    next?.catch(() => undefined);
    yield piece;
  }
}

/** After the headers are out nothing is left but to end the connection. */
class ReadBrokeOff extends Error {
  override name = "ReadBrokeOff";
}

const noFile = (path: string): Refusal => refuse("workspace_file_not_found", `there is no ${JSON.stringify(path)} in this version`);

function emptyRoot(createdAt: string): TreeEntry {
  const seconds = Math.floor(Date.parse(createdAt) / 1000);
  return { path: ".", name: ".", kind: "directory", sizeBytes: 0, mode: 0o755, modified: { seconds, nanoseconds: 0 } };
}

export function refuseTree({ problem, message }: TreeProblem, path: string): Refusal {
  switch (problem) {
    case "not_found":
      return noFile(path);
    case "not_directory":
      return refuse("workspace_file_not_directory", `${JSON.stringify(path)} is not a directory`);
    case "not_regular":
      return refuse("workspace_file_not_regular", `${JSON.stringify(path)} is not a regular file`);
    case "not_readable":
    case "damaged":
      return refuse("workspace_version_not_readable", `the workspace version cannot be read: ${message}`);
    case "unavailable":
      return refusal(503, message, "coordination_unavailable");
    default:
      return unreachable(`problem ${String(problem)}`);
  }
}
