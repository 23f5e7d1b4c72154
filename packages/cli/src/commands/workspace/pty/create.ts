import { argument, environmentCommand, integer, jsonFlag, text } from "../../../command.ts";
import { trimmedKey } from "../../session/start-input.ts";
import { exampleWorkspace } from "../lines.ts";

const size = { min: 0, max: 500 };

export const workspacePtyCreate = environmentCommand({
  name: "workspace pty create",
  summary: "start a terminal in a workspace",
  details: "`workspace pty connect` attaches to it; `workspace shell` does both.",
  examples: [{ says: "a large one", command: `helmr workspace pty create ${exampleWorkspace} --cols 200 --rows 50` }],
  args: { workspace: argument("WORKSPACE", "id of the workspace") },
  flags: {
    ...jsonFlag,
    cwd: text("DIR", "working directory; the workspace without it"),
    cols: integer("N", "columns; 80 without it", size),
    rows: integer("N", "rows; 24 without it", size),
    idempotencyKey: text("KEY", "a repeated create with this key gives the same terminal"),
  },
  async run(context) {
    const { flags } = context;
    const api = await context.environment();
    const created = await api.call("ptys.create", {
      params: { id: context.args.workspace },
      body: { cwd: flags.cwd, cols: flags.cols ?? 0, rows: flags.rows ?? 0, idempotency_key: trimmedKey(flags.idempotencyKey) },
    });
    if (flags.json) return context.out.json(created);
    return context.out.lines([`workspace_id: ${created.pty.workspace_id}`, `pty_id: ${created.pty.id}`]);
  },
});
