import { environmentCommand, jsonFlag } from "../../command.ts";
import { tabbed } from "../../text/table.ts";

export const sandboxList = environmentCommand({
  name: "sandbox list",
  summary: "list the sandboxes of the current deployment",
  examples: [{ says: "sandbox id, fingerprint, runtime and mount path", command: "helmr sandbox list" }],
  args: {},
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const { sandboxes } = await api.call("sandboxes.list");
    if (context.flags.json) return context.out.json({ sandboxes });
    return context.out.lines(
      sandboxes.map((sandbox) => tabbed(sandbox.sandbox_id, sandbox.fingerprint, sandbox.runtime_abi, sandbox.workspace_mount_path)),
    );
  },
});
