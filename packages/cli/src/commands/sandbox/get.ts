import { argument, environmentCommand, jsonFlag } from "../../command.ts";

export const sandboxGet = environmentCommand({
  name: "sandbox get",
  summary: "show a sandbox of the current deployment",
  examples: [{ says: "resources, network and image of a sandbox", command: "helmr sandbox get default --json" }],
  args: { sandbox: argument("SANDBOX", "id of the sandbox, as the project names it") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const sandbox = await api.call("sandboxes.get", { params: { sandboxID: context.args.sandbox } });
    if (context.flags.json) return context.out.json(sandbox);
    return context.out.lines([
      `Sandbox:    ${sandbox.sandbox_id}`,
      `Fingerprint:${sandbox.fingerprint}`,
      `Runtime ABI:${sandbox.runtime_abi}`,
      `Mount:      ${sandbox.workspace_mount_path}`,
    ]);
  },
});
