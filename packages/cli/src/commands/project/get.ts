import { argument, command, jsonFlag } from "../../command.ts";
import { tabbed } from "../../text/table.ts";
import { findProject } from "./find.ts";

export const projectGet = command({
  name: "project get",
  summary: "show a project and its environments",
  examples: [{ says: "by slug", command: "helmr project get shop" }],
  needs: "login",
  args: { project: argument("PROJECT", "slug or id of the project") },
  flags: jsonFlag,
  async run(context) {
    const project = await findProject(await context.management(), context.args.project);
    if (context.flags.json) return context.out.json(project);
    return context.out.lines([
      `ID: ${project.id}`,
      `Slug: ${project.slug}`,
      `Name: ${project.name}`,
      "Environments:",
      ...(project.environments ?? []).map(
        (environment) => `  ${tabbed(environment.id, environment.slug, environment.name, environment.color_hex)}`,
      ),
    ]);
  },
});
