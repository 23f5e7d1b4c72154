/** Routes of files and of the workspace extension: added to the front by `more` (http/front.ts). */
import type { EngineContext } from "../engine-context.ts";
import type { TreesContext } from "../operations/read-files.ts";
import { addFileRoutes, type LiveFiles } from "./api/files.ts";
import { addVersionChangeRoutes } from "./api/version-changes.ts";
import type { FrontOptions } from "./front.ts";

export function workspaceRoutes(
  context: TreesContext & { engine: EngineContext },
  live?: LiveFiles,
): NonNullable<FrontOptions["more"]>[number] {
  return (routes) => {
    addFileRoutes(routes, context, live);
    addVersionChangeRoutes(routes, context.engine, context);
  };
}
