/** A sandbox of a deployment, as execs need it. */
import { required } from "../assert.ts";
import type { Queryable } from "./db.ts";
import { statement } from "./statement.ts";

const path = statement<{ id: string }, { workspace_path: string }>(
  "deployment_sandbox_path",
  "select workspace_path from deployment_sandboxes where id = $id",
);

/** Where the workspace is mounted in the machine. */
export const deploymentSandboxPath = async (on: Queryable, id: string): Promise<string> =>
  required(await on.one(path, { id }), "A workspace names a sandbox that exists").workspace_path;
