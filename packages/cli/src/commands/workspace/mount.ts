/** `workspace materialize` and `workspace connect` are the same request under two names (http §11). */
import type { Mount } from "@helmr/protocol/api";
import { argument, environmentCommand, jsonFlag } from "../../command.ts";
import type { Output } from "../../terminal/output.ts";
import { exampleWorkspace } from "./lines.ts";

const args = { workspace: argument("WORKSPACE", "id of the workspace") };
const details = "Returns at once; repeat it until the state is mounted. materialize and connect are the same.";

function printMount(out: Output, mount: Mount, json: boolean): Promise<void> {
  return json ? out.json(mount) : out.line(`${mount.id} ${mount.workspace_id} ${mount.state}`);
}

export const workspaceMaterialize = environmentCommand({
  name: "workspace materialize",
  summary: "mount a workspace, or show the mount it has",
  details,
  examples: [{ says: "mount id, workspace id and state", command: `helmr workspace materialize ${exampleWorkspace}` }],
  args,
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const mount = await api.call("workspaces.materialize", { params: { id: context.args.workspace }, body: {} });
    return printMount(context.out, mount, context.flags.json);
  },
});

export const workspaceConnect = environmentCommand({
  name: "workspace connect",
  summary: "mount a workspace, or show the mount it has",
  details,
  examples: [{ says: "mount id, workspace id and state", command: `helmr workspace connect ${exampleWorkspace}` }],
  args,
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const mount = await api.call("workspaces.connect", { params: { id: context.args.workspace }, body: {} });
    return printMount(context.out, mount, context.flags.json);
  },
});
