import { argument, environmentCommand } from "../../../command.ts";
import { attach, exitAsShell } from "../../../follow/terminal-session.ts";
import { examplePty, exampleWorkspace } from "../lines.ts";

export const workspacePtyConnect = environmentCommand({
  name: "workspace pty connect",
  summary: "attach to a terminal of a workspace",
  details: "Shows the last screenful and goes on from there. The end of local input closes the terminal.",
  examples: [{ says: "come back to it", command: `helmr workspace pty connect ${exampleWorkspace} ${examplePty}` }],
  args: { workspace: argument("WORKSPACE", "id of the workspace"), pty: argument("PTY", "id of the terminal") },
  flags: {},
  async run(context) {
    const api = await context.environment();
    const { pty } = await api.call("ptys.get", { params: { id: context.args.workspace, ptyID: context.args.pty } });
    const ended = await attach({ api, pty, replay: true, host: context.host, out: context.out });
    exitAsShell(ended);
  },
});
