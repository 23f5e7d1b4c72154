import { argument, environmentCommand, jsonFlag } from "../../../command.ts";
import { examplePty, exampleWorkspace } from "../lines.ts";

export const workspacePtyClose = environmentCommand({
  name: "workspace pty close",
  summary: "close a terminal of a workspace",
  examples: [{ says: "its id and state", command: `helmr workspace pty close ${exampleWorkspace} ${examplePty}` }],
  args: { workspace: argument("WORKSPACE", "id of the workspace"), pty: argument("PTY", "id of the terminal") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const { pty } = await api.call("ptys.close", { params: { id: context.args.workspace, ptyID: context.args.pty }, body: {} });
    return context.flags.json ? context.out.json({ pty }) : context.out.line(`${pty.id} ${pty.state}`);
  },
});
