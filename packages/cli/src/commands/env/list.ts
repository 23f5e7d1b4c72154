import { command, jsonFlag } from "../../command.ts";
import { tabbed } from "../../text/table.ts";
import { findProject } from "../project/find.ts";
import { projectFlag } from "./project-flag.ts";

export const envList = command({
  name: "env list",
  summary: "list the environments of a project",
  examples: [{ says: "id, slug and name", command: "helmr env list --project shop" }],
  needs: "login",
  args: {},
  flags: { ...projectFlag, ...jsonFlag },
  async run(context) {
    const project = await findProject(await context.management(), context.flags.project);
    const environments = project.environments ?? [];
    if (context.flags.json) return context.out.json(environments);
    return context.out.lines(environments.map((environment) => tabbed(environment.id, environment.slug, environment.name)));
  },
});
