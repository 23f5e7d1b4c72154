import { argument, environmentCommand, jsonFlag } from "../../command.ts";

export const deploymentGet = environmentCommand({
  name: "deployment get",
  summary: "show a deployment",
  examples: [{ says: "all of it, its tasks included", command: "helmr deployment get 01980a00-0000-7000-8000-000000000005 --json" }],
  args: { deployment: argument("DEPLOYMENT", "id of the deployment") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const deployment = await api.call("deployments.get", { params: { id: context.args.deployment } });
    if (context.flags.json) return context.out.json(deployment);
    return context.out.lines([`Deployment: ${deployment.id}`, `Version:    ${deployment.version}`, `Status:     ${deployment.status}`]);
  },
});
