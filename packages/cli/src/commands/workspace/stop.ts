import { argument, environmentCommand, jsonFlag, text } from "../../command.ts";
import { trimmedKey } from "../session/start-input.ts";
import { exampleWorkspace } from "./lines.ts";

export const workspaceStop = environmentCommand({
  name: "workspace stop",
  summary: "capture and unmount a workspace",
  details: "Returns at once; the state is that of the mount, or no_active_mount.",
  examples: [{ says: "keep its state as a version and release the machine", command: `helmr workspace stop ${exampleWorkspace}` }],
  args: { workspace: argument("WORKSPACE", "id of the workspace") },
  flags: {
    ...jsonFlag,
    idempotencyKey: text("KEY", "a repeated stop with this key gives the same answer"),
    idempotencyKeyTtl: text("DUR", "how long the key is remembered, such as 24h"),
  },
  async run(context) {
    const { flags } = context;
    const api = await context.environment();
    const stopped = await api.call("workspaces.stop", {
      params: { id: context.args.workspace },
      body: { idempotency_key: trimmedKey(flags.idempotencyKey), idempotency_key_ttl: flags.idempotencyKeyTtl },
    });
    return flags.json ? context.out.json(stopped) : context.out.line(`${stopped.workspace_id} ${stopped.state}`);
  },
});
