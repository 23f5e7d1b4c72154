import { argument, environmentCommand, jsonFlag, text } from "../../command.ts";
import { trimmedKey } from "../session/start-input.ts";
import { exampleWorkspace } from "./lines.ts";

export const workspaceCapture = environmentCommand({
  name: "workspace capture",
  summary: "make a version of what is in a workspace now",
  details:
    "Its machine and all that runs in it go on. Without a machine, or when nothing was written since, it is the current version; " +
    "workspace files, diff, fork and restore take the id that is printed.",
  examples: [
    { says: "with a note for the list of versions", command: `helmr workspace capture ${exampleWorkspace} --message "before the upgrade"` },
    { says: "with the pause and what was uploaded", command: `helmr workspace capture ${exampleWorkspace} --json` },
  ],
  args: { workspace: argument("WORKSPACE", "id of the workspace") },
  flags: {
    ...jsonFlag,
    expect: text("VERSION", "refuse when the current version is another one"),
    message: text("TEXT", "what the versions list says about it"),
    idempotencyKey: text("KEY", "repeating the command with this key makes no second version"),
    idempotencyKeyTtl: text("DUR", "how long the key is remembered, such as 24h"),
  },
  async run(context) {
    const { args, flags } = context;
    const api = await context.environment();
    const captured = await api.call("versions.capture", {
      params: { id: args.workspace },
      body: {
        expected_version_id: flags.expect,
        message: flags.message,
        idempotency_key: trimmedKey(flags.idempotencyKey),
        idempotency_key_ttl: flags.idempotencyKeyTtl,
      },
    });
    if (flags.json) return context.out.json(captured);
    return context.out.line(`${captured.version.id} ${args.workspace} ${captured.is_unchanged ? "unchanged" : "captured"}`);
  },
});
