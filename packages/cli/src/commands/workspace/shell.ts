import { argument, environmentCommand, text } from "../../command.ts";
import { attach, exitAsShell, terminalSize } from "../../follow/terminal-session.ts";
import { exampleWorkspace } from "./lines.ts";

export const workspaceShell = environmentCommand({
  name: "workspace shell",
  summary: "open a shell in a workspace",
  details: "Mounts the workspace when it has to. The exit code is the shell's.",
  examples: [{ says: "look around", command: `helmr workspace shell ${exampleWorkspace}` }],
  args: { workspace: argument("WORKSPACE", "id of the workspace") },
  flags: { cwd: text("DIR", "working directory; the workspace without it") },
  async run(context) {
    const api = await context.environment();
    const { pty } = await api.call("ptys.create", {
      params: { id: context.args.workspace },
      body: { cwd: context.flags.cwd, ...terminalSize(context.out) },
    });
    const ended = await attach({ api, pty, replay: false, host: context.host, out: context.out });
    exitAsShell(ended);
  },
});
