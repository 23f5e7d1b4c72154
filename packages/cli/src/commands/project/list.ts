import { command, jsonFlag } from "../../command.ts";
import { tabbed } from "../../text/table.ts";

export const projectList = command({
  name: "project list",
  summary: "list projects",
  examples: [{ says: "id, slug and name", command: "helmr project list" }],
  needs: "login",
  args: {},
  flags: jsonFlag,
  async run(context) {
    const api = await context.management();
    const { projects } = await api.call("projects.list");
    if (context.flags.json) return context.out.json({ projects });
    return context.out.lines(projects.map((project) => tabbed(project.id, project.slug, project.name)));
  },
});
