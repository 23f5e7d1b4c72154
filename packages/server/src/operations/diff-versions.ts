/** What differs between two versions, of one workspace or of a fork and its origin; and one file of them as text. Read without a machine. */
import type { FileRequest, FileRequests } from "../files/file-requests.ts";
import type { TextDiff } from "../files/text-diff.ts";
import type { TreeChanges } from "../files/tree-diff.ts";
import { isTreeProblem } from "../files/tree-reader.ts";
import { isRefusal, type Refusal } from "../outcome.ts";
import { workspaceVersion } from "../store/workspace.ts";
import { findTree, refuseTree, type TreesContext, type VersionTree } from "./read-files.ts";

export type { TreeChange } from "../files/tree-diff.ts";

export interface DiffSides {
  environmentId: string;
  workspaceId: string;
  /** Absent: the parent of `to`; a first version is compared with the empty tree. */
  from: string | undefined;
  /** Where `from` is, when that is another workspace. */
  fromWorkspaceId: string | undefined;
  /** Absent: the head. */
  to: string | undefined;
}

interface Compared {
  fromVersionId: string | undefined;
  toVersionId: string;
}

export async function diffVersions(
  context: TreesContext,
  sides: DiffSides,
  page: { path: string; after: string | undefined; limit: number },
): Promise<(Compared & TreeChanges) | Refusal> {
  return compare(context, sides, { request: "diff", ...page });
}

export async function diffFile(context: TreesContext, sides: DiffSides, path: string): Promise<(Compared & TextDiff) | Refusal> {
  return compare(context, sides, { request: "textDiff", path });
}

type Comparison = "diff" | "textDiff";
type Question<R extends FileRequest> = { request: R; path: string } & Omit<FileRequests[R]["input"], "from" | "to">;

async function compare<R extends Comparison>(
  context: TreesContext,
  sides: DiffSides,
  { request, ...input }: Question<R>,
): Promise<(Compared & FileRequests[R]["output"]) | Refusal> {
  const { environmentId, workspaceId } = sides;
  const to = await findTree(context, { environmentId, workspaceId, versionId: sides.to });
  if (isRefusal(to)) return to;
  const from = await findFrom(context, sides, to);
  if (from !== undefined && isRefusal(from)) return from;
  const asked = { ...input, from: from?.stored, to: to.stored } as unknown as FileRequests[R]["input"];
  const answer = await context.reader.ask(request, asked);
  if (isTreeProblem(answer)) return refuseTree(answer, input.path);
  return { fromVersionId: from?.versionId, toVersionId: to.versionId, ...answer };
}

async function findFrom(context: TreesContext, sides: DiffSides, to: VersionTree): Promise<VersionTree | undefined | Refusal> {
  const { environmentId, workspaceId } = sides;
  if (sides.from !== undefined)
    return findTree(context, { environmentId, workspaceId: sides.fromWorkspaceId ?? workspaceId, versionId: sides.from });
  const parent = (await workspaceVersion(context.engine.db, workspaceId, to.versionId))?.parent_version_id;
  return parent === undefined || parent === null ? undefined : findTree(context, { environmentId, workspaceId, versionId: parent });
}
