import type { Workspace } from "@helmr/protocol/api";
import type { Context } from "../../context.ts";
import type { ApiClient } from "../../http/api-client.ts";

/** What `workspace create`, `get` and `update` print. The console line costs a request and comes last. */
export async function printWorkspace(context: Pick<Context, "out" | "consoleUrl">, api: ApiClient, workspace: Workspace): Promise<void> {
  const url = await context.consoleUrl(api, workspacePath(workspace.id));
  await context.out.lines([
    `workspace_id: ${workspace.id}`,
    `state: ${workspace.state}`,
    `sandbox_id: ${workspace.sandbox_id}`,
    ...(url === undefined ? [] : [`console_url: ${url}`]),
  ]);
}

export function workspacePath(workspaceId: string): string {
  return `/workspaces/${workspaceId}`;
}

export const exampleWorkspace = "01980a00-0000-7000-8000-000000000007";
export const exampleExec = "01980a00-0000-7000-8000-00000000000e";
export const examplePty = "01980a00-0000-7000-8000-00000000000f";
export const exampleVersion = "01980a00-0000-7000-8000-000000000008";
