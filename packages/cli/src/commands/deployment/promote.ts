import { argument, environmentCommand, text } from "../../command.ts";

export const deploymentPromote = environmentCommand({
  name: "deployment promote",
  summary: "make a deployment the current one of its environment",
  details: "Live runs stay on the deployment they began with; declarative schedules follow the new one.",
  examples: [
    { says: "by version", command: "helmr deployment promote 20260606.1 --reason 'roll back'" },
    { says: "by id", command: "helmr deployment promote 01980a00-0000-7000-8000-000000000005" },
  ],
  scopeText: "layer",
  args: { deployment: argument("DEPLOYMENT", "id or version of the deployment") },
  flags: { reason: text("TEXT", "why, for the record") },
  async run(context) {
    const api = await context.environment();
    const deployment = await api.call("deployments.promote", {
      params: { id: context.args.deployment },
      body: { reason: context.flags.reason },
    });
    return context.out.line(versionOrId(deployment));
  },
});

/** What text output calls a deployment. */
export function versionOrId(deployment: { id: string; version: string }): string {
  return deployment.version.trim() === "" ? deployment.id : deployment.version;
}
