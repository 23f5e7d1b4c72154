/** Workspaces and their versions as they are read, and the two members that are replaced in place. */
import type { WorkspaceUpdateBody } from "@helmr/protocol/api";
import type { EngineContext } from "../engine-context.ts";
import { notFound, type Refusal } from "../outcome.ts";
import {
  type VersionRow,
  type WorkspaceFilter,
  workspaceGet,
  workspaceList,
  type WorkspaceRow,
  workspaceUpdate,
  workspaceVersion,
  workspaceVersions,
} from "../store/workspace.ts";
import { noWorkspace } from "./delete-workspace.ts";

export type { VersionRow, WorkspaceRow };

export const listWorkspaces = ({ db }: EngineContext, filter: WorkspaceFilter) => workspaceList(db, filter);

export async function readWorkspace({ db }: EngineContext, environmentId: string, id: string): Promise<WorkspaceRow | Refusal> {
  return (await workspaceGet(db, environmentId, id)) ?? noWorkspace();
}

export async function updateWorkspace(
  { db }: EngineContext,
  environmentId: string,
  id: string,
  body: WorkspaceUpdateBody,
): Promise<WorkspaceRow | Refusal> {
  const change = {
    ...(body.metadata === undefined ? {} : { metadata: body.metadata }),
    ...(body.tags === undefined ? {} : { tags: body.tags }),
  };
  return (await workspaceUpdate(db, environmentId, id, change)) ?? noWorkspace();
}

export async function listVersions(
  context: EngineContext,
  { environmentId, id, kind, limit }: { environmentId: string; id: string; kind: string | undefined; limit: number },
): Promise<VersionRow[] | Refusal> {
  const workspace = await workspaceGet(context.db, environmentId, id);
  return workspace ? workspaceVersions(context.db, id, kind, limit) : noWorkspace();
}

export async function readVersion(
  { db }: EngineContext,
  environmentId: string,
  id: string,
  versionId: string,
): Promise<VersionRow | Refusal> {
  const workspace = await workspaceGet(db, environmentId, id);
  if (!workspace) return noWorkspace();
  return (await workspaceVersion(db, id, versionId)) ?? notFound("workspace version not found");
}
