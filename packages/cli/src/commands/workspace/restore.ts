import { argument, environmentCommand, jsonFlag, text } from "../../command.ts";
import { exampleVersion, exampleWorkspace } from "./lines.ts";

export const workspaceRestore = environmentCommand({
  name: "workspace restore",
  summary: "make an old version the current one again",
  details: "A new version with the old content: nothing is lost. Not while the workspace is mounted.",
  examples: [
    { says: "with a note", command: `helmr workspace restore ${exampleWorkspace} ${exampleVersion} --message "before the upgrade"` },
  ],
  args: { workspace: argument("WORKSPACE", "id of the workspace"), version: argument("VERSION", "id of the version") },
  flags: {
    ...jsonFlag,
    expect: text("VERSION", "refuse when the current version is another one"),
    message: text("TEXT", "what the versions list says about it"),
  },
  async run(context) {
    const { args, flags } = context;
    const api = await context.environment();
    const restored = await api.call("versions.restore", {
      params: { id: args.workspace },
      body: { version_id: args.version, expected_version_id: flags.expect, message: flags.message },
    });
    if (flags.json) return context.out.json(restored);
    return context.out.line(`${restored.version.id} ${args.workspace} ${restored.is_unchanged ? "unchanged" : "restored"}`);
  },
});
