/** Routes of files and of the workspace extension: added to the front by `more` (http/front.ts). */
import type { TreesContext } from "../operations/read-files.ts";
import { addFileRoutes, type LiveFiles } from "./api/files.ts";
import type { FrontOptions } from "./front.ts";

export function workspaceRoutes(context: TreesContext, live?: LiveFiles): NonNullable<FrontOptions["more"]>[number] {
  return (routes) => {
    addFileRoutes(routes, context, live);
  };
}
