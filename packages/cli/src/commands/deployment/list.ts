import { environmentCommand, jsonFlag } from "../../command.ts";
import { tabbed } from "../../text/table.ts";

export const deploymentList = environmentCommand({
  name: "deployment list",
  summary: "list deployments, newest first",
  examples: [
    { says: "id, version and status of each deployment", command: "helmr deployment list" },
    { says: "with a login", command: "helmr deployment list -p shop -e production --json" },
  ],
  args: {},
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const { deployments } = await api.call("deployments.list");
    if (context.flags.json) return context.out.json({ deployments });
    return context.out.lines(deployments.map((deployment) => tabbed(deployment.id, deployment.version, deployment.status)));
  },
});
