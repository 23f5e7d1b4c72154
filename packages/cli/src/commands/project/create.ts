import { argument, command, jsonFlag, text } from "../../command.ts";
import { defaultSlug } from "../../text/slug.ts";
import { tabbed } from "../../text/table.ts";

export const projectCreate = command({
  name: "project create",
  summary: "create a project with the environments production and staging",
  examples: [
    { says: "with the slug web-shop", command: "helmr project create 'Web Shop'" },
    { says: "with a slug of your own", command: "helmr project create 'Web Shop' --slug shop" },
  ],
  needs: "login",
  args: { name: argument("NAME", "name of the project") },
  flags: { slug: text("SLUG", "its slug; made from the name without it"), ...jsonFlag },
  async run(context) {
    const { args, flags } = context;
    const api = await context.management();
    const project = await api.call("projects.create", {
      body: { slug: flags.slug?.toLowerCase() ?? defaultSlug(args.name), name: args.name },
    });
    return flags.json ? context.out.json(project) : context.out.line(tabbed(project.id, project.slug, project.name));
  },
});
