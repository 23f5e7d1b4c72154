import { argument, command, jsonFlag, text } from "../../command.ts";
import { Failure } from "../../failure.ts";
import { tabbed } from "../../text/table.ts";
import { findProject } from "./find.ts";

export const projectUpdate = command({
  name: "project update",
  summary: "rename a project",
  examples: [{ says: "another name, the same slug", command: "helmr project update shop --name 'Web Shop'" }],
  needs: "login",
  args: { project: argument("PROJECT", "slug or id of the project") },
  flags: { name: text("NAME", "its new name"), slug: text("SLUG", "its new slug"), ...jsonFlag },
  async run(context) {
    const { flags } = context;
    if (flags.name === undefined && flags.slug === undefined) throw new Failure("project update needs --name or --slug");
    const api = await context.management();
    const present = await findProject(api, context.args.project);
    const project = await api.call("projects.update", {
      params: { project: present.id },
      body: { slug: flags.slug?.toLowerCase() ?? present.slug, name: flags.name ?? present.name },
    });
    return flags.json ? context.out.json(project) : context.out.line(tabbed(project.id, project.slug, project.name));
  },
});
